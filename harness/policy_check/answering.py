"""Does a policy look at the images, heed the sentence, and answer alike when it is asked alike?"""

from collections.abc import Iterator, Sequence

import numpy as np

from calvinbench.envs.observation import CONTROL_HZ
from calvinbench.harness.policy_check import probes
from calvinbench.harness.policy_check.finding import Finding
from calvinbench.harness.policy_check.probes import SEQUENCE_STEPS, Sequences
from calvinbench.harness.policy_check.shadow import Moment, ShadowedSubtask, announce
from calvinbench.policies.policy import BatchedPolicy, Policy

MAX_SEQUENCES = 4
SAME = 1e-3
"""Largest change of a number that counts as none: GPUs sum in another order now and then."""
NOTHING = 1e-3
"""Share of the actions' size, below which they do not depend on what was changed."""
LITTLE = 0.02
"""Share below which it is asked whether images in [0, 1] would say more."""
_MUCH_MORE = 5.0


def choose_sequences(subtasks: Sequence[ShadowedSubtask]) -> Sequences:
    """A few moments in a row of each of several subtasks, of different sentences, from the middle of what is kept."""
    found: dict[str, list[Moment]] = {}
    for subtask in subtasks:
        moments = subtask.moments
        if len(moments) >= SEQUENCE_STEPS:
            start = (len(moments) - SEQUENCE_STEPS) // 2
            found.setdefault(moments[0].instruction, list(moments[start : start + SEQUENCE_STEPS]))
    return list(found.values())[:MAX_SEQUENCES]


def judge_answers(policy: Policy, subtasks: Sequence[ShadowedSubtask]) -> Iterator[Finding]:
    """All that can be learned from showing a policy the same moments again.

    Raises:
        Exception: What the policy raises.
    """
    sequences = choose_sequences(subtasks)
    if len(sequences) < 2:
        yield Finding("answers", "unknown", "cannot tell: too few subtasks were seen, give more --seconds")
        return
    announce(policy, sorted({moment.instruction for sequence in sequences for moment in sequence}))
    plain = [probes.answers(policy, sequence) for sequence in sequences]
    yield _repeatable(policy, sequences, plain)
    keys, traits = policy.traits.observation_keys, policy.traits
    if any(key.startswith(("rgb_", "depth_")) for key in keys):
        yield _images(policy, sequences, plain)
    else:
        yield Finding("images", "note", "reads none")
    if not traits.privileged:
        yield _instruction(policy, sequences, plain)
    if "robot_obs" in keys:
        yield _robot_state(policy, sequences, plain)
    if isinstance(policy, BatchedPolicy) and (traits.max_batch_size or len(sequences)) >= len(sequences):
        yield _batch(policy, sequences, plain)


def _repeatable(policy: Policy, sequences: Sequences, plain: Sequence[np.ndarray]) -> Finding:
    again = probes.difference(plain, [probes.answers(policy, sequence) for sequence in sequences])
    if again.largest > SAME:
        return Finding(
            "asked twice",
            "wrong",
            f"answers differ by up to {again.largest:.2g} for the same moments with the same seed: memory is not "
            "cleared at the start, or random numbers are not drawn from the seeds that initial_state is given",
        )
    return Finding("asked twice", "right", "the same answers")


def _images(policy: Policy, sequences: Sequences, plain: Sequence[np.ndarray]) -> Finding:
    other = probes.response(policy, sequences, plain, probes.other_images)
    blank = probes.response(policy, sequences, plain, probes.blank_images)
    told = f"actions change by {other.share:.1%} of their size with other images, {blank.share:.1%} with black ones"
    if other.share < LITTLE:
        scaled = probes.response_to_scaled_images(policy, sequences)
        if scaled is not None and scaled.share > _MUCH_MORE * max(other.share, NOTHING):
            return Finding(
                "images",
                "wrong",
                f"{told}, but by {scaled.share:.1%} where images are given in [0, 1]: the model seems to expect those. "
                "Images here are uint8, 0 to 255: divide by 255 in the policy",
            )
    if other.share < NOTHING:
        return Finding("images", "wrong", f"{told}: the actions do not depend on what the images show")
    return Finding("images", "right", told)


def _instruction(policy: Policy, sequences: Sequences, plain: Sequence[np.ndarray]) -> Finding:
    other = probes.response(policy, sequences, plain, probes.other_instruction)
    told = f"actions change by {other.share:.1%} of their size with another task's sentence"
    if other.share < NOTHING and other.turns == 0.0:
        return Finding("instruction", "wrong", f"{told}: the sentence is not heeded")
    return Finding("instruction", "right", told)


def _robot_state(policy: Policy, sequences: Sequences, plain: Sequence[np.ndarray]) -> Finding:
    other = probes.response(policy, sequences, plain, probes.other_robot_state)
    if other.share < NOTHING and other.turns == 0.0:
        return Finding("robot's state", "note", "given, but the actions do not depend on it")
    return Finding("robot's state", "note", f"actions change by {other.share:.1%} of their size with another state")


def _batch(policy: BatchedPolicy, sequences: Sequences, plain: Sequence[np.ndarray]) -> Finding:
    together = probes.batch_difference(policy, sequences, plain)
    told = (
        f"answers for {len(sequences)} worlds at once differ by up to {together.largest:.2g} from those for each alone"
    )
    return Finding("batch", "wrong" if together.largest > 10 * SAME else "right", told)


def judge_speed(subtasks: Sequence[ShadowedSubtask]) -> Finding:
    """Milliseconds a step against those of real time."""
    milliseconds = 1e3 * np.concatenate([subtask.seconds for subtask in subtasks])
    median, slow = np.quantile(milliseconds, [0.5, 0.95])
    real_time = 1000 / CONTROL_HZ
    return Finding(
        "speed",
        "note",
        f"{median:.3g} ms a step (95% below {slow:.3g}), {'slower' if median > real_time else 'faster'} than the "
        f"robot's {real_time:.0f} ms; a subtask of 360 steps takes {0.36 * median:.3g} s without the world",
    )
