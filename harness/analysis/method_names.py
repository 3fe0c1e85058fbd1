"""Distinct short names: methods of one name are distinguished by the attribute in which they differ."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from calvinbench.envs.names import require_name
from calvinbench.harness.analysis.attributes import attributes_of
from calvinbench.harness.records.policy_name import policy_name
from calvinbench.harness.records.runs import Run

_REMARKS: Mapping[str, Callable[[str], str]] = MappingProxyType(
    {
        "memory": lambda value: "no memory" if value == "none" else value,
        "memory reset": lambda value: f"reset at {value}",
        "chunk rule": lambda value: f"chunk rule {value}",
        "chunk length": lambda value: f"chunks of {value}",
        "trained on": lambda value: f"trained on {value}",
        "cameras": lambda value: "no camera" if value == "none" else f"{value} camera",
        "proprioception": lambda value: f"proprioception {value}",
        "size": str,
        "training seed": lambda value: f"seed {value}",
        "origin": str,
        "seed": lambda value: f"evaluation seed {value}",
        "worlds at once": lambda value: f"{value} worlds at once",
        "simulation": lambda value: f"{value} simulation",
        "renderer": str,
        "depth bits": lambda value: f"{value} depth bits",
        "checkpoint": str,
        "policy": str,
        "folder": str,
        "directory": str,
    }
)
"""How a name shows each attribute that methods of one name may differ in, the most telling first."""
_LAST_RESORTS = ("depth bits", "checkpoint", "policy", "folder", "directory")
"""These say less than several of the others together."""
_CONDITION_REMARKS: Mapping[str, Callable[[str], str]] = MappingProxyType(
    {
        "scene": lambda value: f"scene {value}",
        "instructions": lambda value: f"instructions {Path(value).name}",
    }
)
"""The same for attributes of the evaluation."""
_UNKNOWN = "unknown"


def distinct_names(groups: Sequence[Sequence[Run]], renamed: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """A short name for each method, no two alike.

    A method's name is that of its policy. If all methods are variants of one policy, as in an ablation, the variants
    are their names. Methods that still have one name are distinguished by a single attribute if there is one, else by
    several.

    Args:
        groups: The runs of each method, at least one.
        renamed: New names by old ones. An old name is a name that this function gives without `renamed`, a policy's
            name or full label, a policy spec, or the name of a run's folder.

    Raises:
        UnknownNameError: An old name does not exist.
        ValueError: Two methods would have one new name.
    """
    renamed = renamed or {}
    known = [
        (name, *_other_names(group)) for name, group in zip(_distinct(_bases(groups, {}), groups), groups, strict=True)
    ]
    bases = [policy_name(group[0].description).base for group in groups]
    for old in renamed:
        require_name(old, {*bases, *(name for names in known for name in names)}, "method")
    if clash := {renamed[base] for base in bases if base in renamed} & {base for base in bases if base not in renamed}:
        raise ValueError(f"expected a new name that no other method has, got '{clash.pop()}'. Choose another.")
    names = list(_distinct(_bases(groups, renamed), groups))
    for place, (own, *others) in enumerate(known):
        candidates = [own, *(other for other in others if other not in bases)]
        names[place] = next((renamed[old] for old in candidates if old in renamed), names[place])
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(f"expected a name of its own for each method, got '{twice[0]}' twice. Rename one of them.")
    return tuple(names)


def condition_remarks(groups: Sequence[Sequence[Run]]) -> tuple[str, ...]:
    """What distinguishes the evaluations of one policy, such as `scene D`; empty text for a single group.

    Args:
        groups: The runs of each evaluation.
    """
    if len(groups) < 2:
        return ("",) * len(groups)
    values = [_condition_values(group[0]) for group in groups]
    return tuple(" ".join(remarks) for remarks in _shortest_remarks(values, _CONDITION_REMARKS))


def _condition_values(run: Run) -> dict[str, str]:
    return {"scene": run.description.scene, "instructions": run.description.instructions}


def _bases(groups: Sequence[Sequence[Run]], renamed: Mapping[str, str]) -> list[str]:
    """Names before they are made distinct."""
    found = [policy_name(group[0].description) for group in groups]
    bases = {name.base for name in found}
    variants = [name.variant for name in found]
    if len(groups) > 1 and len(bases) == 1 and None not in variants and len(set(variants)) == len(variants):
        return [str(variant) for variant in variants]
    return [
        f"{renamed.get(name.base, name.base)}, {name.variant}" if name.variant else renamed.get(name.base, name.base)
        for name in found
    ]


def _other_names(group: Sequence[Run]) -> tuple[str, ...]:
    """What a user may call a method besides its name."""
    said = [run.description for run in group]
    return tuple(
        dict.fromkeys(
            [
                policy_name(said[0]).name,
                *(each.name for each in said),
                *(each.label for each in said if not each.variant),
                *(each.policy for each in said),
                *(run.directory.name for run in group),
            ]
        )
    )


def _distinct(bases: Sequence[str], groups: Sequence[Sequence[Run]]) -> tuple[str, ...]:
    names = list(bases)
    values = [_values(group) for group in groups]
    for name in [name for name, count in Counter(bases).items() if count > 1]:
        places = [place for place, other in enumerate(bases) if other == name]
        for place, remarks in zip(
            places, _shortest_remarks([values[place] for place in places], _REMARKS), strict=True
        ):
            names[place] = " ".join([name, *remarks])
    seen: Counter[str] = Counter()
    for place, name in enumerate(names):  # one run that is given twice
        seen[name] += 1
        names[place] = f"{name} ({seen[name]})" if seen[name] > 1 else name
    return tuple(names)


def _values(group: Sequence[Run]) -> dict[str, str]:
    """A method's attributes for its name. Values of several runs are joined."""
    each = [dict(attributes_of(run)) for run in group]
    values = {name: ", ".join(dict.fromkeys(one[name] for one in each if name in one)) or _UNKNOWN for name in _REMARKS}
    return values | {
        "depth bits": str(group[0].description.depth_bits or _UNKNOWN),
        "checkpoint": ", ".join(_checkpoint(run) for run in group),
        "folder": group[0].directory.name,
        "directory": group[0].directory.as_posix(),
    }


def _checkpoint(run: Run) -> str:
    """The folder of a checkpoint's spec, without the last part if that says nothing."""
    kind, _, argument = run.description.policy.partition(",")[0].partition(":")
    if kind != "checkpoint":
        return run.description.policy
    path = Path(argument)
    return path.parent.name or path.name if path.name == "checkpoint" else path.name


def _shortest_remarks(
    values: Sequence[Mapping[str, str]], remarks: Mapping[str, Callable[[str], str]]
) -> list[tuple[str, ...]]:
    """For each of several methods of one name, what is added to it: as few attributes as possible."""
    differing = [name for name in remarks if len({each[name] for each in values}) > 1]
    for name in differing:
        if name not in _LAST_RESORTS and len({each[name] for each in values}) == len(values):
            return [(_remark(remarks, name, each[name]),) for each in values]
    chosen: list[str] = []
    num_names = 1
    for name in differing:
        num_with = len({tuple(each[other] for other in (*chosen, name)) for each in values})
        if num_with > num_names:
            chosen.append(name)
            num_names = num_with
    return [tuple(_remark(remarks, name, each[name]) for name in chosen) for each in values]


def _remark(remarks: Mapping[str, Callable[[str], str]], name: str, value: str) -> str:
    return f"{name} {value}" if value == _UNKNOWN else remarks[name](value)
