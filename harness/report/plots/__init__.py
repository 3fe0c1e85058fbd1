"""Figures of runs, one line of code each: runs in, matplotlib's axes out.

from calvinbench.harness import load_run, plots
plots.survival([load_run("runs/expert"), load_run("runs/random")])

Each function takes `labels=`, `colors=`, `order=`, `width=` or `figsize=`, `legend=` and `ax=`. Give
`colors=plots.method_colors(runs)` to all figures of a paper, so that a method has one colour.
"""

from calvinbench.harness.report.plots.colors import PALETTE, method_colors
from calvinbench.harness.report.plots.conditional import conditional
from calvinbench.harness.report.plots.conditions import conditions
from calvinbench.harness.report.plots.first_failures import first_failures
from calvinbench.harness.report.plots.forest import forest
from calvinbench.harness.report.plots.latency import latency
from calvinbench.harness.report.plots.memory import by_memory, memory
from calvinbench.harness.report.plots.style import (
    FORMATS,
    STYLE_NAME,
    WIDE_IN,
    WIDTH_IN,
    close,
    figure_of,
    save,
    style_path,
)
from calvinbench.harness.report.plots.survival import survival
from calvinbench.harness.report.plots.task_success import tasks
from calvinbench.harness.report.plots.tradeoff import tradeoff
from calvinbench.harness.report.plots.training_losses import losses

__all__ = [
    "FORMATS",
    "PALETTE",
    "STYLE_NAME",
    "WIDE_IN",
    "WIDTH_IN",
    "by_memory",
    "close",
    "conditional",
    "conditions",
    "figure_of",
    "first_failures",
    "forest",
    "latency",
    "losses",
    "memory",
    "method_colors",
    "save",
    "style_path",
    "survival",
    "tasks",
    "tradeoff",
]
