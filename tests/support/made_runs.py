"""Runs from numbers alone, without a rollout: `made_run([3, 0, 5], label="mine")`."""

from pathlib import Path

from calvinbench.harness.records.description import Official, RunDescription
from calvinbench.harness.records.records import ChainRecord, SubtaskRecord
from calvinbench.harness.records.runs import Run
from calvinbench.policies.policy import Memory

_TASKS = ("open_drawer", "push_red_block_left", "turn_on_led", "lift_blue_block_table", "close_drawer")
PALIGEMMA = "paligemma (1.5M, trained here)"


def made_description(policy="checkpoint:vlm", label=PALIGEMMA, **said):
    """A description of a policy with both cameras, on the embedded scene."""
    described = {
        "action_convention": "rel_actions",
        "observation_keys": ("rgb_static", "rgb_gripper", "robot_obs"),
        "chunk_length": 6,
        "chunk_rule": "first",
        "privileged": False,
        "memory": Memory("window:8"),
        "official": Official(False, ("the scene is embedded, not D",)),
        "world": "fakes:World",
        "scene": "embedded",
        "asset_digest": "a",
        "renderer": "opengl-look",
        "chains": 2,
        "chain_digest": "c",
        "max_steps": 360,
        "instructions": "calvinbench",
        "instruction_digest": "i",
        "seed": 0,
    }
    return RunDescription(policy=policy, label=label, **described | said)


def made_run(lengths=(), policy="checkpoint:vlm", label=PALIGEMMA, folder="run", **said):
    """A run whose chains have these lengths, each from an initial state of its own."""
    records = tuple(_record(number, int(length)) for number, length in enumerate(lengths))
    said = {"chains": len(records)} | said
    return Run(Path("runs") / folder, made_description(policy, label, **said), records)


def _record(number, length):
    reached = _TASKS[: min(length + 1, len(_TASKS))]
    subtasks = tuple(
        SubtaskRecord(task, task, "solved" if place < length else "timed_out", 10, 1.0, 2.0, 3.0, 0.1)
        for place, task in enumerate(reached)
    )
    return ChainRecord(number, {"number": number}, subtasks, length, subtasks[-1].outcome)
