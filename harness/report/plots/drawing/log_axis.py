"""Logarithmic axes with plain numbers."""

from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

_LEAST_SPAN = 2.0
"""High over low."""
_CHOICES = ((1, 2, 5), (1, 3), (1,), (1, 2, 3, 5, 7), (1, 2, 4, 6, 8), (1, 1.2, 1.6, 2, 3, 4, 6, 8))
_MOST_TICKS = {"x": 6, "y": 7}
_LEAST_TICKS = 3


def logarithmic(ax: Axes, which: Literal["x", "y"] = "x", most: int | None = None) -> None:
    """Makes an axis logarithmic around what is drawn, with three to seven ticks in plain numbers, such as 0.05."""
    ax.set(**{f"{which}scale": "log"})
    low, high = ax.get_xlim() if which == "x" else ax.get_ylim()
    wider = max(1.0, (_LEAST_SPAN * low / high) ** 0.5)
    low, high = low / wider, high * wider
    ax.set(**{f"{which}lim": (low, high)})
    axis = ax.xaxis if which == "x" else ax.yaxis
    axis.set_major_locator(FixedLocator(_ticks(low, high, most or _MOST_TICKS[which])))
    axis.set_major_formatter(FuncFormatter(lambda value, _: np.format_float_positional(value, trim="-")))
    axis.set_minor_locator(NullLocator())


def _ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers in a range, as evenly spread as possible; a few digits serve better than many."""
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    found = [
        [value for decade in decades for digit in digits if low <= (value := float(f"{digit}e{decade}")) <= high]
        for digits in _CHOICES
    ]
    fitting = [ticks for ticks in found if _LEAST_TICKS <= len(ticks) <= most]
    if fitting:
        return min(fitting, key=lambda ticks: float(np.diff(np.log([low, *ticks, high])).max()))
    return [float(f"{value:.2g}") for value in np.geomspace(low, high, 5)[1:-1]]
