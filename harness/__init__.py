"""The harness: policies step worlds through chains; records become tables and figures.

The rooms, in the order in which to read them:

- `suite`: what is run, as the user wrote it.
- `records`: the files of a run, and how they are read and written.
- `rollout`: one chain, from its initial state to its end.
- `execution`: many chains at once, in processes, in batches, or on a Ray cluster.
- `evaluation`: a run, from its settings to its last record.
- `analysis`: numbers from records. `report`: tables, figures and pages from these numbers.
- `recording`, `data_check`, `training`: demonstrations, and policies trained on them.
- `policy_check`, `diagnostics`, `progress`: what looks wrong with a policy or a machine; the progress display.
- `command_line`, `verbs`, `cli`: the commands of `calvinbench`.

A run from Python is stored as by `calvinbench run`. Start the script again to resume it::

    from calvinbench.harness import RunSettings, WorkerSetup, evaluate, load_run

    if __name__ == "__main__":  # with several worlds, each process imports this file
        settings = RunSettings("checkpoint:cnn", chains=20, max_steps=360, seed=0)
        run = evaluate(WorkerSetup(settings), "runs/cnn", worlds=2)
        print(run.completed.mean())  # average length
        print([subtask.outcome for subtask in run.records[0].subtasks])  # solved, timed_out or errored
        print(run.frame().groupby("task")["outcome"].apply(lambda each: (each == "solved").mean()))

`RunSettings` has the settings of `calvinbench run`, under the same names. `load_run` reads a run from its folder. Name
your own policy by a spec, such as `python:my_module:make_policy`, or give the object itself::

    run = evaluate(MyPolicy(), chains=10)
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
    from calvinbench.harness.report.tables import table
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
    "table",
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
    "table": "report.tables",
    "write_report": "report.report",
}


def __getattr__(name: str) -> Any:
    """Imports an export when it is first used, so that `calvinbench --help` does not wait for pandas."""
    if name not in __all__:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from importlib import import_module

    if name == "plots":
        return import_module(f"{__name__}.report.plots")
    return getattr(import_module(f"calvinbench.harness.{_EXPORTS[name]}"), name)
