"""Which runs may be in one table, figure or comparison, and for which a verdict may be given."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from calvinbench.envs.chains import CHAIN_LENGTH
from calvinbench.harness.records.description import OFFICIAL_SCENE, Difference
from calvinbench.harness.records.runs import Run

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
    """Runs of one condition.

    Attributes:
        title: What distinguishes them from other groups; empty if there is one group.
        runs: The runs.
    """

    title: str
    runs: tuple[Run, ...]


def groups(runs: Sequence[Run]) -> tuple[Group, ...]:
    """The runs by scene and instruction set, in the order of their first runs.

    `require_comparable` raises an error for other differences.
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


def require_one_length(runs: Sequence[Run]) -> None:
    """Requires chains of one length: rates and average lengths of others mean different things.

    Raises:
        RunsDifferError: The lengths differ; the message shows which.
    """
    for other in runs[1:]:
        if other.chain_length != runs[0].chain_length:
            raise RunsDifferError(
                f"'{runs[0].directory}' and '{other.directory}' cannot stand in one table: their chains have "
                f"{runs[0].chain_length} and {other.chain_length} subtasks. Report them separately."
            )


def require_published_fit(runs: Sequence[Run], any_scene: bool = False) -> None:
    """Requires runs that published results may be below: CALVIN's chains of five on its scene D.

    Args:
        runs: The runs.
        any_scene: Whether the scene may be another.

    Raises:
        RunsDifferError: The runs are of another scene, of single tasks, or of chains of another length.
    """
    for run in runs:
        described = run.description
        what = f"scene {described.scene}" if described.scene != OFFICIAL_SCENE and not any_scene else ""
        if described.tasks:
            what = "single tasks"
        elif run.chain_length != CHAIN_LENGTH:
            what = f"chains of {run.chain_length}"
        if what:
            raise RunsDifferError(
                f"expected chains of {CHAIN_LENGTH} on CALVIN's scene {OFFICIAL_SCENE} above published figures, but "
                f"'{run.directory}' is of {what}: they are not comparable. Leave --published out."
            )


def require_comparable(runs: Sequence[Run], any_renderer: bool = False) -> None:
    """Requires runs with the same chains, steps, world, scene, physics, renderer and instruction set.

    Args:
        runs: The runs to compare.
        any_renderer: Whether the renderers may differ.

    Raises:
        RunsDifferError: They differ; the message shows where.
    """
    require_one_length(runs)
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
