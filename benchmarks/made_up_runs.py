"""Made-up runs with random chain lengths, for benchmarks of commands that read runs."""

import json
from pathlib import Path

import numpy as np

from calvinbench.envs.chain_env import SOLVED, TIMED_OUT
from calvinbench.envs.chains import published
from calvinbench.harness.records.description import Official, RunDescription
from calvinbench.harness.records.records import NUM_SUBTASKS, ChainRecord, SubtaskRecord
from calvinbench.harness.records.run_directory import CHAINS_FILE, RUN_FILE
from calvinbench.policies.policy import Memory


def write_made_up_runs(folder: Path, num_runs: int, num_chains: int) -> None:
    """Writes runs of the first published chains, each a little better than the one before.

    Args:
        folder: The folder for the runs' folders.
        num_runs: Number of runs.
        num_chains: Number of chains of each run.
    """
    generator = np.random.default_rng(0)
    hard = generator.normal(2.0, 1.3, num_chains)  # difficulty of each chain, the same for all runs
    for number in range(num_runs):
        lengths = np.clip(np.rint(hard + 0.05 * number + generator.normal(0, 0.8, num_chains)), 0, NUM_SUBTASKS)
        directory = folder / f"run-{number}"
        directory.mkdir(parents=True)
        description = _description(f"made up {number}", num_chains).to_json()
        (directory / RUN_FILE).write_text(json.dumps(description))
        lines = [json.dumps(_record(chain, int(length)).to_json()) for chain, length in enumerate(lengths)]
        (directory / CHAINS_FILE).write_text("\n".join(lines) + "\n")


def _description(label: str, num_chains: int) -> RunDescription:
    return RunDescription(
        policy=label,
        label=label,
        action_convention="rel_actions",
        observation_keys=(),
        chunk_length=1,
        chunk_rule="first",
        privileged=False,
        memory=Memory(span="none", reset="subtask"),
        official=Official(False, ("nobody ran it",)),
        world="none",
        scene="embedded",
        asset_digest="none",
        renderer="none",
        chains=num_chains,
        chain_digest="none",
        max_steps=360,
        instructions="calvinbench",
        instruction_digest="none",
        seed=0,
    )


def _record(number: int, completed: int) -> ChainRecord:
    chain = published()[number]
    subtasks = tuple(
        SubtaskRecord(task, task, SOLVED if place < completed else TIMED_OUT, 60, 1.0, 5.0, 5.0, 0.1)
        for place, task in enumerate(chain.subtasks[: completed + 1])
    )
    outcome = SOLVED if completed == NUM_SUBTASKS else TIMED_OUT
    return ChainRecord(number, chain.initial_state, subtasks, completed, outcome)
