"""Whether a policy uses the images and the sentence, and repeats its answers to the same inputs."""

from collections.abc import Iterator, Sequence

import numpy as np

from calvinbench.envs.observation import CONTROL_HZ
from calvinbench.harness.policy_check import probes
from calvinbench.harness.policy_check.finding import Finding
from calvinbench.harness.policy_check.probes import SEQUENCE_STEPS, Sequences
from calvinbench.harness.policy_check.shadow import Moment, ShadowedSubtask, announce
from calvinbench.policies.image_facts import facts_of_images, unlike_images
from calvinbench.policies.policy import BatchedPolicy, Policy

MAX_SEQUENCES = 4
SAME = 1e-3
"""Changes up to this count as none, because GPUs do not always sum in the same order."""
NOTHING = 1e-3
"""Below this share of the actions' size, they do not depend on the changed input."""
LITTLE = 0.02
"""Below this share, images in [0, 1] are tried too."""
_MUCH_MORE = 5.0


def choose_sequences(subtasks: Sequence[ShadowedSubtask]) -> Sequences:
    """A few consecutive moments from the middle of several subtasks with different sentences."""
    found: dict[str, list[Moment]] = {}
    for subtask in subtasks:
        moments = subtask.moments
        if len(moments) >= SEQUENCE_STEPS:
            start = (len(moments) - SEQUENCE_STEPS) // 2
            found.setdefault(moments[0].instruction, list(moments[start : start + SEQUENCE_STEPS]))
    return list(found.values())[:MAX_SEQUENCES]


def judge_answers(policy: Policy, subtasks: Sequence[ShadowedSubtask]) -> Iterator[Finding]:
    """Yields what is found by showing a policy the same moments again, some inputs changed.

    Raises:
        Exception: What the policy raises.
    """
    sequences = choose_sequences(subtasks)
    if len(sequences) < 2:
        yield Finding("answers", "unknown", "cannot tell: too few subtasks; use more --seconds")
        return
    announce(policy, sorted({moment.instruction for sequence in sequences for moment in sequence}))
    plain = [probes.answers(policy, sequence) for sequence in sequences]
    yield _repeatable(policy, sequences, plain)
    keys, traits = policy.traits.observation_keys, policy.traits
    if any(key.startswith(("rgb_", "depth_")) for key in keys):
        yield _images(policy, sequences, plain)
        yield from _unlike_training(policy, sequences)
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
            "repeatability",
            "wrong",
            f"answers to the same inputs with the same seed differ by up to {again.largest:.2g}: the memory is not "
            "cleared at the start, or random numbers do not come from the seeds given to initial_state",
        )
    return Finding("repeatability", "right", "the same answers to the same inputs")


def _images(policy: Policy, sequences: Sequences, plain: Sequence[np.ndarray]) -> Finding:
    other = probes.response(policy, sequences, plain, probes.other_images)
    blank = probes.response(policy, sequences, plain, probes.blank_images)
    told = f"actions change by {other.share:.1%} with other images, by {blank.share:.1%} with black ones"
    if other.share < LITTLE:
        scaled = probes.response_to_scaled_images(policy, sequences)
        if scaled is not None and scaled.share > _MUCH_MORE * max(other.share, NOTHING):
            return Finding(
                "images",
                "wrong",
                f"{told}, but by {scaled.share:.1%} if images are scaled to [0, 1]: the model seems to expect those. "
                "Images here are uint8, 0 to 255: divide by 255 in the policy",
            )
    if other.share < NOTHING:
        return Finding("images", "wrong", f"{told}: the actions do not depend on the images")
    return Finding("images", "right", told)


def _unlike_training(policy: Policy, sequences: Sequences) -> Iterator[Finding]:
    """Size and value range of the images against those of the training; nothing if those are not known."""
    trained = policy.traits.trained_on
    if trained is None or not trained.images:
        return
    moments = [moment for sequence in sequences for moment in sequence]
    here = facts_of_images(
        {
            key: np.stack([moment.observation[key] for moment in moments])
            for key in policy.traits.observation_keys
            if key.startswith("rgb_")
        }
    )
    found = unlike_images(trained.images, here)
    if found:
        yield Finding("images of the training", "wrong", "; ".join(found))
    else:
        yield Finding("images of the training", "right", "no other in size and range of values")


def _instruction(policy: Policy, sequences: Sequences, plain: Sequence[np.ndarray]) -> Finding:
    other = probes.response(policy, sequences, plain, probes.other_instruction)
    told = f"actions change by {other.share:.1%} with another task's sentence"
    if other.share < NOTHING and other.turns == 0.0:
        return Finding("instruction", "wrong", f"{told}: they do not depend on the sentence")
    return Finding("instruction", "right", told)


def _robot_state(policy: Policy, sequences: Sequences, plain: Sequence[np.ndarray]) -> Finding:
    other = probes.response(policy, sequences, plain, probes.other_robot_state)
    if other.share < NOTHING and other.turns == 0.0:
        return Finding("robot's state", "note", "given, but the actions do not depend on it")
    return Finding("robot's state", "note", f"actions change by {other.share:.1%} with another state")


def _batch(policy: BatchedPolicy, sequences: Sequences, plain: Sequence[np.ndarray]) -> Finding:
    together = probes.batch_difference(policy, sequences, plain)
    told = (
        f"answers to {len(sequences)} worlds at once differ by up to {together.largest:.2g} from answers to each alone"
    )
    return Finding("batch", "wrong" if together.largest > 10 * SAME else "right", told)


def judge_speed(subtasks: Sequence[ShadowedSubtask]) -> Finding:
    """Milliseconds per step, compared with real time."""
    milliseconds = 1e3 * np.concatenate([subtask.seconds for subtask in subtasks])
    median, slow = np.quantile(milliseconds, [0.5, 0.95])
    real_time = 1000 / CONTROL_HZ
    return Finding(
        "speed",
        "note",
        f"{median:.3g} ms per step (95% below {slow:.3g}), {'slower' if median > real_time else 'faster'} than the "
        f"robot's {real_time:.0f} ms; a subtask of 360 steps takes {0.36 * median:.3g} s, plus the simulation",
    )
