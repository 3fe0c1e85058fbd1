"""What each run was, as a lab book would say: what all have in common is said once."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from calvinbench.harness.analysis.speed import speed
from calvinbench.harness.records.run_directory import CHAINS_FILE, RUN_FILE
from calvinbench.harness.records.runs import Run
from calvinbench.harness.report.html.file_links import FileLink, relative_link
from calvinbench.harness.report.table_input import TableInput
from calvinbench.harness.report.tables.grid import NOT_THERE


@dataclass(frozen=True, slots=True)
class PageRun:
    """A run on the page.

    Attributes:
        label: Its name.
        facts: In what it differs from others; everything if it is the only one.
        files: Its records.
    """

    label: str
    facts: tuple[tuple[str, str], ...]
    files: tuple[FileLink, ...]


def runs_of(table: TableInput, directory: Path) -> tuple[list[tuple[str, str]], list[PageRun]]:
    """What is the same in all runs, and each run.

    Args:
        table: The methods.
        directory: Where the page will be.
    """
    facts = [_facts(run) for run in table.runs]
    common = _common(facts)
    made = [
        PageRun(
            label, tuple((name, value) for name, value in each.items() if name not in common), _files(run, directory)
        )
        for (run, label), each in zip(table.labelled(), facts, strict=True)
    ]
    return list(common.items()), made


def _common(facts: Sequence[Mapping[str, str]]) -> dict[str, str]:
    if len(facts) == 1:
        return {}
    return {name: value for name, value in facts[0].items() if all(each.get(name) == value for each in facts)}


def _files(run: Run, directory: Path) -> tuple[FileLink, ...]:
    return tuple(
        FileLink(name, relative_link(run.directory / name, directory), name)
        for name in (RUN_FILE, CHAINS_FILE)
        if (run.directory / name).is_file()
    )


def _facts(run: Run) -> dict[str, str]:
    said, found = run.description, speed(run)
    facts = {
        "Policy": said.policy,
        "Official": str(said.official),
        "Trained on": said.train or "unknown",
        "Weights": (said.weights_digest or "none")[:16],
        "Reads": ", ".join(said.observation_keys) or "nothing",
        "Memory": f"{said.memory.span}, reset at each {said.memory.reset}",
        "Chunks": f"{said.chunk_length} actions predicted, rule {said.chunk_rule}",
        "Scene": f"{said.scene} ({said.asset_digest[:12]}), simulation {said.simulation}, renderer {said.renderer}",
        "Instructions": f"{said.instructions} ({said.instruction_digest[:12]})",
        "Steps per subtask": str(said.max_steps),
        "Seed": str(said.seed),
        "Policy, ms per step": _number(found.policy_ms, "g", f" median, {found.policy_ms_p95:g} at 95%"),
        "World, ms per step": _number(found.world_ms, ".1f", " mean"),
        "Chains per hour, one world": _number(found.chains_per_hour, ".1f"),
        "Change of action per step": _number(found.action_change, ".3f"),
        "Started": said.created,
    }
    for number, session in enumerate(said.sessions, start=1):
        facts[f"Session {number}"] = (
            f"{session.started}, {session.worlds} worlds, commit {session.commit or 'unknown'}, "
            f"Python {session.python}, {session.hardware}"
        )
    return facts


def _number(value: float, form: str, after: str = "") -> str:
    """A number in words; a dash where the records do not tell it, as before a chain is finished."""
    return NOT_THERE if math.isnan(value) else f"{value:{form}}{after}"
