"""How all figures look: 8 pt text at a width of 3.4 inches for a two-column paper, in colour and in grey."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path
from textwrap import fill
from typing import Any, Literal, NamedTuple

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from calvinbench.envs.names import require_name
from calvinbench.harness.analysis.statistics import Mean

WIDTH_IN = 3.4
WIDE_IN = 7.0
"""Of a figure over both columns."""
FORMATS = ("pdf", "svg", "png")
NAME_LENGTH = 48
"""Letters of 8 pt that a line of a column holds."""
_LABEL_LINE_LENGTH = 44
_LEGEND_LINE_IN = 0.175
_LEGEND_LINES_INCLUDED = 3
"""For which a figure's usual height has room."""
_LEAST_SPAN = 2.0
"""Of a logarithmic axis, high over low."""
_FEW_DIGITS_FROM = 5.0
"""High over low, from which a logarithmic axis has room for 1, 2 and 5 alone."""
_SCREEN_DPI = 150
"""Of a picture in a notebook: a column is 510 pixels wide."""
STYLE: Any = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "pdf.fonttype": 42,
    "svg.hashsalt": "calvinbench",
    "hatch.linewidth": 0.5,
}


class Look(NamedTuple):
    """How a run is drawn; of seven runs each of the first four alone tells it from the others.

    Attributes:
        colour: Of lines, marks and bars.
        line: As matplotlib takes it.
        marker: Likewise.
        hatch: Of bars.
        is_hollow: Whether marks are outlines, which tells the second seven from the first.
    """

    colour: str
    line: str
    marker: str
    hatch: str
    is_hollow: bool = False

    @property
    def face(self) -> str:
        """The colour inside a mark."""
        return "white" if self.is_hollow else self.colour


LOOKS = (
    # Okabe and Ito's colours; printed grey some are alike, and line, marker and hatch tell them apart.
    Look("#0072B2", "-", "o", ""),
    Look("#D55E00", "--", "s", "////"),
    Look("#009E73", "-.", "^", "...."),
    Look("#CC79A7", ":", "D", "\\\\\\\\"),
    Look("#E69F00", (0, (5, 1, 1, 1, 1, 1)), "v", "xxxx"),  # type: ignore[arg-type]
    Look("#56B4E9", (0, (1, 3)), "P", "----"),  # type: ignore[arg-type]
    Look("#000000", (0, (8, 2)), "X", "++++"),  # type: ignore[arg-type]
)


class ShownAxes(Axes):
    """Axes that a notebook shows as a picture of their whole figure, without pyplot, which would keep every figure."""

    def _repr_png_(self) -> bytes:
        """What IPython asks for."""
        figure = self.get_figure(root=True)
        if figure is None:
            raise ValueError("expected axes that belong to a figure, got axes without one.")
        picture = io.BytesIO()
        with rc_context(STYLE):
            figure.savefig(picture, format="png", dpi=_SCREEN_DPI)
        return picture.getvalue()


@contextmanager
def axes(ax: Axes | None, height_in: float, names: Sequence[str] = ()) -> Iterator[Axes]:
    """The axes to draw into, with the house's style in force.

    Args:
        ax: Where to draw; None for a new figure.
        height_in: How high a new one is, in inches, with a legend of three lines.
        names: What the legend will list, for which it grows.
    """
    with rc_context(STYLE):
        if ax is None:
            num_lines = sum(_in_lines(name).count("\n") + 1 for name in names)
            height_in += _LEGEND_LINE_IN * max(0, num_lines - _LEGEND_LINES_INCLUDED)
            ax = Figure(figsize=(WIDTH_IN, height_in), layout="constrained").add_subplot(axes_class=ShownAxes)
        yield ax


def looks(num_runs: int) -> list[Look]:
    """A look for each run, in order."""
    return list(islice(cycle([*LOOKS, *(look._replace(is_hollow=True) for look in LOOKS)]), num_runs))


def aside(number: int, num_series: int, width: float) -> float:
    """How far from its place the mark of a series stands, where those of all are spread over `width`."""
    return width * ((number + 0.5) / num_series - 0.5)


def logarithmic(ax: Axes, which: Literal["x", "y"] = "x") -> None:
    """Makes an axis logarithmic around what is drawn, with numbers on it as people write them."""
    ax.set(**{f"{which}scale": "log"})
    low, high = ax.get_xlim() if which == "x" else ax.get_ylim()
    wider = max(1.0, (_LEAST_SPAN * low / high) ** 0.5)
    ax.set(**{f"{which}lim": (low / wider, high * wider)})
    axis = ax.xaxis if which == "x" else ax.yaxis
    axis.set_major_locator(LogLocator(subs=range(1, 10) if high / low < _FEW_DIGITS_FROM else (1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def marks(ax: Axes, places: Sequence[float], means: Sequence[Mean], look: Look, label: str) -> None:
    """A mark for each mean, with its interval upright.

    Args:
        ax: Where to draw.
        places: On the x axis.
        means: As many.
        look: Colour and marker.
        label: For the legend.
    """
    reach = [(mean.value - mean.interval.low, mean.interval.high - mean.value) for mean in means]
    ax.errorbar(
        places,
        [mean.value for mean in means],
        yerr=np.clip(np.array(reach).T, 0, None),
        fmt=look.marker,
        color=look.colour,
        markerfacecolor=look.face,
        markersize=4,
        elinewidth=1.0,
        capsize=2,
        label=label,
    )


def legend(ax: Axes) -> None:
    """Above the axes, so that it hides nothing."""
    handles, texts = ax.get_legend_handles_labels()
    figure = ax.get_figure(root=True)
    if not handles or figure is None:
        return
    lines = [_in_lines(text) for text in texts]
    if len(figure.axes) == 1:
        # The figure's own legend may be wider than the axes.
        figure.legend(handles, lines, loc="outside upper left", frameon=False, borderaxespad=0.2)
    else:
        ax.legend(handles, lines, loc="lower left", bbox_to_anchor=(0.0, 1.0), frameon=False, borderaxespad=0.2)


def _in_lines(name: str) -> str:
    return fill(name, _LABEL_LINE_LENGTH)


def save(ax: Axes, stem: Path, formats: Sequence[str] = FORMATS) -> tuple[Path, ...]:
    """Writes the figure of `ax` in several formats beside each other; returns their paths.

    Args:
        ax: Axes of the figure.
        stem: The files' path without a suffix.
        formats: Some of `FORMATS`.

    Raises:
        ValueError: A format is unknown, or `ax` does not belong to a figure.
    """
    for name in formats:
        require_name(name, FORMATS, "figure format")
    figure = ax.get_figure(root=True)
    if figure is None:
        raise ValueError("expected axes that belong to a figure, got axes without one.")
    paths = []
    for suffix in formats:
        path = stem.with_suffix(f".{suffix}")
        date = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(suffix, {})
        with rc_context(STYLE):
            figure.savefig(path, dpi=300, metadata=date)
        paths.append(path)
    return tuple(paths)
