"""What must be said under a table: protocol, size, and whatever calls for caution."""

import re
from collections.abc import Sequence

from calvinbench.envs.scene import EMBEDDED
from calvinbench.harness.comparable import are_of_tasks, has_too_many_errors
from calvinbench.harness.comparison import Comparison
from calvinbench.harness.labels import PRIVILEGED_MARK, labels
from calvinbench.harness.published_results import PUBLISHED_MARK, PublishedResult
from calvinbench.harness.records import NUM_SUBTASKS
from calvinbench.harness.runs import Run
from calvinbench.harness.training_seeds import seed_means

_SMALL_MILLIONS = 300
_SIZE_AND_ORIGIN = re.compile(r"\(([0-9.]+)M, (?:trained here|shipped with calvinbench)")
"""In a label, of a policy that began with random weights."""
ALIKE_MARK = "\u2248"
"""Beside an average length that is not told from the best."""


def notes(
    runs: Sequence[Run], published: Sequence[PublishedResult] = (), comparison: Comparison | None = None
) -> list[str]:
    """The notes, in order.

    Args:
        runs: The table's.
        published: Published rows of the table.
        comparison: The runs held against each other, where the table marks what came of it.
    """
    first = runs[0].description
    lines = [_official_note(runs)]
    lines.append(
        f"Each of {len(first.tasks)} tasks alone, {first.chains} starts in all, from the evaluation's initial states, "
        "or from where the expert leads from them where none allows the task; "
        f"{first.max_steps} steps, scene {first.scene}, instruction set {first.instructions}. Percent solved; in "
        "brackets: 95% intervals, each for itself."
        if are_of_tasks(runs)
        else f"{first.chains} chains of {NUM_SUBTASKS} subtasks, {first.max_steps} steps a subtask, scene "
        f"{first.scene}, instruction set {first.instructions}. Columns 1 to 5: percent of chains with at least so many "
        "subtasks completed in a row. In brackets: 95% intervals, each for itself."
    )
    if first.scene == EMBEDDED:
        lines.append(
            "The embedded scene is calvinbench's own, not one of CALVIN's: these figures are not comparable with "
            "published ones."
        )
    if comparison is not None and len(comparison.best) > 1 and not are_of_tasks(runs):
        lines.append(f"{ALIKE_MARK} not distinguishable from the best in average length (paired by chain, Holm, 5%).")
    if seed_means(runs):
        lines.append(
            "Means of training seeds: their intervals cover another seed's training and other chains; those of single "
            "runs cover other chains alone."
        )
    if any(run.description.privileged for run in runs):
        lines.append(
            f"{PRIVILEGED_MARK} reads the world's privileged state, which learned policies never see; never in bold."
        )
    lines += _of_policies(runs)
    lines += _cautions(runs)
    if published:
        sources = "; ".join(dict.fromkeys(result.source for result in published))
        are_official = all(run.description.official.official for run in runs)
        lines.append(
            f"{PUBLISHED_MARK} published, not run here: as printed by {sources}. Cameras, data and chains are those of "
            "the source"
            + ("." if are_official else "; the runs above are not official, and not comparable with them one to one.")
        )
    return lines


def _of_policies(runs: Sequence[Run]) -> list[str]:
    """What is to be said of what policies are told, and of small ones."""
    named = list(zip(runs, labels(runs), strict=True))
    seeing = {label for run, label in named if any(key.startswith("rgb_") for key in run.description.observation_keys)}
    told = [label for run, label in named if "robot_obs" in run.description.observation_keys]
    small = [label for label in labels(runs) if _is_small(label)]
    lines = []
    if told:
        others = "; the others that see pictures are not." if seeing - set(told) else "."
        lines.append(f"Told the robot's state (proprioception): {', '.join(told)}{others}")
    elif seeing:
        lines.append("No policy that sees pictures is told the robot's state (proprioception).")
    if small:
        lines.append(f"Small policies, trained from scratch: {', '.join(small)}. They say nothing of full-size VLMs.")
    return lines


def _is_small(label: str) -> bool:
    """Whether a label says that a policy was trained from scratch and has few parameters."""
    found = _SIZE_AND_ORIGIN.search(label)
    return found is not None and float(found[1]) < _SMALL_MILLIONS


def _cautions(runs: Sequence[Run]) -> list[str]:
    """What is to be said of single runs."""
    lines = []
    named = list(zip(runs, labels(runs), strict=True))
    untrained = [label for run, label in named if run.description.is_untrained]
    if untrained:
        lines.append(
            f"Warning: untrained, with random weights: {', '.join(untrained)}. Such a policy scores near zero; "
            "it shows the machinery, not what the architecture can do."
        )
    for run, label in named:
        if run.description.unlike_training:
            lines.append(f"Note: {label} was trained on another world: {'; '.join(run.description.unlike_training)}.")
        if run.num_missing:
            lines.append(f"Warning: {label} is not complete: {len(run.records)} of {run.description.chains} chains.")
        if has_too_many_errors(run):
            lines.append(
                f"Warning: {run.num_errored} of {len(run.records)} chains of {label} errored (more than 1%): they "
                "count as failures, and no verdict is given. `error` in chains.jsonl says why."
            )
    return lines


def _official_note(runs: Sequence[Run]) -> str:
    """One line; reasons that are not common to all runs are said by run."""
    verdicts = [run.description.official for run in runs]
    if all(verdict.official for verdict in verdicts):
        return "Official: yes."
    common = [reason for reason in verdicts[0].because if all(reason in verdict.because for verdict in verdicts)]
    parts = list(common)
    for label, verdict in zip(labels(runs), verdicts, strict=True):
        own = [reason for reason in verdict.because if reason not in common]
        if own:
            parts.append(f"{label}: {', '.join(own)}")
    return f"Official: no, because {'; '.join(parts)}."
