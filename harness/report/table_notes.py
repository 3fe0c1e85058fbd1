"""What must be said under a table: protocol, size, and whatever calls for caution."""

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from calvinbench.envs.scenes.scene import EMBEDDED
from calvinbench.harness.analysis.action_watch import findings_of_run
from calvinbench.harness.analysis.comparable import are_of_tasks, has_too_many_errors
from calvinbench.harness.analysis.labels import PRIVILEGED_MARK
from calvinbench.harness.analysis.statistics import EXACT_BELOW, Intervals
from calvinbench.harness.analysis.summaries import Summary
from calvinbench.harness.records.runs import Run
from calvinbench.harness.report.best_cells import alike_cells
from calvinbench.harness.report.published_results import PUBLISHED_MARK, PublishedResult
from calvinbench.harness.report.table_input import TableInput

_SMALL_MILLIONS = 300
_MOST_LISTED = 3
"""More runs are not named one by one where the same is to be said of all."""
_LITTLE = 0.02
"""Subtasks, between two intervals that are as good as the same."""
_SIZE_AND_ORIGIN = re.compile(r"\(([0-9.]+)M, (?:trained here|shipped with calvinbench)")
"""In a label, of a policy that began with random weights."""
ALIKE_MARK = "\u2248"
"""Beside what is not told from the best of its column."""

_KINDS: Mapping[Intervals, str] = MappingProxyType(
    {
        "wilson": f"Wilson's, Clopper-Pearson's below {EXACT_BELOW} trials or near 0 and 1",
        "exact": "Clopper-Pearson's (exact)",
    }
)


def notes(table: TableInput) -> list[str]:
    """The notes, in order."""
    runs, published = table.runs, table.published
    first = runs[0].description
    brackets = f"in brackets: 95% intervals, each for itself; those of rates are {_KINDS[table.intervals]}."
    lines = [_official_note(table)]
    lines.append(
        f"Each of {len(first.tasks)} tasks alone, {first.chains} starts in all, from the evaluation's initial states, "
        "or from where the expert leads from them where none allows the task; "
        f"{first.max_steps} steps, scene {first.scene}, instruction set {first.instructions}. Percent solved; "
        f"{brackets} Best in bold over all tasks alone, not for each."
        if are_of_tasks(runs)
        else f"{first.chains} chains of {_subtasks(runs)}, {first.max_steps} steps a subtask, scene "
        f"{first.scene}, instruction set {first.instructions}. {_columns(runs)}: percent of chains with at least so "
        f"many subtasks completed in a row; {brackets}"
    )
    if first.scene == EMBEDDED:
        lines.append(
            "The embedded scene is calvinbench's own, not one of CALVIN's: these figures are not comparable with "
            "published ones."
        )
    if not are_of_tasks(runs):
        lines += _clustered_note(table)
    alike = alike_cells(table)
    if alike.to_numpy().any():
        lines.append(
            f"{ALIKE_MARK} not distinguishable from the best in success over all tasks, by sign flips (paired by "
            "start, Holm, 5%)."
            if are_of_tasks(runs)
            else f"{ALIKE_MARK} not distinguishable from the best of its column: average lengths by sign flips, rates "
            "by McNemar's test, both also with the chains of one initial state taken together (paired, Holm, 5%)."
        )
    if table.seed_means:
        lines.append(
            "Means of training seeds: their intervals cover another seed's training and other chains; those of single "
            "runs cover other chains alone."
        )
    if any(run.description.privileged for run in runs):
        lines.append(
            f"{PRIVILEGED_MARK} reads the world's privileged state, which learned policies never see; never in bold."
        )
    lines += _of_policies(table)
    lines += _cautions(table)
    if published:
        sources = "; ".join(dict.fromkeys(result.source for result in published))
        are_official = all(run.description.official.official for run in runs)
        lines.append(
            f"{PUBLISHED_MARK} published, not run here: as printed by {sources}. Cameras, data and chains are those of "
            "the source"
            + ("." if are_official else "; the runs above are not official, and not comparable with them one to one.")
        )
        lines += _other_steps_note(published)
    return lines


def _other_steps_note(published: Sequence[PublishedResult]) -> list[str]:
    """Which published rows had more or fewer steps for each subtask than CALVIN gives."""
    others = [f"{result.model} ({result.max_steps})" for result in published if result.max_steps is not None]
    if not others:
        return []
    return [
        f"Published with another number of steps a subtask than CALVIN's 360: {', '.join(others)}. That is another "
        "protocol, and not comparable with the other rows one to one."
    ]


def _clustered_note(table: TableInput) -> list[str]:
    """Intervals of average lengths where chains of one initial state stand or fall together."""
    named = [
        (label, summary) for summary, label in zip(table.summaries, table.labels, strict=True) if summary.run.records
    ]
    if not named:
        return []
    num_states = max(summary.num_states for _, summary in named)
    of = f"The chains begin in {num_states} initial {'state' if num_states == 1 else 'states'}, and those of one are"
    apart = max(_apart(summary) for _, summary in named)
    if len(named) > _MOST_LISTED and apart <= _LITTLE:
        return [
            f"{of} not independent draws: over initial states, average lengths' 95% intervals end at most {apart:.2f} "
            "from those of the table (table.csv)."
        ]
    listed = "; ".join(
        f"{label} [{summary.clustered.interval.low:.2f}, {summary.clustered.interval.high:.2f}]"
        for label, summary in named
    )
    return [f"{of} not independent draws. Average lengths' 95% intervals over initial states: {listed}."]


def _apart(summary: Summary) -> float:
    """How far apart an average length's two intervals end, at the most."""
    of_chains, of_states = summary.average_length.interval, summary.clustered.interval
    return max(abs(of_chains.low - of_states.low), abs(of_chains.high - of_states.high))


def _subtasks(runs: Sequence[Run]) -> str:
    length = runs[0].chain_length
    return "one subtask" if length == 1 else f"{length} subtasks"


def _columns(runs: Sequence[Run]) -> str:
    length = runs[0].chain_length
    return "Column 1" if length == 1 else f"Columns 1 to {length}"


def _of_policies(table: TableInput) -> list[str]:
    """What is to be said of what policies read, and of small ones."""
    named = list(table.labelled())
    seeing = [label for run, label in named if any(key.startswith("rgb_") for key in run.description.observation_keys)]
    given = [label for run, label in named if "robot_obs" in run.description.observation_keys]
    maybe = [label for run, label in named if "robot_obs" in run.description.may_read]
    using = [label for label in given if label not in maybe]
    small = [label for label in table.labels if _is_small(label)]
    lines = []
    if using:
        others = "; the others that see images do not" if set(seeing) - set(given) and not maybe else ""
        whom = _all_but(using, seeing, "all policies that see images") or f"{', '.join(using)}{others}"
        lines.append(f"Use the robot's state (proprioception): {whom}.")
    elif seeing and not maybe:
        lines.append("No policy that sees images uses the robot's state (proprioception).")
    if maybe:
        others = "; the others that see images do not" if set(seeing) - set(given) else ""
        lines.append(
            f"May use the robot's state (proprioception): {', '.join(maybe)}{others}. They are given it; "
            "',proprioception=false' in the policy spec withholds it."
        )
    if small:
        which = _all_but(small, table.labels, "all runs") or ", ".join(small)
        lines.append(f"Small policies, trained from scratch: {which}. They say nothing of full-size VLMs.")
    return lines


def _all_but(chosen: Sequence[str], among: Sequence[str], all_of_them: str) -> str | None:
    """All of them but the few that are not chosen; None where those are many, or the chosen few enough to be named."""
    others = [label for label in among if label not in chosen]
    if len(chosen) <= _MOST_LISTED or len(others) > _MOST_LISTED or not set(chosen) <= set(among):
        return None
    return f"{all_of_them} but {', '.join(others)}" if others else all_of_them


def _is_small(label: str) -> bool:
    """Whether a label says that a policy was trained from scratch and has few parameters."""
    found = _SIZE_AND_ORIGIN.search(label)
    return found is not None and float(found[1]) < _SMALL_MILLIONS


def _cautions(table: TableInput) -> list[str]:
    """What is to be said of single runs."""
    lines = []
    named = list(table.labelled())
    untrained = [label for run, label in named if run.description.is_untrained]
    if untrained:
        lines.append(
            f"Warning: untrained, with random weights: {', '.join(untrained)}. Such a policy scores near zero; "
            "it shows the machinery, not what the architecture can do."
        )
    for run, label in named:
        if run.description.unlike_training:
            lines.append(f"Note: {label} was trained on another world: {'; '.join(run.description.unlike_training)}.")
        if found := findings_of_run(run):
            lines.append(f"Warning: the actions of {label} look wrong: {'; '.join(found)}.")
        if run.num_missing:
            lines.append(f"Warning: {label} is not complete: {len(run.records)} of {run.description.chains} chains.")
        if has_too_many_errors(run):
            lines.append(
                f"Warning: {run.num_errored} of {len(run.records)} chains of {label} errored (more than 1%): they "
                "count as failures, and no verdict is given. `error` in chains.jsonl says why."
            )
    return lines


def _official_note(table: TableInput) -> str:
    """One line; reasons that are not common to all runs are said by run."""
    verdicts = [run.description.official for run in table.runs]
    if all(verdict.official for verdict in verdicts):
        return "Official: yes."
    common = [reason for reason in verdicts[0].because if all(reason in verdict.because for verdict in verdicts)]
    parts = list(common)
    for label, verdict in zip(table.labels, verdicts, strict=True):
        own = [reason for reason in verdict.because if reason not in common]
        if own:
            parts.append(f"{label}: {', '.join(own)}")
    return f"Official: no, because {'; '.join(parts)}."
