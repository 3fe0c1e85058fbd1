"""Methods: what tables, figures and comparisons show. A method is a policy, or a recipe with several training seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from calvinbench.harness.analysis.attributes import ATTRIBUTE_NAMES, attributes_of
from calvinbench.harness.analysis.method_names import condition_remarks, distinct_names
from calvinbench.harness.records.runs import Run

Seeds = Literal["mean", "each"]
"""Whether training seeds of one recipe are one method, or each is a method of its own."""
PRIVILEGED_MARK = "†"


@dataclass(frozen=True, slots=True)
class Method:
    """One row of a table, one colour of a figure.

    Attributes:
        name: Short name, the same in all tables and figures that are made of the same runs.
        runs: One run for each training seed of a recipe, in the order of the seeds; otherwise one run.
        attributes: Values by attribute, see `ATTRIBUTE_NAMES`, such as `{"size": "1.5M", "memory": "window:8"}`. Values
            of several runs are joined: `{"training seed": "0, 1"}`. Unknown attributes are missing.
    """

    name: str
    runs: tuple[Run, ...]
    attributes: Mapping[str, str]

    @property
    def is_privileged(self) -> bool:
        """Whether the policy reads the world's state."""
        return self.runs[0].description.privileged

    @property
    def marked_name(self) -> str:
        """The name, with a mark for a privileged policy."""
        return f"{self.name} {PRIVILEGED_MARK}" if self.is_privileged else self.name

    @property
    def has_seeds(self) -> bool:
        """Whether it has runs of several training seeds."""
        return len(self.runs) > 1

    @property
    def chains(self) -> tuple[int, ...]:
        """Numbers of the chains that all runs have finished, in order."""
        return tuple(sorted(set.intersection(*({record.chain for record in run.records} for run in self.runs))))


def methods(runs: Sequence[Run], labels: Mapping[str, str] | None = None, seeds: Seeds = "mean") -> tuple[Method, ...]:
    """The methods of some runs, in the order of their first runs, with distinct names.

    Runs are training seeds of one method if they have different training seeds, and the same policy name, training
    recipe, memory, chunk rule, inputs and evaluation seed. One policy in two conditions, such as two scenes, is two
    methods, whose names say the condition.

    Args:
        runs: The runs.
        labels: New names by old ones. An old name is a method's name without `labels`, a policy's name or full label, a
            policy spec, or the name of a run's folder.
        seeds: `"mean"`: training seeds of one recipe are one method. `"each"`: each run is a method.

    Raises:
        UnknownNameError: An old name in `labels` does not exist.
        ValueError: Two methods would have the same name.
    """
    found: list[Method] = []
    for name, by_condition in _named_policies(runs, labels, seeds):
        remarks = condition_remarks(by_condition)
        found += [
            Method(f"{name} {remark}".strip(), group, _attributes(group))
            for remark, group in zip(remarks, by_condition, strict=True)
        ]
    places = {id(run): place for place, run in enumerate(runs)}
    return tuple(sorted(found, key=lambda method: min(places[id(run)] for run in method.runs)))


def methods_by_condition(
    runs: Sequence[Run], labels: Mapping[str, str] | None = None, seeds: Seeds = "mean"
) -> tuple[tuple[Method, ...], ...]:
    """As `methods`, apart for each condition; a policy has the same name in all of them.

    A condition is a scene and an instruction set.

    Args:
        runs: The runs.
        labels: New names by old ones.
        seeds: Whether training seeds of one recipe are one method.

    Raises:
        UnknownNameError: An old name in `labels` does not exist.
        ValueError: Two methods would have the same name.
    """
    conditions: dict[object, list[Method]] = {condition(run): [] for run in runs}
    for name, by_condition in _named_policies(runs, labels, seeds):
        for group in by_condition:
            conditions[condition(group[0])].append(Method(name, group, _attributes(group)))
    return tuple(map(tuple, conditions.values()))


def condition(run: Run) -> tuple[str, str]:
    """Scene and instruction set: runs of several may stand side by side, but are never compared."""
    return run.description.scene, run.description.instructions


def _setting(run: Run) -> tuple[object, ...]:
    """All of an evaluation that training seeds of one method have in common."""
    said = run.description
    return (
        *(said.scene, said.instructions, said.asset_digest, said.instruction_digest, said.world, said.renderer),
        *(said.depth_bits, said.reference_frame, said.simulation, said.chain_digest, said.max_steps, said.tasks),
    )


def _named_policies(
    runs: Sequence[Run], labels: Mapping[str, str] | None, seeds: Seeds
) -> list[tuple[str, list[tuple[Run, ...]]]]:
    """Each policy (or recipe) with its name and its runs in each condition."""
    policies: dict[object, dict[object, list[tuple[Run, ...]]]] = {}
    for group in recipes(runs) if seeds == "mean" else [(run,) for run in runs]:
        key = _recipe(group[0]) if seeds == "mean" else None
        by_condition = policies.setdefault(key or _policy(group[0]), {})
        by_condition.setdefault(condition(group[0]), []).append(group)
    named = [
        [groups[number] for groups in by_condition.values() if number < len(groups)]
        for by_condition in policies.values()
        for number in range(max(map(len, by_condition.values())))
    ]
    names = distinct_names([[run for group in groups for run in group] for groups in named], labels)
    return list(zip(names, named, strict=True))


def recipes(runs: Sequence[Run]) -> tuple[tuple[Run, ...], ...]:
    """The runs, those of one recipe in one condition together, in the order of their training seeds."""
    groups: dict[object, dict[int, Run]] = {}
    for number, run in enumerate(runs):
        recipe, seed = _recipe(run), run.description.training_seed or 0
        key: object = (recipe, _setting(run))
        if recipe is None or seed in groups.get(key, {}):  # unknown, or the same training again
            key = number
        groups.setdefault(key, {})[seed] = run
    return tuple(tuple(group[seed] for seed in sorted(group)) for group in groups.values())


def _recipe(run: Run) -> tuple[object, ...] | None:
    """What training seeds of one recipe have in common; None if the recipe or the seed is unknown."""
    said = run.description
    if said.training_seed is None or said.training_recipe is None:
        return None
    return (
        *(said.name, said.training_recipe, said.memory, said.chunk_rule, said.observation_keys),
        *(said.seed, said.batch_size),
    )


def _policy(run: Run) -> tuple[object, ...]:
    """What runs of one policy have in common."""
    said = run.description
    return (
        *(said.policy, said.name, said.weights_digest, said.source_digest, said.memory, said.chunk_rule),
        *(said.observation_keys, said.train, said.training_seed, said.training_recipe, said.seed, said.batch_size),
    )


def _attributes(runs: Sequence[Run]) -> Mapping[str, str]:
    each = [attributes_of(run) for run in runs]
    joined = {
        name: ", ".join(dict.fromkeys(values[name] for values in each if name in values)) for name in ATTRIBUTE_NAMES
    }
    return MappingProxyType({name: value for name, value in joined.items() if value})


def constant_attributes(methods: Sequence[Method]) -> Mapping[str, str]:
    """The attributes that have one value in all methods, by name."""
    first = methods[0].attributes
    return {name: value for name, value in first.items() if all(each.attributes.get(name) == value for each in methods)}


def differing_attributes(methods: Sequence[Method]) -> tuple[str, ...]:
    """Names of the attributes in which methods differ, in their order in tables."""
    return tuple(name for name in ATTRIBUTE_NAMES if len({each.attributes.get(name) for each in methods}) > 1)


def labels(runs: Sequence[Run]) -> tuple[str, ...]:
    """The runs' names, no two alike, privileged policies marked; training seeds are listed one by one."""
    names = {id(method.runs[0]): method.marked_name for method in methods(runs, seeds="each")}
    return tuple(names[id(run)] for run in runs)
