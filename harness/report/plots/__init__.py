"""Figures of runs, one line of code each: plain objects in, matplotlib's axes in (or none) and out.

from calvinbench.harness import load_run, plots
plots.survival([load_run("runs/expert"), load_run("runs/random")])
"""

from calvinbench.harness.report.plots.conditions import conditions
from calvinbench.harness.report.plots.first_failures import first_failures
from calvinbench.harness.report.plots.forest import forest
from calvinbench.harness.report.plots.latency import latency
from calvinbench.harness.report.plots.memory import by_memory, memory
from calvinbench.harness.report.plots.style import FORMATS, WIDTH_IN, save
from calvinbench.harness.report.plots.survival import survival
from calvinbench.harness.report.plots.task_bars import tasks
from calvinbench.harness.report.plots.tradeoff import tradeoff
from calvinbench.harness.report.plots.training_losses import losses

__all__ = [
    "FORMATS",
    "WIDTH_IN",
    "by_memory",
    "conditions",
    "first_failures",
    "forest",
    "latency",
    "losses",
    "memory",
    "save",
    "survival",
    "tasks",
    "tradeoff",
]
