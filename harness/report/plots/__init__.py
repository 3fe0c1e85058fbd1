"""Figures of runs, one line of code each: runs in, matplotlib's axes out.

from calvinbench.harness import load_run, plots
plots.survival([load_run("runs/expert"), load_run("runs/random")])
"""

from calvinbench.harness.report.plots.conditional import conditional
from calvinbench.harness.report.plots.survival import survival
from calvinbench.harness.report.plots.task_success import tasks
from calvinbench.harness.report.plots.first_failures import first_failures
from calvinbench.harness.report.plots.forest import forest
from calvinbench.harness.report.plots.latency import latency
from calvinbench.harness.report.plots.tradeoff import tradeoff
