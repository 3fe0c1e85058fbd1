"""Results for other programs: a row a subtask, or CALVIN's own `results.json`."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd

from calvinbench.envs.system.atomic_write import whole_file
from calvinbench.harness.analysis.comparable import are_of_tasks
from calvinbench.harness.analysis.methods import labels
from calvinbench.harness.analysis.statistics import survivors, task_success
from calvinbench.harness.records.folders import make_folder, write_text_atomically
from calvinbench.harness.records.runs import Run


def subtask_frame(runs: Sequence[Run]) -> pd.DataFrame:
    """One row for each subtask that was reached, of all runs, with a boolean column `success`; for notebooks.

        from calvinbench.harness import find_runs, subtask_frame
        frame = subtask_frame(find_runs("runs"))
        frame.groupby(["label", "task"]).success.mean()

    Columns are those of `Run.frame`, where `label` tells the runs apart, and of the run: `scene`, `instructions`,
    `train`, `seed`, `memory_span`, `memory_reset`, `official` (yes, or no and why) and its `directory`.

    Args:
        runs: At least one run; chains of any length.

    Raises:
        ValueError: There is no run.
    """
    if not runs:
        raise ValueError("expected at least one run for a frame, got none.")
    frames = []
    has_rows = any(run.records for run in runs)
    for run, label in zip(runs, labels(runs), strict=True):
        if has_rows and not run.records:  # its columns would have no type, and take that of the others
            continue
        said = run.description
        frames.append(
            run.frame().assign(
                label=label,
                scene=said.scene,
                instructions=said.instructions,
                train=said.train,
                seed=said.seed,
                memory_span=said.memory.span,
                memory_reset=said.memory.reset,
                official=str(said.official),
                directory=run.directory.as_posix(),
            )
        )
    return pd.concat(frames, ignore_index=True)


def calvin_results(runs: Sequence[Run]) -> dict[str, Any]:
    """What CALVIN's evaluation writes (`print_and_save` in calvin_agent's utils, fa03f01), a run in an epoch's place.

    Rates and average length of a run without a finished chain are None: there is none, and JSON has no NaN.

    Raises:
        ValueError: The runs are of single tasks, of which CALVIN's file says nothing.
    """
    if are_of_tasks(runs):
        raise ValueError("expected runs of chains for CALVIN's results.json, got runs of single tasks. Take csv.")
    results = {}
    for run, label in zip(runs, labels(runs), strict=True):
        count = len(run.records)
        results[label] = {
            "avg_seq_len": float(run.completed.mean()) if count else None,
            "chain_sr": {
                str(k): int(solved) / count if count else None
                for k, solved in enumerate(survivors(run.completed, run.chain_length), start=1)
            },
            "task_info": {
                task: {"success": rate.num_successes, "total": rate.num_trials}
                for task, rate in task_success(run.records).items()
            },
        }
    return results


def _write_csv(runs: Sequence[Run], path: Path) -> None:
    write_text_atomically(path, subtask_frame(runs).to_csv(index=False))


def _write_parquet(runs: Sequence[Run], path: Path) -> None:
    try:
        with whole_file(path) as temporary:
            subtask_frame(runs).to_parquet(temporary, index=False)
    except ImportError as error:
        raise ValueError(
            "expected pyarrow, with which pandas writes Parquet, found none: pip install 'calvinbench[export]'."
        ) from error


def _write_calvin(runs: Sequence[Run], path: Path) -> None:
    write_text_atomically(path, json.dumps(calvin_results(runs), indent=2, allow_nan=False) + "\n")


FORMS: Mapping[str, tuple[str, Callable[[Sequence[Run], Path], None]]] = MappingProxyType(
    {
        "csv": ("subtasks.csv", _write_csv),
        "parquet": ("subtasks.parquet", _write_parquet),
        "calvin": ("results.json", _write_calvin),
    }
)
"""What can be written: the file's usual name, and who writes it."""


def export(runs: Sequence[Run], form: str, path: Path) -> Path:
    """Writes runs into a file; returns its path.

    Args:
        runs: The runs.
        form: One of `FORMS`.
        path: The file.

    Raises:
        ValueError: The form cannot hold these runs, or a package is missing.
        OSError: The file cannot be written.
    """
    make_folder(path.parent)
    FORMS[form][1](runs, path)
    return path
