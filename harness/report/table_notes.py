"""Notes under a table: the protocol, the policies' size, and warnings."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from calvinbench.envs.scenes.scene import EMBEDDED
from calvinbench.harness.analysis.actions.action_watch import findings_of_run
from calvinbench.harness.analysis.comparable import are_of_tasks, has_too_many_errors
from calvinbench.harness.analysis.methods import PRIVILEGED_MARK, Method
from calvinbench.harness.analysis.statistics import EXACT_BELOW, Intervals
from calvinbench.harness.analysis.training_seeds import MethodSummary
from calvinbench.harness.counted import counted
from calvinbench.harness.records.runs import Run
from calvinbench.harness.report.best_cells import alike_cells
from calvinbench.harness.report.published_results import PUBLISHED_MARK, PublishedResult
from calvinbench.harness.report.table_input import TableInput

_SMALL_MILLIONS = 300
_MOST_LISTED = 3
"""If a statement holds for more runs than this, the note does not list their names."""
_LITTLE = 0.02
"""In subtasks: two intervals whose ends differ by less than this count as equal."""
_FROM_SCRATCH = ("trained here", "shipped with calvinbench")
"""Origins of policies whose training began with random weights."""
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
        else f"{counted(first.chains, 'chain')} of {_subtasks(runs)}, {first.max_steps} steps per subtask, scene "
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
            "Methods with several training seeds: mean over seeds. Their intervals, and the tests in which they take "
            "part, include training-seed variance and the variance over chains (see the page on statistics). Those of "
            "methods with a single run include the variance over chains only."
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
        (label, summary) for summary, label in zip(table.summaries, table.names, strict=True) if summary.num_chains
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


def _apart(summary: MethodSummary) -> float:
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
    named = list(zip(table.methods, table.names, strict=True))
    said = {name: method.runs[0].description for method, name in named}
    seeing = [name for name, each in said.items() if any(key.startswith("rgb_") for key in each.observation_keys)]
    given = [name for name, each in said.items() if "robot_obs" in each.observation_keys]
    allowed = [name for name, each in said.items() if "robot_obs" in each.may_read]
    using = [name for name in given if name not in allowed]
    small = [name for method, name in named if _is_small(method)]
    lines = []
    if using:
        others = "; the others that see images do not" if set(seeing) - set(given) and not allowed else ""
        whom = _all_but(using, seeing, "all policies that see images") or f"{', '.join(using)}{others}"
        lines.append(f"Uses proprioception (the robot's state): {whom}.")
    elif seeing and not allowed:
        lines.append("No policy that sees images uses proprioception (the robot's state).")
    if allowed:
        others = "; the others that see images do not" if set(seeing) - set(given) else ""
        lines.append(
            f"Allowed to use proprioception (the robot's state): {', '.join(allowed)}{others}. It is in their "
            "observations; it is not known whether they use it. ',proprioception=false' in the policy spec removes it."
        )
    if small:
        which = _all_but(small, table.names, "all methods") or ", ".join(small)
        lines.append(f"Small policies, trained from scratch: {which}. Their results say nothing about full-size VLMs.")
    return lines


def _all_but(chosen: Sequence[str], among: Sequence[str], all_of_them: str) -> str | None:
    """`all_of_them`, except for the few that are not chosen; None if those are many, or the chosen are few to list."""
    others = [label for label in among if label not in chosen]
    if len(chosen) <= _MOST_LISTED or len(others) > _MOST_LISTED or not set(chosen) <= set(among):
        return None
    return f"{all_of_them} but {', '.join(others)}" if others else all_of_them


def _is_small(method: Method) -> bool:
    """Whether a policy was trained from scratch and has few parameters."""
    size = method.attributes.get("size", "")
    is_from_scratch = method.attributes.get("origin", "").startswith(_FROM_SCRATCH)
    return is_from_scratch and size.endswith("M") and float(size[:-1]) < _SMALL_MILLIONS


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
        f"Warning: the actions of {_all_but(who, [label for _, label in named], 'all methods') or ', '.join(who)} look "
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
