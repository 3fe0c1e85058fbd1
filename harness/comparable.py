"""Which runs may stand in one table, figure or comparison."""

from collections.abc import Sequence

from calvinbench.harness.description import Difference
from calvinbench.harness.runs import Run

_MUST_AGREE = (
    *("chains", "chain_digest", "tasks", "max_steps", "world", "scene", "asset_digest"),
    *("instructions", "instruction_digest"),
)
_RENDERER_FIELDS = ("renderer", "depth_bits", "reference_frame")


class RunsDifferError(ValueError):
    """Runs that cannot stand in one table."""


def require_comparable(runs: Sequence[Run], any_renderer: bool = False) -> None:
    """Refuses runs whose chains, steps, world, scene, renderer or instruction set differ.

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
