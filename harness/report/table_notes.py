"""Notes under a table: the protocol, the policies' size, and warnings."""

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from calvinbench.envs.scenes.scene import EMBEDDED
from calvinbench.harness.analysis.action_watch import findings_of_run
from calvinbench.harness.analysis.comparable import are_of_tasks, has_too_many_errors
from calvinbench.harness.analysis.methods import PRIVILEGED_MARK
from calvinbench.harness.analysis.statistics import EXACT_BELOW, Intervals
from calvinbench.harness.analysis.summaries import Summary
from calvinbench.harness.records.runs import Run
from calvinbench.harness.report.best_cells import alike_cells
from calvinbench.harness.report.published_results import PUBLISHED_MARK, PublishedResult
from calvinbench.harness.report.table_input import TableInput

_SMALL_MILLIONS = 300
_MOST_LISTED = 3
"""If a statement holds for more runs than this, the note does not list their names."""
_LITTLE = 0.02
"""In subtasks: two intervals whose ends differ by less than this count as equal."""
_SIZE_AND_ORIGIN = re.compile(r"\(([0-9.]+)M, (?:trained here|shipped with calvinbench)")
"""Matches the label of a policy whose training began with random weights."""
ALIKE_MARK = "\u2248"
"""Marks a number that is not significantly different from the best of its column."""

_KINDS: Mapping[Intervals, str] = MappingProxyType(
    {
        "wilson": f"Wilson, or Clopper-Pearson below {EXACT_BELOW} trials or near 0 and 1",
        "exact": "Clopper-Pearson (exact)",
    }
)


def notes(table: TableInput) -> list[str]:
    """The notes, in order."""
    runs, published = table.runs, table.published
    first = runs[0].description
    brackets = (
        f"brackets: 95% confidence intervals, not corrected for multiple comparisons; rates: {_KINDS[table.intervals]}."
    )
    lines = [_official_note(table)]
    lines.append(
        f"{len(first.tasks)} tasks, each evaluated alone, {first.chains} starts in total. A start is one of the "
        "evaluation's initial states; if no initial state allows the task, the expert first moves the world to a state "
        f"that does. {first.max_steps} steps, scene {first.scene}, instruction set {first.instructions}. Numbers are "
        f"percent solved; {brackets} Bold marks the best over all tasks, not the best of each task."
        if are_of_tasks(runs)
        else f"{first.chains} chains of {_subtasks(runs)}, {first.max_steps} steps per subtask, scene "
        f"{first.scene}, instruction set {first.instructions}. {_columns(runs)}: percent of chains with at least that "
        f"many subtasks completed in a row; {brackets}"
    )
    if first.scene == EMBEDDED:
        lines.append(
            "The embedded scene is calvinbench's own, not one of CALVIN's: these results are not comparable with "
            "published ones."
        )
    if not are_of_tasks(runs):
        lines += _clustered_note(table)
    alike = alike_cells(table)
    if alike.to_numpy().any():
        lines.append(
            f"{ALIKE_MARK} not significantly different from the best in success over all tasks: sign-flip test, paired "
            "by start, Holm correction, 5%."
            if are_of_tasks(runs)
            else f"{ALIKE_MARK} not significantly different from the best of its column. Tests: sign flips for average "
            "lengths, McNemar for rates; each is repeated with all chains of one initial state as a single unit. "
            "Paired by chain, Holm correction, 5%."
        )
    if table.seed_means:
        lines.append(
            "Means of training seeds: their intervals include training-seed variance and the variance over chains. "
            "Intervals of single runs include the variance over chains only."
        )
    if any(run.description.privileged for run in runs):
        lines.append(
            f"{PRIVILEGED_MARK} reads the world's privileged state, which learned policies never see; "
            "not shown in bold."
        )
    lines += _of_policies(table)
    lines += _cautions(table)
    if published:
        sources = "; ".join(dict.fromkeys(result.source for result in published))
        are_official = all(run.description.official.official for run in runs)
        lines.append(
            f"{PUBLISHED_MARK} published results, not run here: as printed by {sources}. Cameras, data and chains are "
            "those of the source"
            + ("." if are_official else "; the runs above are not official and not directly comparable with them.")
        )
        lines += _other_steps_note(published)
    return lines


def _other_steps_note(published: Sequence[PublishedResult]) -> list[str]:
    """Lists the published rows whose number of steps per subtask is not CALVIN's."""
    others = [f"{result.model} ({result.max_steps})" for result in published if result.max_steps is not None]
    if not others:
        return []
    return [
        f"Published results with a number of steps per subtask other than CALVIN's 360: {', '.join(others)}. That is a "
        "different protocol; these rows are not directly comparable with the others."
    ]


def _clustered_note(table: TableInput) -> list[str]:
    """Intervals of average lengths that treat all chains of one initial state as a single unit."""
    named = [
        (label, summary) for summary, label in zip(table.summaries, table.labels, strict=True) if summary.run.records
    ]
    if not named:
        return []
    num_states = max(summary.num_states for _, summary in named)
    states = f"{num_states} initial {'state' if num_states == 1 else 'states'}"
    of = f"The chains begin in {states}, and chains with the same initial state are not independent."
    apart = max(_apart(summary) for _, summary in named)
    if len(named) > _MOST_LISTED and apart <= _LITTLE:
        return [
            f"{of} Bootstrapped over initial states, the 95% intervals of average lengths end at most {apart:.2f} away "
            "from those in the table (see table.csv)."
        ]
    listed = "; ".join(
        f"{label} [{summary.clustered.interval.low:.2f}, {summary.clustered.interval.high:.2f}]"
        for label, summary in named
    )
    return [f"{of} 95% intervals of average lengths, bootstrapped over initial states: {listed}."]


def _apart(summary: Summary) -> float:
    """The largest distance between the ends of the two intervals of an average length."""
    of_chains, of_states = summary.average_length.interval, summary.clustered.interval
    return max(abs(of_chains.low - of_states.low), abs(of_chains.high - of_states.high))


def _subtasks(runs: Sequence[Run]) -> str:
    length = runs[0].chain_length
    return "one subtask" if length == 1 else f"{length} subtasks"


def _columns(runs: Sequence[Run]) -> str:
    length = runs[0].chain_length
    return "Column 1" if length == 1 else f"Columns 1 to {length}"


def _of_policies(table: TableInput) -> list[str]:
    """Notes on proprioception and on small policies."""
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
        lines.append(f"Uses proprioception (the robot's state): {whom}.")
    elif seeing and not maybe:
        lines.append("No policy that sees images uses proprioception (the robot's state).")
    if maybe:
        others = "; the others that see images do not" if set(seeing) - set(given) else ""
        lines.append(
            f"May use proprioception (the robot's state): {', '.join(maybe)}{others}. It is in their observations; "
            "',proprioception=false' in the policy spec removes it."
        )
    if small:
        which = _all_but(small, table.labels, "all runs") or ", ".join(small)
        lines.append(f"Small policies, trained from scratch: {which}. Their results say nothing about full-size VLMs.")
    return lines


def _all_but(chosen: Sequence[str], among: Sequence[str], all_of_them: str) -> str | None:
    """`all_of_them`, except for the few that are not chosen; None if those are many, or the chosen are few to list."""
    others = [label for label in among if label not in chosen]
    if len(chosen) <= _MOST_LISTED or len(others) > _MOST_LISTED or not set(chosen) <= set(among):
        return None
    return f"{all_of_them} but {', '.join(others)}" if others else all_of_them


def _is_small(label: str) -> bool:
    """Whether a label says that a policy was trained from scratch and has few parameters."""
    found = _SIZE_AND_ORIGIN.search(label)
    return found is not None and float(found[1]) < _SMALL_MILLIONS


def _cautions(table: TableInput) -> list[str]:
    """Warnings about single runs."""
    lines = []
    named = list(table.labelled())
    untrained = [label for run, label in named if run.description.is_untrained]
    if untrained:
        lines.append(
            f"Warning: untrained, with random weights: {', '.join(untrained)}. Such a policy scores near zero; it "
            "shows that the software works, not what the architecture can do."
        )
    lines += _of_actions(named)
    for run, label in named:
        if run.description.unlike_training:
            lines.append(
                f"Note: {label} was trained in a different world: {'; '.join(run.description.unlike_training)}."
            )
        if run.num_missing:
            lines.append(f"Warning: {label} is not complete: {len(run.records)} of {run.description.chains} chains.")
        if has_too_many_errors(run):
            lines.append(
                f"Warning: {run.num_errored} of {len(run.records)} chains of {label} errored (more than 1%). They "
                "count as failures, and no verdict is given. `error` in chains.jsonl gives the reason."
            )
    return lines


def _of_actions(named: Sequence[tuple[Run, str]]) -> list[str]:
    """What looks wrong with the actions; runs with the same findings share a line."""
    found: dict[str, list[str]] = {}
    for run, label in named:
        if sentences := findings_of_run(run):
            found.setdefault("; ".join(sentences), []).append(label)
    return [
        f"Warning: the actions of {_all_but(who, [label for _, label in named], 'all runs') or ', '.join(who)} look "
        f"wrong: {sentences}."
        for sentences, who in found.items()
    ]


def _official_note(table: TableInput) -> str:
    """One line; a reason that does not hold for all runs is listed with its run."""
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
