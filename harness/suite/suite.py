"""Several policies on the same chains, to be compared: which runs a suite has, and where their records go."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Annotated, Any

from calvinbench.harness.suite.declared_policy import DeclaredPolicy
from calvinbench.harness.suite.setting import A_FOLDER, Setting, require_settings, settings_of
from calvinbench.harness.suite.settings import RunSettings, folder_name
from calvinbench.policies.policy import Memory
from calvinbench.policies.spec import kind_of

DEFAULT_OUT = Path("runs")
LOCAL, RAY = "local", "ray"
EXECUTORS = (LOCAL, RAY)
ALL_TASKS = "all"
"""Stands for the names of all tasks."""
_WITH_MEMORY_SPAN = ("checkpoint", "robovlms", "untrained")
"""Kinds of policies that take a memory span; others have one of their own, or none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """Several policies on the same chains, to be compared. `Suite.of` makes one from plain values.

    Attributes:
        policy: The policies' specs.
        settings: What the runs have in common. Its `policy` is the first one.
        varied: Settings that have several values, with the values. Each policy is run with each of them.
        declared: What is declared about single policies.
        name: What the suite is called; None for policies given as flags.
        run_name: Name of the run's folder, where there is one policy; None for its spec. Suite files do not have it:
            it is the flag `--name`.

    The other fields are described in their declaration. They do not affect records, except that `memory_span`
    becomes a setting of each policy's spec.
    """

    policy: tuple[str, ...]
    settings: RunSettings
    varied: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    declared: tuple[DeclaredPolicy, ...] = ()
    name: str | None = None
    run_name: str | None = None
    memory_span: Annotated[
        str | tuple[str, ...] | None,
        Setting(
            "How many past steps learned policies remember: unbounded, window:N (the last N), or none.",
            "SPAN",
            default="as the policy has it",
            varies=True,
        ),
    ] = None
    worlds: Annotated[
        int, Setting("Number of worlds stepped at once. This does not affect results.", "N", at_least=1)
    ] = 1
    videos: Annotated[
        str | None,
        Setting(
            "Record videos of chains into videos/ of the run's folder: all, failures, or a number for the first N.",
            "WHICH",
            default="no videos",
        ),
    ] = None
    executor: Annotated[
        str,
        Setting("Where worlds and policies run: local for this machine, ray for a Ray cluster.", choices=EXECUTORS),
    ] = LOCAL
    ray_address: Annotated[
        str | None,
        Setting(
            "Address of the Ray cluster.", "ADDRESS", default="RAY_ADDRESS; without it, start a cluster on this machine"
        ),
    ] = None
    cpus_per_replica: Annotated[
        float | None,
        Setting("CPU cores on the Ray cluster for each copy of the policy, its worlds included.", "N", default="1"),
    ] = None
    gpus_per_replica: Annotated[
        float | None,
        Setting("GPUs on the Ray cluster for each copy of the policy; 0.5 puts two copies on a GPU.", "N", default="0"),
    ] = None
    shard: Annotated[
        str | None,
        Setting(
            "Run part I of N of the chains, for schedulers such as Slurm. Then `calvinbench merge` joins the parts.",
            "I/N",
        ),
    ] = None
    fail_fast: Annotated[
        bool, Setting("Stop at the first chain that errors, with exit status 1. Chains finished before are kept.")
    ] = False
    out: Annotated[Path, Setting("Parent of the runs' folders.", "DIR", text=A_FOLDER)] = DEFAULT_OUT

    @classmethod
    def of(cls, *, policy: tuple[str, ...], **values: Any) -> "Suite":
        """Makes a suite from values by name: fields of this class, and settings of `RunSettings`.

        Args:
            policy: The policies' specs.
            **values: A setting that may vary takes a tuple of values; `tasks=("all",)` stands for all tasks.

        Raises:
            ValueError: There is no policy, or a value has another type or is out of range.
        """
        if not policy:
            raise ValueError("expected at least one policy, got none. Add --policy SPEC, such as --policy random.")
        own = {name: value for name, value in values.items() if name in cls.__dataclass_fields__}
        _require(own)
        suite = cls(policy=policy, settings=RunSettings(policy[0]), **own)
        return suite.with_values(**{name: value for name, value in values.items() if name not in own})

    def with_values(self, **values: Any) -> "Suite":
        """The suite with other values, named as in `Suite.of`."""
        _require(values)
        own = {name: values.pop(name) for name in tuple(values) if name in self.__dataclass_fields__}
        if values.get("tasks") == (ALL_TASKS,):
            from calvinbench.envs.tasks import TASKS  # heavy; the command line must answer soon

            values["tasks"] = TASKS
        given = dict(self.varied) | {name: value for name, value in values.items() if name in VARYING}
        varied = {name: given[name] for name in VARYING if isinstance(given.get(name), tuple)}
        single = {name: value for name, value in values.items() if name not in varied}
        return replace(self, settings=replace(self.settings, **single), varied=varied, **own)

    def __post_init__(self) -> None:
        require_settings(self)
        self._require_run_name()
        for name, values in {**self.varied, "memory_span": self.memory_span}.items():
            if isinstance(values, tuple) and (not values or len(set(values)) < len(values)):
                raise ValueError(f"expected {name} to be a value or a list of different ones, got {list(values)!r}.")
        for span in filter(None, self.values("memory_span")):
            Memory(span=str(span))
        folders: dict[Path, str] = {}
        for run in self.runs:
            folder = self.directory(run)
            if folder in folders:
                raise ValueError(
                    f"expected policies with different folders, got '{folders[folder]}' and '{run.policy}', which "
                    f"would both write to '{folder.name}'. Run them separately, each with its own --out."
                )
            folders[folder] = run.policy

    def _require_run_name(self) -> None:
        """Raises an error for a name that is no folder's, or that several policies would share."""
        if self.run_name is None:
            return
        if self.run_name != folder_name(self.run_name) or not self.run_name:
            raise ValueError(
                "expected --name to be the name of a folder, of letters, digits and . _ - (no . or - at its ends), "
                f"got '{self.run_name}'."
            )
        num_policies = len({spec for policy in self.policy for spec in self._with_memory_spans(policy)})
        if num_policies != 1:
            raise ValueError(
                f"expected one policy beside --name '{self.run_name}', which names one run's folder, got "
                f"{num_policies}. Use --out DIR, or run each policy by itself."
            )

    def values(self, name: str) -> tuple[Any, ...]:
        """The values of a setting that may vary, such as `scene`, `seed` or `memory_span`; one where it does not."""
        if name in self.varied:
            return self.varied[name]
        found = self.memory_span if name == "memory_span" else getattr(self.settings, name)
        return found if isinstance(found, tuple) else (found,)

    @property
    def runs(self) -> tuple[RunSettings, ...]:
        """One run for each policy and combination of varied values; what cannot stand in one table varies slowest."""
        apart = [[(name, value) for value in self.values(name)] for name in APART]
        together = [[(name, value) for value in self.values(name)] for name in TOGETHER]
        policies = [self._declared(policy, spec) for policy in self.policy for spec in self._with_memory_spans(policy)]
        return tuple(
            replace(settings, **dict(slow), **dict(fast))
            for slow in product(*apart)
            for settings in policies
            for fast in product(*together)
        )

    def _declared(self, policy: str, spec: str) -> RunSettings:
        """The settings with a policy, and with what is declared of it."""
        entry = next((entry for entry in reversed(self.declared) if entry.policy == policy), DeclaredPolicy(policy))
        return replace(self.settings, **entry.training(), policy=spec)

    def _with_memory_spans(self, policy: str) -> tuple[str, ...]:
        """A policy's spec with each memory span, if its kind takes one.

        Raises:
            ValueError: The spec has one of its own.
        """
        if self.memory_span is None or kind_of(policy) not in _WITH_MEMORY_SPAN:
            return (policy,)
        if ",memory_span=" in policy:
            raise ValueError(
                f"expected memory_span in the suite or in its policies' specs, got both: '{policy}'. Leave one out."
            )
        return tuple(f"{policy},memory_span={span}" for span in self.values("memory_span"))

    @property
    def parent(self) -> Path:
        """The folder that holds the runs' folders: `out/<suite>`, or `out` where the suite has no name."""
        return self.out / self.name if self.name else self.out

    def directory(self, run: RunSettings) -> Path:
        """Where a run's records go.

        Runs that cannot stand in one table, of several scenes or instruction sets, have a folder for each value. Other
        varied values follow the policy in the name of its folder.
        """
        parent = self.parent
        for name in APART:
            if len(self.values(name)) > 1:
                parent = parent / f"{name}-{folder_name(str(getattr(run, name)))}"
        suffixes = [f"{name.replace('_', '-')}-{getattr(run, name)}" for name in TOGETHER if len(self.values(name)) > 1]
        return parent / "--".join([self.run_name or run.slug, *suffixes])


def _require(values: Mapping[str, Any]) -> None:
    """Checks values by name before they become fields, so that an error names the setting."""
    for named in (*settings_of(RunSettings), *settings_of(Suite)):
        value = values.get(named.name, named.value)
        for each in value if isinstance(value, tuple) and named.setting.varies else (value,):
            named.require(each)


_VARYING = [named for named in settings_of(RunSettings) if named.setting.varies]
APART = tuple(named.name for named in _VARYING if named.setting.is_apart)
"""Settings whose values cannot stand in one table."""
TOGETHER = tuple(named.name for named in _VARYING if not named.setting.is_apart)
VARYING = (*APART, *TOGETHER)
"""Settings of `RunSettings` that may have several values in a suite."""
