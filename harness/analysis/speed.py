"""How fast a run was, and how smoothly its policy moved, from its records alone."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from calvinbench.harness.analysis.methods import labels
from calvinbench.harness.analysis.smoothness import MEASURE_NAMES, MEASURES, solved_mean
from calvinbench.harness.records.records import SubtaskRecord
from calvinbench.harness.records.runs import Run

_FORMS = {"steps": ".0f", "action_change": ".3f", "gripper_changes": ".2f"}
FRAME_MS = 1000 / 30
"""Milliseconds per action at 30 Hz."""


@dataclass(frozen=True, slots=True)
class Speed:
    """Time per step, and change of the action.

    Attributes:
        num_steps: Steps of all chains.
        policy_ms: The policy's median; NaN if the records do not have it.
        policy_ms_p95: Its 95th percentile.
        world_ms: The world's mean.
        chains_per_hour: With one world.
        action_change: Mean change of the action from one step to the next, without the gripper.
    """

    num_steps: int
    policy_ms: float
    policy_ms_p95: float
    world_ms: float
    chains_per_hour: float
    action_change: float


def speed(run: Run) -> Speed:
    """Reads a run's records."""
    subtasks = [subtask for record in run.records for subtask in record.subtasks]
    counts: Counter[float] = Counter()
    for subtask in subtasks:
        counts.update({float(ms): count for ms, count in (subtask.policy_ms_counts or {}).items()})
    seconds = sum(subtask.seconds for subtask in subtasks)
    return Speed(
        num_steps=sum(subtask.steps for subtask in subtasks),
        policy_ms=quantile(counts, 0.5),
        policy_ms_p95=quantile(counts, 0.95),
        world_ms=_mean_by_steps(subtasks, "world_ms"),
        chains_per_hour=3600 * len(run.records) / seconds if seconds else float("nan"),
        action_change=_mean_by_steps(subtasks, "action_change"),
    )


def quantile(counts: Counter[float], share: float) -> float:
    """The smallest value that at least this share of all values does not exceed; NaN without a value.

    Args:
        counts: How often each value is there.
        share: From 0 to 1.
    """
    if not counts:
        return float("nan")
    values = np.array(sorted(counts))
    cumulated = np.cumsum([counts[value] for value in values])
    return float(values[np.searchsorted(cumulated, share * cumulated[-1])])


def _mean_by_steps(subtasks: Iterable[SubtaskRecord], name: str) -> float:
    """The mean over steps; records have the mean of each subtask."""
    told = [(getattr(subtask, name), subtask.steps) for subtask in subtasks if getattr(subtask, name) is not None]
    if not told:
        return float("nan")
    values, weights = zip(*told, strict=True)
    return float(np.average(values, weights=weights))


def speed_table(runs: Sequence[Run], names: Sequence[str] | None = None) -> pd.DataFrame:
    """One row a run: the numbers of `Speed`, and the means of `smoothness.MEASURES` over what it solved.

    Args:
        runs: The runs.
        names: Their names; None for `labels`.
    """
    return pd.DataFrame(
        [
            {"Method": label, "policy": run.description.policy, "memory": run.description.memory.span}
            | {"memory_reset": run.description.memory.reset, "batch_size": run.description.batch_size}
            | {name: getattr(found, name) for name in Speed.__slots__}
            | {f"solved_{measure}": solved_mean(run, measure) for measure in MEASURES}
            for run, label in zip(runs, names or labels(runs), strict=True)
            for found in [speed(run)]
        ]
    )


def speed_in_words(runs: Sequence[Run], names: Sequence[str] | None = None) -> pd.DataFrame:
    """One row a run, all text: times per step, and how the policy moved in the subtasks that it solved.

    Args:
        runs: The runs.
        names: Their names; None for `labels`.
    """
    rows = []
    for run, label in zip(runs, names or labels(runs), strict=True):
        found = speed(run)
        rows.append(
            {
                "Method": label,
                "Policy, ms per step (95% below)": "-"
                if np.isnan(found.policy_ms)
                else f"{found.policy_ms:g} ({found.policy_ms_p95:g})",
                "World, ms per step": _number(found.world_ms, ".1f"),
                "Chains per hour, one world": _number(found.chains_per_hour, ".0f"),
            }
            | {name: _number(solved_mean(run, measure), _FORMS[measure]) for measure, name in MEASURE_NAMES.items()}
        )
    return pd.DataFrame(rows)


SPEED_NOTE = "The last three columns are means over the subtasks that the policy solved, which differ from row to row."
"""The note below `speed_in_words`."""


def _number(value: float, form: str) -> str:
    return "-" if np.isnan(value) else format(value, form)
