"""Losses of trainings."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from calvinbench.harness.report.plots.choice import Colors
from calvinbench.harness.report.plots.colors import Look, looks
from calvinbench.harness.report.plots.drawing.canvas import canvas, new_figure
from calvinbench.harness.report.plots.drawing.curves import MOST_TOGETHER, Legend, panel_titles
from calvinbench.harness.report.plots.drawing.direct_labels import LabelledPoint, column_height_in, label_at_right
from calvinbench.harness.report.plots.drawing.log_axis import logarithmic
from calvinbench.harness.report.plots.drawing.text_layout import LINE_HEIGHT
from calvinbench.harness.report.plots.style import WIDTH_IN, small_pt, style
from calvinbench.policies.training.log import LogLine

_TRAINING, _VALIDATION = "training", "validation"
_PALE = 0.45
_CONTEXT = "0.85"
_MOST_PANEL_TICKS = 3


def losses(
    lines: Sequence[LogLine] | Mapping[str, Sequence[LogLine]],
    *,
    labels: Mapping[str, str] | Sequence[str] | None = None,
    colors: Colors | None = None,
    order: Sequence[str] | None = None,
    width: float = WIDTH_IN,
    figsize: tuple[float, float] | None = None,
    legend: Legend = "direct",
    ax: Axes | None = None,
) -> Axes | np.ndarray:
    """Loss on the training split (thin) and on the validation split (with marks) against optimiser steps.

    Args:
        lines: The log of one training, see `read_log`; or of several, by name. More than six have a panel each.
        labels: New names by old ones, or a name for each training.
        colors: Colours by name, or one for each training, see `method_colors`. Of one training: of both curves.
        order: Names to draw, in this order.
        width: Width of a new figure in inches.
        figsize: Width and height of a new figure in inches, in place of `width`.
        legend: `"direct"` for names beside the curves, True for a legend, False for none.
        ax: Axes to draw into; None for a new figure.

    Returns:
        The axes; with panels, an array of them.
    """
    if not isinstance(lines, Mapping):
        return _of_one(lines, colors, width, figsize, legend, ax)
    names = list(order or lines)
    shown = _renamed({name: lines[name] for name in names}, labels)
    look_of = looks(list(shown), colors)
    if ax is None and len(shown) > MOST_TOGETHER:
        return _panels(shown, look_of, width, figsize)
    with style():
        labels_in = column_height_in(list(shown), width) if legend == "direct" else 0.0
    with canvas(ax, figsize or (width, max(2.2, labels_in + 0.4))) as ax:  # noqa: PLR1704
        for name, of_one in shown.items():
            _draw(ax, of_one, look_of[name], name)
        _finish(ax)
        if legend is True:
            ax.legend(loc="best")
        elif legend == "direct":
            label_at_right(ax, [_end(name, shown[name], look_of[name].color) for name in shown if shown[name]], width)
        return ax


def _of_one(
    lines: Sequence[LogLine],
    colors: Colors | None,
    width: float,
    figsize: tuple[float, float] | None,
    legend: Legend,
    ax: Axes | None,
) -> Axes:
    look_of = looks([_TRAINING, _VALIDATION], colors)
    with canvas(ax, figsize or (width, 2.2)) as ax:  # noqa: PLR1704
        ax.plot(
            [line.step for line in lines],
            [line.loss for line in lines],
            label=_TRAINING,
            color=look_of[_TRAINING].color,
        )
        tried = _validation(lines)
        look = look_of[_VALIDATION]
        if tried:
            ax.plot(list(tried), list(tried.values()), label=_VALIDATION, color=look.color, linestyle="--", marker="s")
        _finish(ax)
        if legend is True:
            ax.legend(loc="best")
        elif legend == "direct" and lines:
            ends = [LabelledPoint(_TRAINING, float(lines[-1].step), lines[-1].loss, look_of[_TRAINING].color)]
            if tried:
                ends.append(LabelledPoint(_VALIDATION, float(max(tried)), tried[max(tried)], look.color))
            label_at_right(ax, ends, width if figsize is None else figsize[0])
        return ax


def _renamed(
    lines: Mapping[str, Sequence[LogLine]], labels: Mapping[str, str] | Sequence[str] | None
) -> dict[str, Sequence[LogLine]]:
    if labels is None:
        return dict(lines)
    if isinstance(labels, Mapping):
        return {labels.get(name, name): of_one for name, of_one in lines.items()}
    return dict(zip(labels, lines.values(), strict=True))


def _validation(lines: Sequence[LogLine]) -> dict[int, float]:
    return {line.step: line.validation_loss for line in lines if line.validation_loss is not None}


def _draw(ax: Axes, lines: Sequence[LogLine], look: Look, name: str) -> None:
    tried = _validation(lines)
    is_alone = not tried
    ax.plot(
        [line.step for line in lines],
        [line.loss for line in lines],
        color=look.color,
        alpha=1.0 if is_alone else _PALE,
        linewidth=1.0 if is_alone else 0.6,
        label=name if is_alone else f"_{name}",
    )
    if tried:
        ax.plot(
            *(list(tried), list(tried.values())),
            color=look.color,
            marker=look.marker,
            markerfacecolor=look.face,
            markersize=3,
            label=name,
        )


def _end(name: str, lines: Sequence[LogLine], color: str) -> LabelledPoint:
    tried = _validation(lines)
    step = max(tried) if tried else lines[-1].step
    return LabelledPoint(name, float(step), tried[step] if tried else lines[-1].loss, color)


def _finish(ax: Axes, most_ticks: int | None = None) -> None:
    if ax.lines:
        logarithmic(ax, "y", most_ticks)
    ax.xaxis.set_major_locator(MaxNLocator(4))
    ax.set_xlabel("optimiser steps")
    ax.set_ylabel("loss")


def _panels(
    shown: Mapping[str, Sequence[LogLine]],
    look_of: Mapping[str, Look],
    width: float,
    figsize: tuple[float, float] | None,
) -> np.ndarray:
    with style():
        num_columns, titles = panel_titles(list(shown), width if figsize is None else figsize[0])
        num_rows = -(-len(shown) // num_columns)
        title_in = max(title.count("\n") + 1 for title in titles) * LINE_HEIGHT * small_pt() / 72
        figure = new_figure(figsize or (width, num_rows * (0.8 + title_in) + 0.45))
        grid = figure.subplots(num_rows, num_columns, sharex=True, sharey=True, squeeze=False)
        for panel in grid.flat[len(shown) :]:
            panel.remove()
        panels = grid.ravel()[: len(shown)]
        for place, (panel, (name, lines), title) in enumerate(zip(panels, shown.items(), titles, strict=True)):
            for other in shown.values():
                tried = _validation(other)
                panel.plot(list(tried), list(tried.values()), color=_CONTEXT, linewidth=0.5)
            _draw(panel, lines, look_of[name], name)
            panel.set_title(title, loc="left", fontsize=small_pt(), color=look_of[name].color, linespacing=1.05)
            panel.tick_params(labelbottom=place + num_columns >= len(shown))
        _finish(panels[0], _MOST_PANEL_TICKS)
        for panel in panels:
            panel.set_xlabel("")
            panel.set_ylabel("")
            panel.xaxis.set_major_locator(MaxNLocator(2))
        figure.supxlabel("optimiser steps")
        figure.supylabel("loss")
        return panels
