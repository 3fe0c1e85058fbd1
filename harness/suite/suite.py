"""What a run is: frozen settings, from flags or from a YAML file, spelled alike in both and in `run.json`."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from hashlib import sha256
from importlib.resources import files
from itertools import product
from pathlib import Path
from typing import Any

from calvinbench.envs.names import UnknownNameError, require_name
from calvinbench.envs.simulation import REPRODUCIBLE
from calvinbench.harness.suite.declared_policy import DeclaredPolicy, read_policies, require_declared
from calvinbench.policies.policy import Memory
from calvinbench.policies.spec import kind_of

STUDY_FOLDER = "docs/study"
"""In the repository: suites of checkpoints that must be trained first, which therefore do not ship."""
STUDY_SUITES = ("ablations", "backbones", "history", "seeds")
DEFAULT_OUT = Path("runs")
LOCAL, RAY = "local", "ray"
EXECUTORS = (LOCAL, RAY)
STEP_TIMEOUT_SECONDS = 600.0
"""A first step may compile kernels, or read weights from a slow disk."""
ALL_TASKS = "all"
"""Stands for all tasks' names."""
MEMORY_RESETS = ("subtask", "chain")
_MAX_SLUG_LENGTH = 80


@dataclass(frozen=True, slots=True)
class RunSettings:
    """One policy on one list of chains: all that its records may depend on.

    Attributes:
        policy: The policy's spec, `KIND:ARGUMENT[,key=value...]`.
        scene: Name of the scene.
        chains: How many of the published chains, from the first; with `tasks`, how many initial states for each task.
        tasks: Tasks to run each alone instead of chains; empty for chains.
        max_steps: Steps for each subtask.
        seed: Where the policy's random draws start from.
        batch_size: Worlds that the policy answers at once; 1 for a copy of the policy in each world's process.
        step_timeout: Seconds that the policy may take for a step, and the world as well; 0 for any number.
        memory_reset: When memory is cleared, `"subtask"` or `"chain"`; None leaves it to the policy.
        calvin_env: The checkout of calvin_env for CALVIN's scenes; None looks for one.
        calvin: The checkout of calvin for CALVIN's sentences; None looks for one.
        simulation: One of `envs.simulation.RUN_SIMULATIONS`.
        instructions: One of `envs.instructions.INSTRUCTIONS`.
        renderer: One of `envs.renderers.RENDERERS`; None for the world's own default.
        depth_bits: Of our renderer's depth buffer, 16 or 24; None for what suits the scene.
        train: What the policy was trained on, as its user declares it, such as `"ABC"`; None for what it says itself.
        training_seed: Seed of its training, declared likewise.
        training_recipe: Name of its training but for the seed, declared likewise.
        variant: What sets it apart in tables from policies of the same label; None for nothing.
    """

    policy: str
    scene: str = "embedded"
    chains: int = 1000
    tasks: tuple[str, ...] = ()
    max_steps: int = 360
    seed: int = 0
    batch_size: int = 1
    step_timeout: float = STEP_TIMEOUT_SECONDS
    memory_reset: str | None = None
    calvin_env: str | None = None
    calvin: str | None = None
    simulation: str = REPRODUCIBLE
    instructions: str = "auto"
    renderer: str | None = None
    depth_bits: int | None = None
    train: str | None = None
    training_seed: int | None = None
    training_recipe: str | None = None
    variant: str | None = None

    def __post_init__(self) -> None:
        for name in ("chains", "max_steps", "seed", "batch_size"):
            _require_whole_number(name, getattr(self, name))
        _require_amount("step_timeout", self.step_timeout)
        for name in ("policy", "scene", "simulation", "instructions"):
            if not isinstance(getattr(self, name), str) or not getattr(self, name):
                hint = (
                    " A policy is named by its spec; python:my_module:make_policy calls make_policy() of my_module.py."
                    if name == "policy"
                    else ""
                )
                raise ValueError(f"expected {name} to be a name, got {getattr(self, name)!r}.{hint}")
        if self.renderer is not None and (not isinstance(self.renderer, str) or not self.renderer):
            raise ValueError(f"expected renderer to be a name, got {self.renderer!r}.")
        require_declared(self.train, self.training_seed, self.training_recipe, self.variant)
        for name in ("calvin_env", "calvin"):
            folder = getattr(self, name)
            if folder is not None and (not isinstance(folder, str) or not folder):
                raise ValueError(f"expected {name} to be a folder's path, got {folder!r}.")
        if self.memory_reset is not None:
            require_name(str(self.memory_reset), MEMORY_RESETS, "memory_reset")

    @property
    def slug(self) -> str:
        """The policy's spec as a folder's name."""
        slug = _slug(self.policy) or "policy"
        if len(slug) > _MAX_SLUG_LENGTH:
            slug = f"{slug[: _MAX_SLUG_LENGTH - 9]}-{sha256(self.policy.encode()).hexdigest()[:8]}"
        return slug


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.")


_VARIED = ("scene", "instructions", "seed", "memory_reset")
_WITH_MEMORY_SPAN = ("checkpoint", "robovlms", "untrained")
"""Kinds of policies that take a memory span; others have one of their own, or none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """Several policies on the same chains, to be compared.

    `scene`, `instructions`, `seed` and `memory_reset` may have several values: then each policy is run with each; so
    may `memory_span`, for policies that take one.

    Attributes:
        name: What the suite is called; None for policies given as flags.
        policy: The policies' specs.
        scene: As in `RunSettings`, for all of them; so are all that follow but `worlds` and `out`.
        chains: See `scene`.
        tasks: See `scene`; `("all",)` becomes the names of all of them.
        max_steps: See `scene`.
        seed: See `scene`.
        batch_size: See `scene`.
        step_timeout: See `scene`.
        memory_reset: See `scene`.
        memory_span: How far policies look back, `"unbounded"`, `"window:N"` or `"none"`: it becomes a setting of each
            spec of a kind that takes it. None leaves it to the policies.
        calvin_env: See `scene`.
        calvin: See `scene`.
        simulation: See `scene`.
        instructions: See `scene`.
        renderer: See `scene`.
        depth_bits: See `scene`.
        train: See `scene`; for the policies that `declared` says nothing of, and not for those that are privileged,
            random or untrained.
        declared: What is declared of the training of single policies.
        worlds: Worlds stepped at once. The records do not depend on it.
        videos: Which chains are filmed, `"all"`, `"failures"` or the number of the first ones; None for none.
        executor: One of `EXECUTORS`; with `"ray"`, `worlds` are those of the whole cluster.
        ray_address: Of the cluster, see `ray_execution.RayOptions`; so are the next two.
        cpus_per_replica: Processors that a replica of the policy takes, with its worlds.
        gpus_per_replica: GPUs that it takes.
        shard: Part `i/n` of the chains that is run, in a folder of its own; None for all.
        fail_fast: Whether the first chain that errors stops all runs.
        run_name: Name of the run's folder, where there is one policy; None for its spec. Not in files: there it is a
            flag alone, `--name`.
        out: Parent folder of the runs' folders.
    """

    policy: tuple[str, ...]
    name: str | None = None
    scene: str | tuple[str, ...] = "embedded"
    chains: int = 1000
    tasks: tuple[str, ...] = ()
    max_steps: int = 360
    seed: int | tuple[int, ...] = 0
    batch_size: int = 1
    step_timeout: float = STEP_TIMEOUT_SECONDS
    memory_reset: str | tuple[str, ...] | None = None
    memory_span: str | tuple[str, ...] | None = None
    calvin_env: str | None = None
    calvin: str | None = None
    simulation: str = REPRODUCIBLE
    instructions: str | tuple[str, ...] = "auto"
    renderer: str | None = None
    depth_bits: int | None = None
    train: str | None = None
    declared: tuple[DeclaredPolicy, ...] = ()
    worlds: int = 1
    videos: str | None = None
    executor: str = LOCAL
    ray_address: str | None = None
    cpus_per_replica: float | None = None
    gpus_per_replica: float | None = None
    shard: str | None = None
    fail_fast: bool = False
    run_name: str | None = None
    out: Path = DEFAULT_OUT

    def __post_init__(self) -> None:
        _require_whole_number("worlds", self.worlds)
        self._require_run_name()
        if self.tasks == (ALL_TASKS,):
            from calvinbench.envs.tasks import TASKS  # heavy; the command line must answer soon

            object.__setattr__(self, "tasks", TASKS)
        if not self.policy:
            raise ValueError("expected at least one policy, got none. Add --policy SPEC, such as --policy random.")
        for name in (*_VARIED, "memory_span"):
            values = getattr(self, name)
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
        """Refuses a name that cannot be a folder's, or that several policies would share."""
        if self.run_name is None:
            return
        if self.run_name != _slug(self.run_name) or not self.run_name:
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

    @property
    def varied(self) -> tuple[str, ...]:
        """The fields that may have several values, each of which is run with each policy."""
        return _VARIED

    def values(self, name: str) -> tuple[Any, ...]:
        """The values of `scene`, `instructions`, `seed`, `memory_reset` or `memory_span`."""
        found = getattr(self, name)
        return found if isinstance(found, tuple) else (found,)

    @property
    def runs(self) -> tuple[RunSettings, ...]:
        """One run a policy, and value of what is varied; what cannot stand in one table varies slowest."""
        declared = {entry.policy: entry for entry in self.declared}
        policies = [
            (spec, declared.get(policy, DeclaredPolicy(policy)))
            for policy in self.policy
            for spec in self._with_memory_spans(policy)
        ]
        return tuple(
            RunSettings(
                policy=policy,
                scene=scene,
                chains=self.chains,
                tasks=self.tasks,
                max_steps=self.max_steps,
                seed=seed,
                batch_size=self.batch_size,
                step_timeout=self.step_timeout,
                memory_reset=memory_reset,
                calvin_env=self.calvin_env,
                calvin=self.calvin,
                simulation=self.simulation,
                instructions=instructions,
                renderer=self.renderer,
                depth_bits=self.depth_bits,
                train=said.train or self.train,
                training_seed=said.training_seed,
                training_recipe=said.training_recipe,
                variant=said.variant,
            )
            for scene, instructions, (policy, said), memory_reset, seed in product(
                self.values("scene"),
                self.values("instructions"),
                policies,
                self.values("memory_reset"),
                self.values("seed"),
            )
        )

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

        Runs that cannot stand in one table, of several scenes or instruction sets, have a folder for each; memory and
        seed are told behind the policy.
        """
        parent = self.parent
        for name in ("scene", "instructions"):
            if len(self.values(name)) > 1:
                parent = parent / f"{name}-{_slug(str(getattr(run, name)))}"
        varied = [name for name in ("memory_reset", "seed") if len(self.values(name)) > 1]
        told = [f"{name.replace('_', '-')}-{getattr(run, name)}" for name in varied]
        return parent / "--".join([self.run_name or run.slug, *told])


_LOWEST = {"chains": 1, "max_steps": 1, "seed": 0, "batch_size": 1, "worlds": 1}


def _require_whole_number(name: str, value: Any) -> None:
    lowest = _LOWEST[name]
    if not isinstance(value, int) or isinstance(value, bool) or value < lowest:
        raise ValueError(f"expected {name} to be a whole number of at least {lowest}, got {value!r}.")


def _require_amount(name: str, value: Any) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < math.inf:
        raise ValueError(f"expected {name} to be a number of at least 0, got {value!r}.")


def _check_numbers(settings: dict[str, Any]) -> None:
    """Checks the numbers and switches among a suite's keys; whole ones become fractions where settings have those."""
    for key in _LOWEST.keys() & settings.keys():
        for value in settings[key] if isinstance(settings[key], tuple) else (settings[key],):
            _require_whole_number(key, value)
    if not isinstance(settings.get("fail_fast", False), bool):
        raise ValueError(f"expected fail_fast to be true or false, got {settings['fail_fast']!r}.")
    for name in ("step_timeout", "cpus_per_replica", "gpus_per_replica"):
        if name in settings:
            _require_amount(name, settings[name])
            settings[name] = float(settings[name])


def shipped_suites() -> tuple[str, ...]:
    """Names of the suites that come with the package."""
    folder = files("calvinbench.harness.suite.suites")
    return tuple(sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml")))


def load_suite(name_or_path: str) -> Suite:
    """Reads a suite by the name of a shipped one or by the path of a YAML file.

    Raises:
        UnknownNameError: There is no such suite, or the file has a key that no suite has.
        ValueError: The file is not a mapping, or a value is out of range.
    """
    path = Path(name_or_path)
    if path.suffix in (".yaml", ".yml") or path.is_file():
        if not path.is_file():
            raise ValueError(
                f"expected a suite's file at '{path}', found none. Shipped: {', '.join(shipped_suites())}."
            )
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"expected YAML in UTF-8 in suite '{path}', got other bytes: {error}.") from error
        return parse_suite(path.stem, text, str(path))
    if name_or_path in STUDY_SUITES:
        raise UnknownNameError(
            f"The suite '{name_or_path}' does not ship, because it runs checkpoints that must be trained first. It is "
            f"the file {STUDY_FOLDER}/{name_or_path}.yaml in calvinbench's repository; docs/study/backbones.sh there "
            "trains what it runs. "
            f"Suites that ship: {', '.join(shipped_suites())}."
        )
    name = require_name(name_or_path, shipped_suites(), "suite")
    return parse_suite(
        name, files("calvinbench.harness.suite.suites").joinpath(f"{name}.yaml").read_text("utf-8"), name
    )


def _names(value: Any, origin: str) -> tuple[str, ...]:
    """A list of tasks' names; `all` may stand alone."""
    if value == ALL_TASKS:
        return (ALL_TASKS,)
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise ValueError(f"expected tasks in suite '{origin}' to be all or a list of names, got {value!r}.")
    return tuple(value)


def _folder(value: Any, origin: str) -> Path:
    """A folder's path."""
    if not isinstance(value, str) or not value:
        raise ValueError(f"expected out in suite '{origin}' to be a folder's path, got {value!r}.")
    return Path(value)


def parse_suite(name: str, text: str, origin: str) -> Suite:
    """Makes a suite of YAML text.

    Args:
        name: The suite's name.
        text: A mapping with the fields of `Suite` but `name`, `declared` and `run_name`; for `policy`, see
            `read_policies`.
        origin: Where the text is from, for messages.

    Raises:
        UnknownNameError: A key is not a field of `Suite`.
        ValueError: The text is not such a mapping, or a value is out of range.
    """
    import yaml

    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"expected YAML in suite '{origin}', got: {error}") from error
    if not isinstance(values, Mapping):
        raise ValueError(f"expected a mapping of settings in suite '{origin}', got {type(values).__name__}.")
    known = [field.name for field in fields(Suite) if field.name not in ("name", "declared", "run_name")]
    for key in values:
        require_name(str(key), known, f"key of suite '{origin}':")
    settings = dict(values)
    if "tasks" in settings:
        settings["tasks"] = _names(settings["tasks"], origin)
    settings |= {key: tuple(settings[key]) for key in (*_VARIED, "memory_span") if isinstance(settings.get(key), list)}
    if "out" in settings:
        settings["out"] = _folder(settings["out"], origin)
    try:
        _check_numbers(settings)
        listed = read_policies(settings.pop("policy", ()), origin)
        return Suite(name=name, policy=listed.specs, declared=listed.declared, **settings)
    except UnknownNameError:
        raise
    except ValueError as error:
        raise ValueError(f"Suite '{origin}': {error}") from error
