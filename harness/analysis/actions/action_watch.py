"""Messages about actions that look wrong: wrong units, a robot or a gripper that does not move.

A score of 0% has many causes, and most of them are visible in the actions. This module compares a run's actions with
those of the scripted expert on the embedded scene. The expert's numbers below come from

    calvinbench run --policy expert --chains 40

(200 subtasks, 9,784 steps). `checkpoint:cnn` has mean numbers of 0.106 and 0.054 where the expert has 0.241 and 0.086,
and changes its gripper command in 0.9% of its steps (12 chains): the thresholds are far from both.
"""

from collections.abc import Sequence

import numpy as np

from calvinbench.envs.observation import ActionConvention
from calvinbench.harness.analysis.actions.action_units import UNITS, size_in_words
from calvinbench.harness.records.action_summary import REACH_M
from calvinbench.harness.records.records import ChainRecord, SubtaskRecord
from calvinbench.harness.records.runs import Run

EXPERT_TRANSLATION, EXPERT_ROTATION = 0.241, 0.086
"""Mean absolute numbers of the expert's steps, as in `ActionSummary`. It has none beyond 1."""
EXPERT_GRIPPER_CHANGES = 0.021
"""Changes of its gripper command per step."""
LARGEST_QUANTILE = 0.9
"""Small and large numbers are judged by this quantile of the subtasks' largest, which is 1 for the expert, both for
translation and for rotation: a policy that has given up hardly moves, and single outliers do not count."""
MIN_STEPS = 100
"""Fewer steps give no message."""
MIN_GRASP_STEPS = 60
"""Of tasks that need a grasp, before anything is said of a gripper that does not move."""
MIN_GRASPS = 5
"""Such tasks, where the gripper moves in others: one that never reaches a block has no reason to close."""
MAX_BEYOND = 0.1
"""Share of steps out of range. Regression heads go slightly beyond 1 now and then."""
MIN_SIZE = 0.15
"""Of the expert's largest numbers."""
LARGE = 1.9
"""Times the expert's largest numbers, from which on it is said how much: more than a rotation of axes, up to 1.73."""
MAX_GRIPPER_CHANGES = 0.2
GRASP_TASKS = ("lift_", "stack_block", "unstack_block", "place_in_")
"""Beginnings of the tasks that nothing but a grasp can do: the gripper closes, or is kept closed."""
FREE_HAND_TASKS = ("lift_", "unstack_block")
"""Those that begin without a block in the gripper, which must be open first."""
NOT_WATCHED = ("expert", "random", "untrained")
"""Kinds of policies of which nothing is said: their actions are what they are meant to be."""


def findings_of_run(run: Run) -> tuple[str, ...]:
    """What looks wrong with the actions of a run; nothing for records that do not keep them."""
    return findings_of_records(run.records, run.description.policy, run.description.action_convention)


def findings_of_records(records: Sequence[ChainRecord], policy: str, convention: str) -> tuple[str, ...]:
    """What looks wrong with the actions of some chains.

    Args:
        records: The chains.
        policy: The policy's spec.
        convention: Its action convention.
    """
    if policy.partition(":")[0] in NOT_WATCHED:
        return ()
    return findings_of_subtasks([subtask for record in records for subtask in record.subtasks], convention)


def findings_of_subtasks(subtasks: Sequence[SubtaskRecord], convention: str) -> tuple[str, ...]:
    """What looks wrong with the actions of some subtasks, a sentence without its full stop for each thing."""
    watched = [subtask for subtask in subtasks if subtask.actions is not None]
    if sum(subtask.steps for subtask in watched) < MIN_STEPS:
        return ()
    found = []
    if _is_constant(watched):
        found.append("the same action at every step")
    if convention == ActionConvention.REL_ACTIONS:
        found += _of_relative(watched)
    elif convention == ActionConvention.ABS_ACTIONS:
        found += _of_absolute(watched)
    return (*found, *_of_gripper(watched))


def _is_constant(watched: Sequence[SubtaskRecord]) -> bool:
    """Whether all actions of all subtasks are equal."""
    changes = [subtask.action_change for subtask in watched if subtask.action_change is not None]
    turns = sum(subtask.gripper_changes or 0 for subtask in watched)
    return bool(changes) and max(changes) == 0.0 and turns == 0 and len({subtask.actions for subtask in watched}) == 1


def _of_relative(watched: Sequence[SubtaskRecord]) -> list[str]:
    found = []
    beyond = _mean(watched, "translation_beyond"), _mean(watched, "rotation_beyond")
    sizes = _largest(watched, "translation"), _largest(watched, "rotation")
    means = [(_mean(watched, "translation"), EXPERT_TRANSLATION), (_mean(watched, "rotation"), EXPERT_ROTATION)]
    for is_rotation, (share, size, (mean, of_expert)) in enumerate(zip(beyond, sizes, means, strict=True)):
        what = "an angle" if is_rotation else "x, y or z"
        name = "rotation" if is_rotation else "translation"
        means_of = f"mean {name} {mean:.2g}, the expert's {of_expert:.2g}"
        most = f"largest {name} {size:.2g}, the expert's 1"
        if share > MAX_BEYOND:
            scale = f"; they look {size_in_words(size, bool(is_rotation))}" if size > LARGE else ""
            found.append(f"{share:.0%} of steps have {what} beyond [-1, 1] (the expert 0%; {means_of}; {most}){scale}")
        elif size == 0.0:
            found.append("the robot never rotates its gripper" if is_rotation else "the robot never moves its gripper")
        elif size < MIN_SIZE:
            hardly = "hardly rotates its gripper" if is_rotation else "hardly moves"
            found.append(
                f"the robot {hardly} ({means_of}; {most}); numbers look {size_in_words(size, bool(is_rotation))}"
            )
    return [*found[:-1], f"{found[-1]}; {UNITS}"] if found else []


def _of_absolute(watched: Sequence[SubtaskRecord]) -> list[str]:
    found = []
    far, wild = _mean(watched, "translation_beyond"), _mean(watched, "rotation_beyond")
    if far > MAX_BEYOND:
        found.append(
            f"{far:.0%} of steps ask for a position out of the arm's reach ({REACH_M:g} m); abs_actions are metres in "
            "the world's frame"
        )
    if wild > MAX_BEYOND:
        found.append(
            f"{wild:.0%} of steps have an angle beyond a full turn, as degrees would, or a quaternion whose length is "
            "not 1; abs_actions take euler xyz in radians, or a quaternion xyzw"
        )
    if not far > MAX_BEYOND and _largest(watched, "translation") < MIN_SIZE:
        found.append("the position hardly changes from step to step")
    return found


def _of_gripper(watched: Sequence[SubtaskRecord]) -> list[str]:
    found = []
    num_steps = sum(subtask.steps for subtask in watched)
    turns = sum(subtask.gripper_changes or 0 for subtask in watched) / num_steps
    if turns > MAX_GRIPPER_CHANGES:
        found.append(
            f"the gripper command changes in {turns:.0%} of steps (the expert's in {EXPERT_GRIPPER_CHANGES:.0%})"
        )
    grasping = [subtask for subtask in watched if subtask.task.startswith(GRASP_TASKS)]
    free = [subtask for subtask in grasping if subtask.task.startswith(FREE_HAND_TASKS)]
    never_closes, never_opens = _mean(watched, "closed") == 0.0, _mean(watched, "closed") == 1.0
    if _has_enough(grasping, never_closes) and _mean(grasping, "closed") == 0.0:
        found.append(
            f"the gripper never closes, though {_count(grasping)} a grasp; the action's last number is -1 to "
            "close and 1 to open"
        )
    elif _has_enough(free, never_opens) and _mean(free, "closed") == 1.0:
        found.append(
            f"the gripper never opens, though {_count(free)} it open first; the action's last "
            "number is -1 to close and 1 to open"
        )
    return found


def _count(subtasks: Sequence[SubtaskRecord]) -> str:
    return f"{len(subtasks)} subtasks need" if len(subtasks) > 1 else "1 subtask needs"


def _has_enough(subtasks: Sequence[SubtaskRecord], is_always: bool) -> bool:
    """Whether enough tasks need a gripper that moves: fewer where it does not move in other tasks either."""
    num_steps = sum(subtask.steps for subtask in subtasks)
    return num_steps >= MIN_GRASP_STEPS and (is_always or len(subtasks) >= MIN_GRASPS)


def _values(watched: Sequence[SubtaskRecord], name: str) -> list[float]:
    return [float(getattr(subtask.actions, name) or 0.0) for subtask in watched]


def _mean(watched: Sequence[SubtaskRecord], name: str) -> float:
    """Over steps."""
    return float(np.average(_values(watched, name), weights=[subtask.steps for subtask in watched]))


def _largest(watched: Sequence[SubtaskRecord], name: str) -> float:
    return float(np.quantile(_values(watched, f"largest_{name}"), LARGEST_QUANTILE))
