"""Which runs may stand in one table, figure or comparison, and of which a verdict may be given."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from calvinbench.harness.description import Difference
from calvinbench.harness.runs import Run

_MUST_AGREE = (
    *("chains", "chain_digest", "tasks", "max_steps", "world", "scene", "asset_digest", "simulation"),
    *("instructions", "instruction_digest"),
)
_RENDERER_FIELDS = ("renderer", "depth_bits", "reference_frame")


MAX_ERRORED_SHARE = 0.01
"""Above this share of errored chains no verdict is given."""


def has_too_many_errors(run: Run) -> bool:
    """Whether more than 1% of the chains errored."""
    return run.num_errored > MAX_ERRORED_SHARE * len(run.records)


def are_of_tasks(runs: Sequence[Run]) -> bool:
    """Whether these are runs of each task alone, not of chains."""
    return bool(runs[0].description.tasks)


@dataclass(frozen=True, slots=True)
class Group:
    """Runs that stand in one table.

    Attributes:
        title: What sets them apart from those of other groups; empty where there is but one.
        runs: The runs.
    """

    title: str
    runs: tuple[Run, ...]


def groups(runs: Sequence[Run]) -> tuple[Group, ...]:
    """The runs by scene and by instruction set, for each of which there is a table; in the order of their first runs.

    Whatever else sets runs apart is refused by `require_comparable`.
    """
    found: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        found.setdefault((run.description.scene, run.description.instructions), []).append(run)
    scenes, instructions = ({key[place] for key in found} for place in (0, 1))
    grouped = []
    for (scene, sentences), members in found.items():
        parts = [f"scene {scene}"] if len(scenes) > 1 else []
        parts += [f"instructions {Path(sentences).name}"] if len(instructions) > 1 else []
        grouped.append(Group(", ".join(parts), tuple(members)))
    return tuple(grouped)


class RunsDifferError(ValueError):
    """Runs that cannot stand in one table."""


def require_comparable(runs: Sequence[Run], any_renderer: bool = False) -> None:
    """Refuses runs whose chains, steps, world, scene, physics, renderer or instruction set differ.

    Args:
        runs: What is to be compared.
        any_renderer: Whether the renderers may differ.

    Raises:
        RunsDifferError: They do; the message shows where.
    """
    first = runs[0]
    fields = _MUST_AGREE if any_renderer else _MUST_AGREE + _RENDERER_FIELDS
    for other in runs[1:]:
        unlike = [
            Difference(name, getattr(first.description, name), getattr(other.description, name))
            for name in fields
            if getattr(first.description, name) != getattr(other.description, name)
        ]
        if unlike:
            listed = "\n".join(f"  {difference.name}: {difference.old} and {difference.new}" for difference in unlike)
            only_renderer = {difference.name for difference in unlike} <= set(_RENDERER_FIELDS)
            raise RunsDifferError(
                f"'{first.directory}' and '{other.directory}' cannot stand in one table, for they differ in\n{listed}\n"
                "Report them separately, or run one of them again on the other's terms"
                + (", or compare them all the same with --any-renderer." if only_renderer else ".")
            )
