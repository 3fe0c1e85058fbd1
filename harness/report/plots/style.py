"""The style sheet of all figures, and how they are saved. What an author sets in `rcParams` wins over the sheet."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context, rc_params_from_file, rcParams, rcParamsDefault
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from calvinbench.envs.names import require_name

WIDTH_IN = 3.4
"""Width of a figure in one column of a two-column paper."""
WIDE_IN = 7.0
"""Width of a figure over both columns."""
FORMATS = ("pdf", "svg", "png")
STYLE_NAME = "calvinbench.harness.report.plots.calvinbench"
"""The style sheet for `matplotlib.pyplot.style.use`."""
_MIN_PT = 6.0


def style_path() -> Path:
    """The style sheet's file, for `matplotlib.pyplot.style.use` or to copy and change."""
    return Path(str(files("calvinbench.harness.report.plots").joinpath("calvinbench.mplstyle")))


@cache
def _sheet() -> Mapping[str, Any]:
    params: Any = rc_params_from_file(style_path(), fail_on_error=True, use_default_template=False)
    return dict(params)


@contextmanager
def style(changes: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Puts the style sheet in force. Settings that differ from matplotlib's defaults are the author's, and stay.

    Args:
        changes: Further settings, which always win.
    """
    current: Any = rcParams
    default: Any = rcParamsDefault
    ours: Any = {name: value for name, value in _sheet().items() if current[name] == default[name]}
    with rc_context(ours | dict(changes or {})):
        yield


def small_pt() -> float:
    """Size of labels and numbers in points, in the style in force: at least 6 unless the author's text is smaller."""
    base = float(rcParams["font.size"])
    return min(base, max(_MIN_PT, base * 5 / 6))


def tiny_pt() -> float:
    """The smallest size of text in points, in the style in force."""
    return min(float(rcParams["font.size"]), _MIN_PT)


def figure_of(axes: Axes | np.ndarray) -> Figure:
    """The figure of axes.

    Args:
        axes: What a function of this package returns: axes, or an array of them.

    Raises:
        ValueError: The axes do not belong to a figure.
    """
    first = axes.flat[0] if isinstance(axes, np.ndarray) else axes
    figure = first.get_figure(root=True)
    if not isinstance(figure, Figure):
        raise ValueError("expected axes that belong to a figure, got axes without one.")
    return figure


def save(axes: Axes | np.ndarray, stem: Path | str, formats: Sequence[str] = FORMATS) -> tuple[Path, ...]:
    """Writes the figure of `axes` in several formats beside each other. The same figure gives the same bytes.

    Args:
        axes: Axes of the figure, or an array of them.
        stem: Path of the files without the suffix. The folder must exist.
        formats: Some of `FORMATS`.

    Returns:
        The paths of the files, in the order of `formats`.

    Raises:
        ValueError: A format is unknown, or the axes do not belong to a figure.
    """
    for name in formats:
        require_name(name, FORMATS, "figure format")
    figure = figure_of(axes)
    paths = []
    for suffix in formats:
        path = Path(f"{stem}.{suffix}")
        date = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(suffix, {})
        with style():
            figure.savefig(path, format=suffix, dpi=rcParams["savefig.dpi"], metadata=date)
        paths.append(path)
    return tuple(paths)


def close(axes: Axes | np.ndarray) -> None:
    """Forgets a figure that pyplot knows, as `pyplot.close`; does nothing for other figures."""
    import sys

    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close(figure_of(axes))
