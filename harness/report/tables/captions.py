"""The caption of a table, with all that is the same in its rows, and its short notes."""

from collections.abc import Sequence

from calvinbench.envs.scenes.scene import EMBEDDED
from calvinbench.harness.analysis.actions.action_watch import findings_of_run
from calvinbench.harness.analysis.comparable import are_of_tasks, has_too_many_errors
from calvinbench.harness.analysis.methods import PRIVILEGED_MARK, constant_attributes
from calvinbench.harness.counted import counted
from calvinbench.harness.report.best_cells import alike_cells, letter_cells, reference_cells
from calvinbench.harness.report.published_results import PUBLISHED_MARK
from calvinbench.harness.report.table_input import TableInput, name_of_run
from calvinbench.harness.report.tables.columns import ALIKE_MARK, REFERENCE_MARK, learned_methods
from calvinbench.harness.report.tables.layout import Condition
from calvinbench.harness.report.tables.style import TableStyle

_IN_CAPTION = ("size", "origin", "trained on", "training seed", "memory", "chunk rule", "cameras", "proprioception")
"""Attributes that a caption gives if all learned methods have the same value."""
_TESTS = "Tests are paired by chain, with Holm's correction, at 5%."
_INTERVALS = {
    "none": "",
    "below": "Brackets: 95% confidence intervals.",
    "brackets": "Brackets: 95% confidence intervals.",
    "pm": "\u00b1: the larger side of the 95% confidence interval.",
}


def caption(conditions: Sequence[Condition], style: TableStyle) -> str:
    """What the table shows, and what is the same in all rows."""
    tables = [condition.table for condition in conditions]
    first = tables[0].runs[0].description
    if are_of_tasks(tables[0].runs):
        what = f"Success of {len(first.tasks)} tasks, each evaluated alone: percent solved of {first.chains} starts."
    else:
        length = tables[0].runs[0].chain_length
        numbers = tuple(dict.fromkeys(table.runs[0].description.chains for table in tables))
        counts = f"{' and '.join(map(str, numbers[:-1]))} and " if len(numbers) > 1 else ""
        counts += counted(numbers[-1], "chain")
        subtasks = "one subtask" if length == 1 else f"{length} subtasks"
        rates = "Column 1" if length == 1 else f"Columns 1 to {length}"
        what = (
            f"Results on {counts} of {subtasks}. {rates}: percent of chains with at least that many subtasks "
            "completed in a row. Avg. Len.: mean number of them."
        )
        if len(tables) > 1 and style.columns is None:
            what = f"Average length of {counts} of {subtasks}, by condition."
    parts = [what, _INTERVALS[style.intervals], _setting(tables), _constants(tables)]
    return " ".join(part for part in parts if part)


def _setting(tables: Sequence[TableInput]) -> str:
    """What all conditions have in common."""
    said = [run.description for table in tables for run in table.runs]
    values = {
        "scene": {each.scene for each in said},
        "instruction set": {each.instructions for each in said},
    }
    words = [f"{name} {found.copy().pop()}" for name, found in values.items() if len(found) == 1]
    if len({each.max_steps for each in said}) == 1:
        words.append(f"{said[0].max_steps} steps per subtask")
    text = ", ".join(words)
    return f"{text[0].upper()}{text[1:]}." if text else ""


def _constants(tables: Sequence[TableInput]) -> str:
    learned = learned_methods([method for table in tables for method in table.methods])
    if not learned:
        return ""
    constants = constant_attributes(learned)
    words = [f"{name} {constants[name]}" for name in _IN_CAPTION if name in constants]
    names = list(dict.fromkeys(method.name for method in learned))
    whom = f"{names[0]}: " if len(names) == 1 else "All learned policies: "
    if "policy name" in constants and constants["policy name"] not in names and len(names) > 1:
        whom = f"All are variants of {constants['policy name']}: "
    return f"{whom}{'; '.join(words)}." if words else ""


def short_notes(conditions: Sequence[Condition], style: TableStyle) -> tuple[str, ...]:
    """Notes of a sentence each, the most important first."""
    tables = [condition.table for condition in conditions]
    notes = [*_warnings(tables), *_marks(tables, style)]
    if len(conditions) > 1:
        notes += _of_conditions(tables)
    runs = [run for table in tables for run in table.runs]
    if any(run.description.privileged for run in runs):
        notes.append(f"{PRIVILEGED_MARK} reads the world's state; never in bold.")
    if any(method.has_seeds for table in tables for method in table.methods):
        notes.append("Rows with several training seeds: mean over seeds; the interval includes training-seed variance.")
    if tables[0].published:
        notes.append(f"{PUBLISHED_MARK} published by others, not run here.")
    if {run.description.scene for run in runs} == {EMBEDDED}:
        notes.append("The embedded scene is not one of CALVIN's: not comparable with published results.")
    is_official = all(run.description.official.official for run in runs)
    notes.append("Official protocol of CALVIN." if is_official else "Not CALVIN's official protocol.")
    return tuple(notes)


def _marks(tables: Sequence[TableInput], style: TableStyle) -> list[str]:
    if style.significance == "letters":
        has_letters = any(letter_cells(table).to_numpy().any() for table in tables)
        return ["Methods that share a letter are not significantly different.", _TESTS] if has_letters else []
    if style.significance == "none":
        return []
    notes = []
    if any(alike_cells(table).to_numpy().any() for table in tables):
        notes.append(f"{ALIKE_MARK} not significantly different from the best of its column.")
    for reference in dict.fromkeys(
        table.comparison.reference
        for table in tables
        if table.comparison is not None and reference_cells(table).to_numpy().any()
    ):
        notes.append(f"{REFERENCE_MARK} significantly different from {reference}.")
    return [*notes, _TESTS] if notes else []


def _of_conditions(tables: Sequence[TableInput]) -> list[str]:
    firsts = [table.runs[0].description for table in tables]
    if len({(said.scene, said.chain_digest) for said in firsts}) == 1:
        return []
    what = "scenes" if len({said.scene for said in firsts}) > 1 else "chains"
    return [f"Conditions have different {what}: compare methods within a condition, not numbers across conditions."]


def _warnings(tables: Sequence[TableInput]) -> list[str]:
    found: list[str] = []
    for table in tables:
        for method in table.methods:
            for run in method.runs:
                name = name_of_run(method, run)
                if run.num_missing:
                    done = f"{len(run.records)} of {run.description.chains} chains"
                    found.append(f"Warning: {name} is not complete: {done}.")
                if has_too_many_errors(run):
                    found.append(f"Warning: {run.num_errored} of {len(run.records)} chains of {name} errored.")
                if findings_of_run(run):
                    found.append(f"Warning: the actions of {name} look wrong.")
                if run.description.unlike_training:
                    found.append(f"Warning: {name} was trained in a different world.")
    return list(dict.fromkeys(found))


def one_line(notes: Sequence[str], more: str, width: int | None) -> str:
    """As many notes as a line of `width` letters has room for, and where there are more; None for all of them."""
    if width is None:
        return " ".join([*notes, more]).strip()
    line = ""
    for note in notes:
        longer = f"{line} {note}".strip()
        if len(f"{longer} {more}".strip()) <= width:
            line = longer
    text = f"{line} {more}".strip()
    return text if len(text) <= width else f"{text[: width - 3]}..."
