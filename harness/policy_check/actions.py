"""What looks wrong with a policy's actions, compared with the expert's in the same states."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from calvinbench.envs.observation import ActionConvention
from calvinbench.harness.analysis.actions.action_units import UNITS, size_in_words
from calvinbench.harness.analysis.actions.action_watch import MAX_BEYOND, MAX_GRIPPER_CHANGES
from calvinbench.harness.policy_check.agreement import GOOD, MIN_STEPS, TOOL, Agreement, agreement
from calvinbench.harness.policy_check.finding import Finding, Status
from calvinbench.harness.policy_check.shadow import ShadowedSubtask, as_relative
from calvinbench.harness.records.action_summary import BEYOND_ONE, REACH_M, ActionSummary

NAMES = ("x", "y", "z", "rotation x", "rotation y", "rotation z", "gripper")
LARGE, SMALL = 2.2, 1 / 6
"""As a multiple of the expert's mean absolute number. `checkpoint:cnn` has about 0.9, degrees 2.9, radians 1/20."""
MIN_EXPERT_SHARE = 0.05
"""Smallest share of steps with a closed gripper, and with an open one, that the expert must have for a conclusion."""
INVERTED, AGREES = 0.3, 0.7
"""Mean of two shares: agreement while the expert closes the gripper, and while it opens it."""
_SEED = 0


@dataclass(frozen=True, slots=True)
class NumberRow:
    """One of the seven numbers of the actions, over all steps.

    Attributes:
        name: Which.
        mean: Mean absolute number of the policy's, as a relative action.
        largest: The largest.
        beyond: Share of steps beyond [-1, 1].
        expert_mean: The expert's in the same states.
        expert_largest: The expert's.
    """

    name: str
    mean: float
    largest: float
    beyond: float
    expert_mean: float
    expert_largest: float


@dataclass(frozen=True, slots=True, eq=False)
class ShadowedActions:
    """The policy's and the expert's actions in all states that the expert visited.

    Attributes:
        convention: The policy's action convention.
        answers: The policy's actions.
        relative: The same as relative actions; None for joints.
        expert: The expert's.
        tool: The tool's euler xyz.
        num_turns: How often the policy's gripper command changed within a subtask.
    """

    convention: ActionConvention
    answers: Float64[np.ndarray, "T action_dim"]
    relative: Float64[np.ndarray, "T 7"] | None
    expert: Float64[np.ndarray, "T 7"]
    tool: Float64[np.ndarray, "T 3"]
    num_turns: int

    @classmethod
    def of(cls, subtasks: Sequence[ShadowedSubtask], convention: ActionConvention) -> "ShadowedActions":
        """Joins the steps of at least one subtask."""
        answers = np.concatenate([np.stack(subtask.answers) for subtask in subtasks])
        targets = np.concatenate([np.stack(subtask.targets) for subtask in subtasks])
        return cls(
            convention,
            answers,
            as_relative(answers, targets, convention),
            np.concatenate([np.stack(subtask.expert) for subtask in subtasks]),
            np.concatenate([np.stack(subtask.tool) for subtask in subtasks]),
            sum(int(np.diff(np.stack(subtask.answers)[:, -1] > 0).sum()) for subtask in subtasks),
        )

    def rows(self) -> tuple[NumberRow, ...]:
        """The table of the seven numbers; empty for joints."""
        if self.relative is None:
            return ()
        ours, theirs = np.abs(self.relative), np.abs(self.expert)
        return tuple(
            NumberRow(
                name,
                float(ours[:, index].mean()),
                float(ours[:, index].max()),
                float((ours[:, index] > BEYOND_ONE).mean()),
                float(theirs[:, index].mean()),
                float(theirs[:, index].max()),
            )
            for index, name in enumerate(NAMES)
        )


def judge_actions(shadowed: ShadowedActions) -> Iterator[Finding]:
    """Yields the findings about the actions."""
    if len(shadowed.answers) < MIN_STEPS:
        yield Finding(
            "actions", "unknown", f"cannot tell: {len(shadowed.answers)} steps are too few; use more --seconds"
        )
        return
    if (shadowed.answers == shadowed.answers[0]).all():
        yield Finding("actions", "wrong", f"the same action in all {len(shadowed.answers)} steps")
    if shadowed.convention is ActionConvention.REL_ACTIONS:
        yield _size(shadowed, of_rotation=False)
        yield _size(shadowed, of_rotation=True)
    elif shadowed.convention is ActionConvention.ABS_ACTIONS:
        yield from _absolute(shadowed)
    yield _gripper(shadowed)
    yield from _directions(shadowed)


def _size(shadowed: ShadowedActions, of_rotation: bool) -> Finding:
    columns = slice(3, 6) if of_rotation else slice(0, 3)
    topic = "size of rotation" if of_rotation else "size of translation"
    numbers = np.abs(shadowed.answers[:, columns])
    mean, of_expert = float(numbers.mean()), float(np.abs(shadowed.expert[:, columns]).mean())
    beyond = float((numbers > BEYOND_ONE).any(axis=1).mean())
    told = f"mean absolute value {mean:.3g}, the expert's in the same states {of_expert:.3g}"
    if mean == 0.0:
        return Finding(topic, "wrong", f"always 0; the expert's mean absolute value is {of_expert:.3g}")
    if of_expert == 0.0:
        return Finding(topic, "unknown", "cannot tell: the expert did not move; use more --seconds")
    ratio = mean / of_expert
    if ratio > LARGE or ratio < SMALL:
        return Finding(topic, "wrong", f"{told}: {size_in_words(ratio, of_rotation)}. {UNITS}")
    if beyond > MAX_BEYOND:
        return Finding(topic, "wrong", f"{beyond:.0%} of steps beyond [-1, 1], the expert 0%; {told}. {UNITS}")
    return Finding(topic, "right", told)


def _absolute(shadowed: ShadowedActions) -> Iterator[Finding]:
    summary = ActionSummary.of(list(shadowed.answers), shadowed.convention)
    far, wild = summary.translation_beyond or 0.0, summary.rotation_beyond or 0.0
    yield Finding(
        "absolute position",
        "wrong" if far > MAX_BEYOND else "right",
        f"{far:.0%} of steps out of the arm's reach of {REACH_M:g} m; positions must be in metres in the world frame",
    )
    yield Finding(
        "absolute rotation",
        "wrong" if wild > MAX_BEYOND else "right",
        f"{wild:.0%} of steps with an angle beyond a full turn (degrees?), or a quaternion whose length is "
        "not 1; rotations must be euler xyz in radians, or a quaternion xyzw",
    )


def _gripper(shadowed: ShadowedActions) -> Finding:
    ours, theirs = shadowed.answers[:, -1] > 0, shadowed.expert[:, -1] > 0
    turns = shadowed.num_turns / len(ours)
    told = f"open in {ours.mean():.0%} of steps, the expert's in {theirs.mean():.0%}"
    meaning = "The action's last number is -1 to close and 1 to open"
    if turns > MAX_GRIPPER_CHANGES:
        return Finding("gripper", "wrong", f"opens or closes anew in {turns:.0%} of steps ({told})")
    if min(theirs.mean(), 1 - theirs.mean()) < MIN_EXPERT_SHARE:
        return Finding("gripper", "unknown", f"cannot tell: {told}; use more --seconds")
    if ours.all() or not ours.any():
        return Finding("gripper", "wrong", f"never {'closes' if ours.all() else 'opens'} ({told}). {meaning}")
    agrees = ((ours & theirs).sum() / theirs.sum() + (~ours & ~theirs).sum() / (~theirs).sum()) / 2
    told = f"{told}; agrees with the expert in {agrees:.0%} of steps (mean over open and closed)"
    if agrees < INVERTED:
        return Finding("gripper", "wrong", f"inverted: {told}. {meaning}")
    return Finding("gripper", "right" if agrees > AGREES else "unknown", told)


def _directions(shadowed: ShadowedActions) -> Iterator[Finding]:
    if shadowed.relative is None:
        yield Finding("directions", "unknown", "cannot tell: joint actions are not compared with the expert's")
        return
    generator = np.random.default_rng(_SEED)
    for topic, columns in (("direction of translation", slice(0, 3)), ("direction of rotation", slice(3, 6))):
        found = agreement(shadowed.relative[:, columns], shadowed.expert[:, columns], shadowed.tool, generator)
        yield Finding(topic, *_direction_in_words(found))


def _direction_in_words(found: Agreement) -> tuple[Status, str]:
    told = f"cosine with the expert's direction {found.cosine:.2f} in the world frame"
    if found.is_misread:
        other = f"{told}, {found.best_cosine:.2f}"
        if found.best == TOOL:
            return "wrong", (
                f"{other} if they are rotated from the tool frame: these look like actions in the end-effector frame. "
                "Actions must be in the world frame: rotate them by the tool's orientation (robot_obs[3:6], euler xyz)"
            )
        return "wrong", f"{other} if the axes are read as ({found.best}): axes are permuted or have the wrong sign"
    if found.is_good:
        return "right", told
    return "unknown", (
        f"cannot tell: too little agreement with the expert in any frame or order of axes ({told}, at best "
        f"{found.best_cosine:.2f}; at least {GOOD:g} is needed)"
    )
