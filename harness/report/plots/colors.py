"""How each method looks: one colour, marker and line in all figures of a report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from calvinbench.harness.analysis.methods import Method, methods
from calvinbench.harness.records.runs import Run

PALETTE = (
    *("#0077ff", "#993311", "#117755", "#771177", "#bb8822", "#221199", "#2299bb", "#ff22aa"),
    *("#885577", "#222244", "#cc6677", "#1111ff", "#551111", "#9977dd", "#aa00cc", "#cc0044"),
)
"""Sixteen colours, found by a random search: as far apart as possible in CIELAB for normal vision, protanopia,
deuteranopia and tritanopia (Machado et al. 2009), and dark enough for lines and text on white. The first six also
differ in lightness, so that they survive grey printing."""
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")
_LINES: tuple[str | tuple[int, tuple[int, ...]], ...] = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)))


@dataclass(frozen=True, slots=True)
class Look:
    """How a method is drawn.

    Attributes:
        color: Of lines, marks, bands and labels.
        marker: As matplotlib takes it.
        line: Line style, likewise.
        is_hollow: Whether marks are outlines: those of the ninth to the sixteenth method are.
    """

    color: str
    marker: str
    line: str | tuple[int, tuple[int, ...]]
    is_hollow: bool

    @property
    def face(self) -> str:
        """The colour inside a mark."""
        return "white" if self.is_hollow else self.color


def method_colors(shown: Sequence[Run] | Sequence[Method]) -> dict[str, str]:
    """A colour for each method, by name. Give it to all figures of a report as `colors=`.

    Args:
        shown: All runs or methods of the report. After sixteen methods the colours start again.
    """
    return {method.name: PALETTE[place % len(PALETTE)] for place, method in enumerate(as_methods(shown))}


def as_methods(shown: Sequence[Run] | Sequence[Method]) -> tuple[Method, ...]:
    """The methods of runs; methods are left as they are."""
    given = tuple(each for each in shown if isinstance(each, Method))
    runs = tuple(each for each in shown if isinstance(each, Run))
    if given and runs:
        raise ValueError("expected either runs or methods, got both.")
    return given or methods(runs)


def looks(names: Sequence[str], colors: Mapping[str, str] | Sequence[str] | None = None) -> dict[str, Look]:
    """A look for each name.

    Args:
        names: Names of methods.
        colors: Colours by name, or one for each name. Names that it lacks get colours of the palette that it does not
            use. A method's place in it also decides the marker, so that this is the same in all figures.
    """
    if colors is not None and not isinstance(colors, Mapping):
        colors = dict(zip(names, colors, strict=False))
    given = dict(colors or {})
    free = [color for color in PALETTE if color not in given.values()] or list(PALETTE)
    missing = [name for name in names if name not in given]
    every = given | {name: free[number % len(free)] for number, name in enumerate(missing)}
    return {name: _look(place, color) for place, (name, color) in enumerate(every.items())}


def _look(place: int, color: str) -> Look:
    is_hollow = place // len(_MARKERS) % 2 == 1
    return Look(color, _MARKERS[place % len(_MARKERS)], _LINES[place % len(_LINES)], is_hollow)
