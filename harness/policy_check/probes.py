"""Shows a policy short sequences of moments again, with one input changed, and measures how its answers change."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64

from calvinbench.envs.observation import Observation
from calvinbench.harness.policy_check.shadow import Moment, ask
from calvinbench.policies.policy import BatchedPolicy, Policy

SEQUENCE_STEPS = 4
"""Length of a sequence. A policy that predicts action chunks may use the first moment only."""
Sequences = Sequence[Sequence[Moment]]
Change = Callable[[Moment, Moment], Moment]
"""A moment changed, given a moment of another sequence."""
_SEED = 0


@dataclass(frozen=True, slots=True)
class Response:
    """How much a policy's answers change.

    Attributes:
        largest: The largest change of a number of an action.
        share: Mean change of the pose's numbers, as a share of their mean size; 0 where all are zero.
        turns: Share of answers with another gripper command.
    """

    largest: float
    share: float
    turns: float


def answers(policy: Policy, sequence: Sequence[Moment]) -> Float64[np.ndarray, "T action_dim"]:
    """A policy's actions for a sequence, starting with an empty memory."""
    state = policy.initial_state(1, seeds=[_SEED])
    actions = []
    for moment in sequence:
        action, state = ask(policy, [moment], state)
        actions.append(action[0])
    return np.stack(actions)


def response(policy: Policy, sequences: Sequences, plain: Sequence[np.ndarray], change: Change) -> Response:
    """How much a policy's answers change with what it is shown.

    Args:
        policy: The policy.
        sequences: At least two.
        plain: Its answers to the unchanged sequences.
        change: Changes a moment, given the moment of the next sequence.
    """
    others = [*sequences[1:], sequences[0]]
    changed = [
        answers(policy, [change(moment, other) for moment, other in zip(sequence, of_other, strict=True)])
        for sequence, of_other in zip(sequences, others, strict=True)
    ]
    return difference(plain, changed)


def difference(plain: Sequence[np.ndarray], changed: Sequence[np.ndarray]) -> Response:
    """The difference of two series of answers."""
    before, after = np.concatenate(plain), np.concatenate(changed)
    size = float(np.abs(before[:, :-1]).mean())
    moved = np.abs(after - before)
    share = float(moved[:, :-1].mean()) / size if size > 0.0 else float(moved[:, :-1].max() > 0.0)
    return Response(float(moved.max()), share, float(((after[:, -1] > 0) != (before[:, -1] > 0)).mean()))


def blank_images(moment: Moment, other: Moment) -> Moment:
    """The moment with black images."""
    return _with_images(moment, {key: np.zeros_like(image) for key, image in _images(moment).items()})


def other_images(moment: Moment, other: Moment) -> Moment:
    """The moment with the other's images."""
    return _with_images(moment, _images(other))


def other_instruction(moment: Moment, other: Moment) -> Moment:
    """The moment with the other's sentence."""
    return replace(moment, instruction=other.instruction)


def other_robot_state(moment: Moment, other: Moment) -> Moment:
    """The moment with the other's proprioception."""
    return replace(moment, observation={**moment.observation, "robot_obs": other.observation["robot_obs"]})


def _images(moment: Moment) -> Mapping[str, np.ndarray]:
    return {key: value for key, value in moment.observation.items() if key.startswith(("rgb_", "depth_"))}


def _with_images(moment: Moment, images: Mapping[str, np.ndarray]) -> Moment:
    return replace(moment, observation={**moment.observation, **images})


def batch_difference(policy: BatchedPolicy, sequences: Sequences, plain: Sequence[np.ndarray]) -> Response:
    """How much a policy's answers to each of several worlds differ when it answers all at once."""
    state = policy.initial_state(len(sequences), seeds=[_SEED] * len(sequences))
    actions = []
    for moments in zip(*sequences, strict=True):
        answered, state = ask(policy, moments, state)
        actions.append(answered)
    return difference(plain, list(np.stack(actions, axis=1)))


def response_to_scaled_images(policy: Policy, sequences: Sequences) -> Response | None:
    """`response` to other images, with all images in [0, 1]; None if the policy raises an error for them."""
    scaled: Policy = _Scaled(policy)
    try:
        return response(scaled, sequences, [answers(scaled, sequence) for sequence in sequences], other_images)
    except Exception:  # noqa: BLE001  images of this kind are never given in a run
        return None


class _Scaled:
    """A policy that is given images as float32 in [0, 1]."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.traits, self.initial_state, self.reset_state = policy.traits, policy.initial_state, policy.reset_state

    def act(self, observations, instructions, state, privileged=None):  # type: ignore[no-untyped-def]
        """Scales the images. It bypasses the check of `Observation`, whose images are always uint8."""
        scaled = Observation(**{name: getattr(observations, name) for name in Observation.__slots__})
        for name in ("rgb_static", "rgb_gripper"):
            image = getattr(observations, name)
            if image is not None:
                object.__setattr__(scaled, name, image.astype(np.float32) / 255)
        return self._policy.act(scaled, instructions, state, privileged)
