"""What worlds say about themselves."""

from dataclasses import replace

import gymnasium
import jaxtyping
import numpy as np
import pytest

from calvinbench.envs.chain_env import ChainEnv
from calvinbench.envs.fake_play_table import FakePlayTable
from calvinbench.envs.instructions import embedded_instructions
from calvinbench.envs.names import UnknownNameError
from calvinbench.envs.observation import ActionConvention
from calvinbench.envs.play_table import PlayTableEnv
from calvinbench.envs.scenes.loading import load_scene
from calvinbench.envs.world import (
    World,
    WorldTraits,
    WorldTraitsError,
    observe,
    skip_images,
    traits_of,
    with_images,
    without_images,
)
from support.fakes import CHAINS


def test_the_play_table_says_what_it_is():
    world = PlayTableEnv(cameras=("gripper",), depth=True, simulation="parity", depth_bits=16)
    assert isinstance(world, World)
    assert world.traits == WorldTraits(
        scene="embedded",
        asset_digest=load_scene("embedded").digest(),
        action_convention=ActionConvention.REL_ACTIONS,
        observation_keys=("rgb_gripper", "depth_gripper", "robot_obs"),
        renderer="opengl-look",
        depth_bits=16,
        simulation="parity",
        calvin_env=None,
    )
    assert world.traits.cameras == ("gripper",)
    assert set(world.traits.observation_keys) <= set(world.observation_space)
    world.close()


def test_traits_are_found_below_wrappers():
    world = FakePlayTable(cameras=("static",))
    assert isinstance(world, World)
    assert traits_of(gymnasium.wrappers.TimeLimit(world, 5)) == world.traits
    assert world.traits.observation_keys == ("rgb_static", "robot_obs")


def test_a_world_without_traits_is_refused_and_check_world_is_named():
    class Bare(gymnasium.Env):
        pass

    class Wrong(FakePlayTable):
        traits = {"scene": "mine"}  # noqa: RUF012

    with pytest.raises(WorldTraitsError, match=r"but Bare has none.*calvinbench\.envs\.check\.check_world"):
        traits_of(Bare())
    with pytest.raises(WorldTraitsError, match="but Wrong has a dict"):
        traits_of(Wrong())


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"observation_keys": ("rgb_statc",)}, "Did you mean 'rgb_static'"),
        ({"scene": " "}, "expected the scene of a world"),
        ({"renderer": ""}, "expected the renderer of a world"),
    ],
)
def test_traits_that_make_no_sense_are_refused(wrong: dict, words: str):
    with pytest.raises((UnknownNameError, ValueError), match=words):
        replace(FakePlayTable().traits, **wrong)


def test_an_action_convention_may_be_given_by_its_name(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as users run it
    traits = WorldTraits("mine", "0", "abs_joints", (), "none")
    assert traits.action_convention is ActionConvention.ABS_JOINTS
    with pytest.raises(UnknownNameError, match="Did you mean 'rel_actions'"):
        replace(traits, action_convention="relactions")


class OtherStep(FakePlayTable):
    def step(self, action):
        return super().step(action)


class OtherStepAndObserve(OtherStep):
    def observe(self):
        return super().observe()


@pytest.mark.parametrize(
    ("make", "can_skip"),
    [
        (FakePlayTable, True),
        (OtherStep, False),  # its `observe` may not know what its `step` does to images
        (OtherStepAndObserve, True),
        (lambda: gymnasium.wrappers.TimeLimit(FakePlayTable(), 5), False),
    ],
)
def test_images_are_left_out_by_worlds_that_can_show_them_later(make, can_skip):
    world = make()
    for env in (world, ChainEnv(world, embedded_instructions())):
        assert skip_images(env, True) is can_skip
        env.reset(**({"options": {"chain": CHAINS[0]}} if env is not world else {}))
        observation, *_ = env.step(np.zeros(7))
        assert ("rgb_static" in observation) is not can_skip
        whole = with_images(env, observation)
        assert {"rgb_static", "rgb_gripper", "robot_obs", "scene_obs"} == set(whole)
        assert without_images(whole).keys() == {"robot_obs", "scene_obs"}
        if can_skip:
            assert "rgb_static" in env.step(np.zeros(7))[0]  # with_images ends the skipping
        else:
            with pytest.raises(TypeError, match="expected an environment with skip_images and observe"):
                observe(env)


def test_a_world_without_cameras_has_no_images_to_add():
    observation, _ = (world := OtherStep(cameras=())).reset()
    assert with_images(world, observation) is observation
    assert set(with_images(FakePlayTable(cameras=()), observation)) == {"robot_obs", "scene_obs"}
