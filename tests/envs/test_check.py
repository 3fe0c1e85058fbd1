"""`check_world` on the worlds that ship, and on one broken world for each thing that it checks."""

from dataclasses import replace

import gymnasium
import numpy as np
import pytest

from calvinbench.envs.check import WorldCheckError, check_world
from calvinbench.envs.fake_play_table import FakePlayTable
from calvinbench.envs.observation import ActionConvention
from calvinbench.envs.play_table import PlayTableEnv


def test_the_fake_play_table_passes():
    check_world(FakePlayTable())
    check_world(FakePlayTable(cameras=()))


def test_a_wrapped_world_passes():
    check_world(gymnasium.wrappers.TimeLimit(FakePlayTable(), 100))


@pytest.mark.parametrize("convention", list(ActionConvention))
def test_the_play_table_passes_with_every_action_convention(convention: ActionConvention):
    world = PlayTableEnv(cameras=(), action_convention=convention)
    check_world(world)
    world.close()


def test_the_play_table_passes_with_images_and_depth():
    world = PlayTableEnv(cameras=("gripper",), depth=True, camera_sizes={"gripper": 20})
    check_world(world)
    world.close()


class Changed(FakePlayTable):
    """A world whose returned values a test changes."""

    def _info(self):
        return self.change_info(super()._info())

    def observe(self):
        return self.change_observation(super().observe())

    def change_info(self, info):
        return info

    def change_observation(self, observation):
        return observation


class NoTraits(FakePlayTable):
    traits = None


class OtherConvention(FakePlayTable):
    """Says that it takes absolute actions, and takes relative ones."""

    @property
    def traits(self):
        return replace(super().traits, action_convention=ActionConvention.ABS_ACTIONS)


class OtherKeys(FakePlayTable):
    @property
    def traits(self):
        return replace(super().traits, observation_keys=("depth_static",))


class OtherActionSpace(FakePlayTable):
    def __init__(self):
        super().__init__()
        self.action_space = gymnasium.spaces.Box(-1, 1, (6,))


class OtherObservationSpace(FakePlayTable):
    def __init__(self):
        super().__init__()
        self.observation_space = self.observation_space["robot_obs"]


class SmallImage(Changed):
    def change_observation(self, observation):
        return observation | {"rgb_static": observation["rgb_static"][:100]}


class FloatImage(Changed):
    def change_observation(self, observation):
        return observation | {"rgb_static": observation["rgb_static"] / 255}


class NotFinite(Changed):
    def change_observation(self, observation):
        return observation | {"robot_obs": observation["robot_obs"] * np.nan}


class MissingKey(Changed):
    def change_observation(self, observation):
        return {key: value for key, value in observation.items() if key != "robot_obs"}


class NoWorldInfo(Changed):
    def change_info(self, info):
        return info | {"world": {"lights": 1}}


class NoLed(Changed):
    def change_info(self, info):
        return info | {"world": replace(info["world"], lights={"lightbulb": 0})}


class NoTarget(Changed):
    def change_info(self, info):
        return info | {"target_euler": (0.0, 0.0, 0.0)}


class IgnoresOptions(FakePlayTable):
    def reset(self, *, seed=None, options=None):
        return super().reset(seed=seed, options={"scene_obs": np.zeros(24)})


class IgnoresLights(FakePlayTable):
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed, options=options)
        self._scene_obs[4:6] = 0
        return self.observe(), self._info()


class TakesAnyOption(FakePlayTable):
    def reset(self, *, seed=None, options=None):
        known = {key: value for key, value in (options or {}).items() if key.endswith("_obs")}
        return super().reset(seed=seed, options=known)


class ForgetsSeed(FakePlayTable):
    def reset(self, *, seed=None, options=None):
        return super().reset(options=options)


class Remembers(FakePlayTable):
    """What it does depends on the number of steps since it was made."""

    steps = 0

    def step(self, action):
        self.steps += 1
        _, reward, terminated, truncated, info = super().step(action)
        self._scene_obs[0] = 0.001 * self.steps
        return self.observe(), reward, terminated, truncated, info


class NoCopies(Changed):
    def change_observation(self, observation):
        return observation | {"robot_obs": self._robot_obs}


class OtherScale(FakePlayTable):
    def step(self, action):
        return super().step(action / 2)


class Clips(FakePlayTable):
    def step(self, action):
        return super().step(np.nan_to_num(action))


class Ends(FakePlayTable):
    def step(self, action):
        observation, reward, _, truncated, info = super().step(action)
        return observation, reward, True, truncated, info


class FourParts(FakePlayTable):
    def step(self, action):
        return super().step(action)[:4]


class KeepsImages(FakePlayTable):
    def skip_images(self, skips):
        return True


class OldImages(FakePlayTable):
    """Shows the images of the last reset."""

    def reset(self, **settings):
        observation, info = super().reset(**settings)
        self._first = observation["rgb_static"]
        return observation, info

    def observe(self):
        observation = super().observe()
        return observation | {"rgb_static": self._first} if self._skips_images else observation


class MovesInObserve(FakePlayTable):
    def observe(self):
        self._scene_obs[2] += 1e-9 if self._skips_images else 0.0
        return super().observe()


class NoObserve(gymnasium.Wrapper):
    def __init__(self):
        super().__init__(FakePlayTable())

    def skip_images(self, skips):
        return self.env.skip_images(skips)


@pytest.mark.parametrize(
    ("world", "words"),
    [
        (KeepsImages, r"no images from step after skip_images\(True\), got rgb_gripper, rgb_static"),
        (OldImages, "expected the same 'rgb_static' for step 1, with images left out and then taken by observe"),
        (MovesInObserve, "expected the same 'scene_obs' for step 1, with images left out and then taken by observe"),
        (NoObserve, "expected NoObserve to have observe, because it has skip_images"),
        (NoTraits, r"`traits`, a calvinbench\.envs\.world\.WorldTraits, but NoTraits has none.*check_world\(world\)"),
        (OtherConvention, r"as 'abs_actions' means it, got"),
        (OtherKeys, "expected depth_static in observation_space"),
        (OtherActionSpace, r"expected a Box of shape \(7,\) as action_space"),
        (OtherObservationSpace, "Dict as observation_space, got Box"),
        (SmallImage, r"expected 'rgb_static' as uint8 .* got uint8 of \(100, 200, 3\)"),
        (FloatImage, "expected 'rgb_static' as uint8 .* got float64"),
        (NotFinite, "expected finite numbers in 'robot_obs'"),
        (MissingKey, "expected the keys of observation_space"),
        (NoWorldInfo, r"WorldInfo as info\['world'\] from reset, got dict"),
        (NoLed, r"info\['world'\]\.lights, but led is missing"),
        (NoTarget, r"expected info\['target_euler'\] as three finite numbers"),
        (IgnoresOptions, r"expected the position of block_\w+ at .* Use options\['scene_obs'\]"),
        (IgnoresLights, "expected lights .*'led': 1"),
        (TakesAnyOption, "so that a misspelt one is noticed"),
        (ForgetsSeed, r"reset\(seed=0\), called twice, but it differs"),
        (Remembers, "step 1 of the same episode, run twice, but it differs"),
        (NoCopies, "the observation before step 0, which that step changed, but it differs"),
        (OtherScale, r"Scale relative positions by 0\.02 m"),
        (Clips, "ValueError for an action with a NaN"),
        (Ends, "never ends an episode, got terminated=True"),
        (FourParts, r"step to return \(observation, reward, terminated, truncated, info\)"),
    ],
)
def test_a_broken_world_is_refused_with_the_reason(world: type[FakePlayTable], words: str):
    with pytest.raises(WorldCheckError, match=words):
        check_world(world())


def test_an_object_that_is_no_environment_is_refused():
    with pytest.raises(WorldCheckError, match=r"expected a gymnasium\.Env, got str"):
        check_world("embedded")


def test_a_world_whose_episodes_depend_on_earlier_ones_passes_if_it_says_so():
    check_world(Remembers(), deterministic=False)
