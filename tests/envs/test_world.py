"""What worlds say about themselves."""

from dataclasses import replace

import gymnasium
import jaxtyping
import pytest

from calvinbench.envs.fake_play_table import FakePlayTable
from calvinbench.envs.names import UnknownNameError
from calvinbench.envs.observation import ActionConvention
from calvinbench.envs.play_table import PlayTableEnv
from calvinbench.envs.scenes.loading import load_scene
from calvinbench.envs.world import World, WorldTraits, WorldTraitsError, traits_of


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
