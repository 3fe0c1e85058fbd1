"""The harness: policies step worlds through chains; records become tables and figures.

Read in this order: `suite`, `rollout`, `workers`, `executors`, `evaluation`, `records`, `description`, `run_directory`,
`runs`, `statistics`, `paired_statistics`, `training_seeds`, `run_pairs`,
`verdict`, `comparison`, `tables`, `plots`, `report`, `verbs`, `cli`.

A run from Python, which is kept as `calvinbench run` keeps it, and goes on when the script is started again:

    from calvinbench.harness import RunSettings, WorkerSetup, evaluate, load_run

    if __name__ == "__main__":  # with several worlds, each process imports this file
        settings = RunSettings("checkpoint:cnn", chains=20, max_steps=360, seed=0)
        run = evaluate(WorkerSetup(settings), "runs/cnn", worlds=2)
        print(run.completed.mean())  # average length
        print([subtask.outcome for subtask in run.records[0].subtasks])  # solved, timed_out or errored
        print(run.frame().groupby("task")["outcome"].apply(lambda each: (each == "solved").mean()))

`RunSettings` takes what the flags of `calvinbench run` take, under the same names. `load_run` reads a folder again. A
policy of your own is named by a spec, `python:my_module:make_policy`.
"""

if __name__ != "calvinbench.harness":
    raise ImportError(
        f"expected to be imported as 'calvinbench.harness', but was imported as '{__name__}'. "
        "A second copy of every class would appear. Install the project (`pip install -e .`) and "
        "write `import calvinbench.harness`."
    )

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from calvinbench.harness.analysis.comparison import compare
    from calvinbench.harness.from_python import evaluate
    from calvinbench.harness.records.runs import Run, find_runs, load_run
    from calvinbench.harness.report import plots
    from calvinbench.harness.report.export import subtask_frame
    from calvinbench.harness.report.report import write_report
    from calvinbench.harness.rollout.workers import WorkerSetup
    from calvinbench.harness.suite.settings import RunSettings

__all__ = [
    "Run",
    "RunSettings",
    "WorkerSetup",
    "compare",
    "evaluate",
    "find_runs",
    "load_run",
    "plots",
    "subtask_frame",
    "write_report",
]

_EXPORTS = {
    "Run": "records.runs",
    "RunSettings": "suite.settings",
    "WorkerSetup": "rollout.workers",
    "compare": "analysis.comparison",
    "evaluate": "from_python",
    "find_runs": "records.runs",
    "load_run": "records.runs",
    "subtask_frame": "report.export",
    "write_report": "report.report",
}


def __getattr__(name: str) -> Any:
    """Imports what is exported when it is first asked for: `calvinbench --help` must not wait for pandas."""
    if name not in __all__:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from importlib import import_module

    if name == "plots":
        return import_module(f"{__name__}.report.plots")
    return getattr(import_module(f"calvinbench.harness.{_EXPORTS[name]}"), name)
