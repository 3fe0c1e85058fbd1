"""Worlds that share a policy do not feel each other: bit for bit the same answers, whatever stands beside them."""

import numpy as np
import pytest

from calvinbench.envs.instructions import embedded_instructions
from calvinbench.envs.observation import Observation
from calvinbench.policies.policy import BatchedPolicy
from calvinbench.policies.registry import make_policy

SENTENCES = [sentence for found in embedded_instructions().seen.values() for sentence in found]
BATCH_SIZE = 4
NUM_STEPS = 4  # one more than `window:3` remembers and `first:3` executes
SPECS = [
    "random",
    "untrained:cnn,memory_span=window:3,proprioception=true",
    "untrained:cnn,chunk_rule=first:3,chunk_length=4",
    "untrained:cnn,chunk_rule=ensemble,chunk_length=4,memory_span=window:3",
    "untrained:kosmos2",
    "untrained:kosmos2,head=robovlms",
    "untrained:kosmos2,head=transformer",
    "untrained:paligemma,memory_span=window:3",
    "untrained:minilm-effnet",
    "untrained:llava",
    "untrained:flamingo",
    "untrained:uform",
    "untrained:moondream",
    "untrained:qwen-vl,image_size=56",
]


class Crowd:
    """Frames and sentences of worlds, drawn at random."""

    def __init__(self, seed):
        self._generator = np.random.default_rng(seed)

    def frame(self):
        draw = self._generator
        pictures = [draw.integers(0, 256, (size, size, 3), dtype=np.uint8) for size in (200, 84)]
        return *pictures, draw.normal(size=15)

    def sentence(self):
        return SENTENCES[self._generator.integers(len(SENTENCES))]


def observation(frames):
    static, gripper, robot_obs = (np.stack(parts) for parts in zip(*frames, strict=True))
    return Observation(rgb_static=static, rgb_gripper=gripper, robot_obs=robot_obs)


def answers(policy, slot, begins_at, seed, frames, sentence):
    """What it answers to a world in a slot that begins while the others are on their way."""
    crowd = Crowd(seed)
    state = policy.initial_state(BATCH_SIZE, seeds=[seed + row for row in range(BATCH_SIZE)])
    found = []
    for step in range(begins_at + NUM_STEPS):
        rows = [crowd.frame() for _ in range(BATCH_SIZE)]
        told = [crowd.sentence() for _ in range(BATCH_SIZE)]
        if step == begins_at:
            state = policy.put_state(state, np.arange(BATCH_SIZE) == slot, policy.initial_state(1, seeds=[77]))
        if step >= begins_at:
            rows[slot], told[slot] = frames[step - begins_at], sentence
        actions, state = policy.act(observation(rows), told, state)
        if step >= begins_at:
            found.append(actions[slot])
    return np.stack(found)


@pytest.mark.parametrize("spec", SPECS)
def test_what_a_world_is_answered_does_not_depend_on_its_neighbours_or_its_place(spec):
    policy = make_policy(spec)
    assert isinstance(policy, BatchedPolicy)
    policy.expect(SENTENCES)
    crowd = Crowd(0)
    frames, sentence = [crowd.frame() for _ in range(NUM_STEPS)], crowd.sentence()
    first = answers(policy, 0, 0, 1, frames, sentence)
    assert np.abs(first[1:] - first[:-1]).max() > 0  # it answers something
    for slot, begins_at, seed in ((0, 0, 2), (1, 2, 3), (2, 1, 4), (3, 2, 5)):
        assert np.array_equal(answers(policy, slot, begins_at, seed, frames, sentence), first)


def test_without_expected_sentences_neighbours_change_the_last_digits():
    """What `expect` is for; were it not so, it could go."""
    policy = make_policy("untrained:kosmos2")
    crowd = Crowd(0)
    frames = [crowd.frame() for _ in range(NUM_STEPS)]
    found = [answers(policy, 0, 0, seed, frames, SENTENCES[0]) for seed in range(1, 5)]
    assert any(not np.array_equal(found[0], other) for other in found[1:])
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)


def test_only_marked_rows_are_replaced_and_by_as_many():
    policy = make_policy("random")
    state = policy.initial_state(3, seeds=[1, 2, 3])
    put = policy.put_state(state, np.array([False, True, False]), policy.initial_state(1, seeds=[9]))
    assert (put[0], put[2]) == (state[0], state[2])
    assert put[1].uniform() == np.random.default_rng(9).uniform()
    with pytest.raises(ValueError, match="a state for 2 worlds, got 1"):
        policy.put_state(state, np.array([True, True, False]), policy.initial_state(1, seeds=[9]))
