"""Policies that say which images they will look at, and worlds that count what they render.

Worker processes import this module too, as `support.lookers`.
"""

import gymnasium
import numpy as np

from calvinbench.envs.fake_play_table import FakePlayTable
from calvinbench.envs.observation import is_image
from calvinbench.policies.batch import put_rows
from calvinbench.policies.policy import Decision, Memory, PolicyTraits
from calvinbench.policies.wrapper import BatchedPolicyWrapper
from support.fakes import Solver

EXECUTED = 5
"""Actions of a chunk that are executed."""


class Looker:
    """Solves what the fake world supports. Its actions also have the brightness of the last image that it looked at.

    It looks at the first image, and then at each `EXECUTED`th one. The state is a pair for each world: how many actions
    of the chunk are left, and the brightness. `num_looks` counts images.
    """

    def __init__(self, reset="subtask"):
        self.traits = PolicyTraits(
            label="looker",
            memory=Memory(span="unbounded", reset=reset),
            privileged=True,
            observation_keys=("rgb_static", "robot_obs"),
        )
        self.num_looks = 0

    def initial_state(self, batch_size, seeds=None):
        return ((0, 0.0),) * batch_size

    def reset_state(self, state, rows):
        return tuple((0, 0.0) if mark else row for row, mark in zip(state, rows, strict=True))

    def put_state(self, state, rows, part):
        return put_rows(state, rows, part)

    def expect(self, instructions):
        """Has no effect: sentences are not read."""

    def act(self, observations, instructions, state, privileged=None):
        actions, news = [], []
        assert observations.robot_obs.shape == (len(state), 15)
        for row, ((left, brightness), truth) in enumerate(zip(state, privileged, strict=True)):
            if left == 0:
                left, brightness = EXECUTED, float(observations.rgb_static[row].mean()) / 255
                self.num_looks += 1
            action = Solver.act(self, observations, [""], (0,), [truth]).actions[0]
            action[4] = 0.5 * brightness + 0.01 * left
            actions.append(action)
            news.append((left - 1, brightness))
        return Decision(np.stack(actions), tuple(news))

    def looks_next(self, state):
        return np.array([left == 0 for left, _ in state])


class Silent(BatchedPolicyWrapper):
    """Another policy that does not say which images it will look at."""

    def __init__(self, policy):
        super().__init__(policy, policy.traits)

    def looks_next(self, state):
        return None


class OneWorld:
    """A looker that serves one world, so that it lacks the methods for batches."""

    def __init__(self, policy):
        self.traits, self.initial_state, self.reset_state = policy.traits, policy.initial_state, policy.reset_state
        self.act, self.looks_next = policy.act, policy.looks_next


class Marks(Looker):
    """A looker whose marks a test chooses."""

    def __init__(self, marks):
        super().__init__()
        self._marks = marks

    def looks_next(self, state):
        return self._marks


class CountingTable(FakePlayTable):
    """Counts in `num_rendered` how often images are taken."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self.num_rendered = 0

    def observe(self):
        self.num_rendered += 1
        return super().observe()


class ShiftedTable(CountingTable):
    """Changes its images in `reset` and `step`, as worlds did before `observe` was there."""

    def reset(self, **settings):
        observation, info = super().reset(**settings)
        return _inverted(observation), info

    def step(self, action):
        observation, *rest = super().step(action)
        return _inverted(observation), *rest


class Inverting(gymnasium.ObservationWrapper):
    """The same as a wrapper."""

    def observation(self, observation):
        return _inverted(observation)


def _inverted(observation):
    return {key: 255 - value if is_image(key) else value for key, value in observation.items()}


def make_counting_world(settings, traits):
    return CountingTable(cameras=traits.cameras)


def make_shifted_world(settings, traits):
    return ShiftedTable(cameras=traits.cameras)


def make_inverted_world(settings, traits):
    return Inverting(CountingTable(cameras=traits.cameras))


def make_looker(spec, memory_reset):
    """`looker` says which images it looks at, `silent` does not."""
    policy = Looker(memory_reset or "subtask")
    return policy if spec == "looker" else Silent(policy)
