"""Losses of a training."""

from collections.abc import Sequence

from matplotlib.axes import Axes

from calvinbench.harness.report.plots.style import axes, legend, logarithmic, looks
from calvinbench.policies.training.log import LogLine


def losses(lines: Sequence[LogLine], ax: Axes | None = None) -> Axes:
    """Loss on the training and the validation split against optimiser steps; returns the axes drawn into.

    Args:
        lines: Of a training's log.
        ax: Where to draw; None for a new figure.
    """
    with axes(ax, height_in=2.2) as ax:  # noqa: PLR1704
        training, validation = looks(2)
        ax.plot([line.step for line in lines], [line.loss for line in lines], label="training", color=training.colour)
        tried = {line.step: line.validation_loss for line in lines if line.validation_loss is not None}
        ax.plot(
            list(tried),
            list(tried.values()),
            label="validation",
            color=validation.colour,
            linestyle=validation.line,
            marker=validation.marker,
            markersize=3,
        )
        logarithmic(ax, "y")
        ax.set_xlabel("optimiser steps")
        ax.set_ylabel("loss")
        legend(ax)
        return ax
