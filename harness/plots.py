"""Figures of runs, readable in a two-column paper: 8 pt text at a width of 3.4 inches, in colour and in grey."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path
from textwrap import fill
from typing import Any, NamedTuple

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from calvinbench.harness.labels import labels
from calvinbench.harness.records import NUM_SUBTASKS
from calvinbench.harness.runs import Run
from calvinbench.harness.statistics import survival_curve, task_success
from calvinbench.policies.training.log import LogLine

WIDTH_IN = 3.4
FORMATS = ("pdf", "svg", "png")
_BOOTSTRAP_SEED = 0
_LABEL_LINE_LENGTH = 40
_STYLE: Any = {
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


class _Look(NamedTuple):
    """How a run is drawn; each of the four alone tells it from the others."""

    colour: str
    line: str
    marker: str
    hatch: str


_LOOKS = (
    # Okabe and Ito's colours; printed grey some are alike, and line, marker and hatch tell them apart.
    _Look("#0072B2", "-", "o", ""),
    _Look("#D55E00", "--", "s", "////"),
    _Look("#009E73", "-.", "^", "...."),
    _Look("#CC79A7", ":", "D", "\\\\\\\\"),
    _Look("#E69F00", (0, (5, 1, 1, 1, 1, 1)), "v", "xxxx"),  # type: ignore[arg-type]
    _Look("#56B4E9", (0, (1, 3)), "P", "----"),  # type: ignore[arg-type]
    _Look("#000000", (0, (8, 2)), "X", "++++"),  # type: ignore[arg-type]
)


def survival(runs: Sequence[Run], ax: Axes | None = None) -> Axes:
    """Success rate at 1..5 subtasks in a row, with a simultaneous 95% band; returns the axes drawn into.

    Args:
        runs: Runs with at least one finished chain; others are left out.
        ax: Where to draw; None for a new figure.
    """
    with _axes(ax, height_in=2.6) as ax:  # noqa: PLR1704
        positions = np.arange(1, NUM_SUBTASKS + 1)
        for run, label, look in zip(runs, labels(runs), _looks(len(runs)), strict=True):
            if not run.records:
                continue
            curve = survival_curve(run.completed, np.random.default_rng(_BOOTSTRAP_SEED))
            ax.fill_between(positions, 100 * curve.low, 100 * curve.high, color=look.colour, alpha=0.18, linewidth=0)
            ax.plot(
                positions,
                100 * curve.rates,
                color=look.colour,
                linestyle=look.line,
                marker=look.marker,
                markersize=4,
                linewidth=1.2,
                label=label,
            )
        ax.set_xlabel("subtasks completed in a row")
        ax.set_ylabel("chains (%)")
        ax.set_xticks(positions)
        ax.set_ylim(-3, 103)
        _legend(ax)
        return ax


def tasks(runs: Sequence[Run], ax: Axes | None = None) -> Axes:
    """Success of each task, solved over reached with 95% intervals.

    At the right, how often it was reached (n): the least and the most where several runs differ.

    Args:
        runs: Runs with at least one finished chain.
        ax: Where to draw; None for a new figure, as high as the tasks need.
    """
    successes = [task_success(run.records) for run in runs]
    names = sorted({task for success in successes for task in success}, reverse=True)
    num_runs = max(len(runs), 1)
    with _axes(ax, height_in=0.6 + max(0.16, 0.08 * num_runs) * max(len(names), 4) + 0.18 * num_runs) as ax:  # noqa: PLR1704
        thickness = 0.84 / num_runs
        for index, (success, label, look) in enumerate(zip(successes, labels(runs), _looks(len(runs)), strict=True)):
            reached = [task for task in names if task in success]
            heights = np.array([names.index(task) for task in reached]) + (num_runs / 2 - index - 0.5) * thickness
            rates = np.array([100 * success[task].rate for task in reached])
            low = np.array([100 * success[task].interval.low for task in reached])
            high = np.array([100 * success[task].interval.high for task in reached])
            ax.barh(
                heights,
                rates,
                height=thickness * 0.92,
                color=look.colour,
                hatch=look.hatch,
                edgecolor="white",
                linewidth=0.3,
                label=label,
            )
            ax.errorbar(
                rates,
                heights,
                xerr=np.clip([rates - low, high - rates], 0, None),
                fmt="none",
                ecolor="black",
                elinewidth=0.6,
                capsize=1.2,
            )
        for height, task in enumerate(names):
            counts = sorted({success[task].num_trials for success in successes if task in success})
            ax.text(103, height, "\u2013".join(map(str, counts[:1] + counts[1:][-1:])), va="center", ha="left")
        ax.text(103, len(names) - 0.4, "n", va="bottom", ha="left")
        ax.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
        ax.set_ylim(-0.6, len(names) - 0.4)
        ax.set_xlim(0, 101)
        ax.set_xlabel("solved of those reached (%)")
        _legend(ax)
        return ax


def losses(lines: Sequence[LogLine], ax: Axes | None = None) -> Axes:
    """Loss on the training and the validation split against optimiser steps; returns the axes drawn into.

    Args:
        lines: Of a training's log.
        ax: Where to draw; None for a new figure.
    """
    with _axes(ax, height_in=2.2) as ax:  # noqa: PLR1704
        looks = _looks(2)
        ax.plot([line.step for line in lines], [line.loss for line in lines], label="training", color=looks[0].colour)
        tried = {line.step: line.validation_loss for line in lines if line.validation_loss is not None}
        ax.plot(
            list(tried),
            list(tried.values()),
            label="validation",
            color=looks[1].colour,
            linestyle=looks[1].line,
            marker=looks[1].marker,
            markersize=3,
        )
        ax.set_yscale("log")
        ax.set_xlabel("optimiser steps")
        ax.set_ylabel("loss")
        _legend(ax)
        return ax


def save(ax: Axes, stem: Path) -> tuple[Path, ...]:
    """Writes the figure of `ax` as PDF, SVG and PNG beside each other; returns their paths."""
    figure = ax.get_figure(root=True)
    if figure is None:
        raise ValueError("expected axes that belong to a figure, got axes without one.")
    paths = []
    for suffix in FORMATS:
        path = stem.with_suffix(f".{suffix}")
        date = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(suffix, {})
        with rc_context(_STYLE):
            figure.savefig(path, dpi=300, metadata=date)
        paths.append(path)
    return tuple(paths)


@contextmanager
def _axes(ax: Axes | None, height_in: float) -> Iterator[Axes]:
    """The axes to draw into, with the house's style in force."""
    with rc_context(_STYLE):
        if ax is None:
            ax = Figure(figsize=(WIDTH_IN, height_in), layout="constrained").add_subplot()
        yield ax


def _looks(num_runs: int) -> list[_Look]:
    return list(islice(cycle(_LOOKS), num_runs))


def _legend(ax: Axes) -> None:
    """Above the axes, so that it hides nothing."""
    handles, texts = ax.get_legend_handles_labels()
    figure = ax.get_figure(root=True)
    if not handles or figure is None:
        return
    lines = [fill(text, _LABEL_LINE_LENGTH) for text in texts]
    if len(figure.axes) == 1:
        # The figure's own legend may be wider than the axes.
        figure.legend(handles, lines, loc="outside upper left", frameon=False, borderaxespad=0.2)
    else:
        ax.legend(handles, lines, loc="lower left", bbox_to_anchor=(0.0, 1.0), frameon=False, borderaxespad=0.2)
