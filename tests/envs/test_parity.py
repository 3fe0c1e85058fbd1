"""Our world beside recordings of calvin_env's own simulator: states, targets, contacts, pictures."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from calvinbench.envs.cameras.opengl_look import OpenGLLook, geometry_of
from calvinbench.envs.play_table import PlayTableEnv
from calvinbench.envs.rendering.renderer import Renderer
from calvinbench.envs.simulation import PARITY
from calvinbench.envs.world_info import BLOCKS, ROBOT, TABLE, WorldInfo
from support import REPOSITORY

pytestmark = pytest.mark.recorded
_DATA = Path(os.environ.get("CALVINBENCH_TEST_DATA", REPOSITORY.parent / "shared" / "data"))
_FILES = sorted((_DATA / "calvin_parity" / "traj").glob("traj*.npz"))


class Recording:
    """One recorded trajectory."""

    def __init__(self, file: Path) -> None:
        self.folder = file.parent
        self.name = file.stem.removeprefix("traj")
        arrays = np.load(file)
        self.arrays = {key.removesuffix(f"_{self.name}"): arrays[key] for key in arrays}
        # calvin_scene_D_eval is scene D; the recordings so called were loaded as scene D is.
        self.scene = str(self.arrays["scene"]).removeprefix("calvin_scene_").removesuffix("_eval")

    def world(self, recordings: Path, **settings) -> PlayTableEnv:
        return PlayTableEnv(self.scene, calvin_env=recordings / "calvin_env", simulation=PARITY, **settings)

    def play(self, env: PlayTableEnv) -> Iterator[tuple[int, dict, dict]]:
        state = {name: self.arrays[f"init_{name}"] for name in ("robot_obs", "scene_obs")}
        yield 0, *env.reset(options=state)
        for step, action in enumerate(self.arrays["actions"], start=1):
            observation, _, _, _, info = env.step(action)
            yield step, observation, info

    def compare(self, step: int, observation: dict, info: dict) -> None:
        for key in ("robot_obs", "scene_obs"):
            np.testing.assert_array_equal(observation[key], self.arrays[key][step], f"{key} after step {step}")
        if "target_pose" in self.arrays and step > 0:
            target = np.concatenate([info["target_position"], info["target_euler"]])
            np.testing.assert_array_equal(target, self.arrays["target_pose"][step - 1])


@pytest.fixture(params=_FILES, ids=lambda file: file.stem)
def recording(request: pytest.FixtureRequest) -> Recording:
    return Recording(request.param)


def test_parity_is_bit_identical_to_calvin_env_episode_after_episode(recordings: Path, recording: Recording):
    env = recording.world(recordings, cameras=())
    for _ in range(2):
        for step, observation, info in recording.play(env):
            recording.compare(step, observation, info)
    assert step == len(recording.arrays["actions"])
    env.close()


def test_two_worlds_in_parity_step_by_turns_and_stay_bit_identical(recordings: Path):
    played = [Recording(file) for file in _FILES[:2]]
    envs = [recording.world(recordings, cameras=()) for recording in played]
    turns = [recording.play(env) for recording, env in zip(played, envs, strict=True)]
    for moments in zip(*turns, strict=False):
        for recording, moment in zip(played, moments, strict=True):
            recording.compare(*moment)
    for env in envs:
        env.close()


def test_pictures_are_those_of_tinyrenderer(recordings: Path, recording: Recording):
    env = recording.world(recordings, renderer="bullet-tiny")
    num_compared = 0
    take = {camera: env._cameras[camera].take for camera in ("static", "gripper")}
    env._shown = ()
    for step, _, _ in recording.play(env):
        for camera, picture in take.items():
            file = recording.folder / f"tiny_t{recording.name}_{step:03d}_{camera}.png"
            if file.exists():
                np.testing.assert_array_equal(picture().rgb, np.asarray(Image.open(file)), file.name)
                num_compared += 1
    env.close()
    if not num_compared:
        pytest.skip("no pictures of this trajectory")


def test_pictures_are_those_of_the_egl_plugin(recordings: Path, recording: Recording):
    """The issue asks for 0.8 of 255 and 0.5% of pixels.

    Measured for single pictures: at most 0.38 (static) and 0.58 (gripper), and 0.07% of pixels.
    """
    env = recording.world(recordings)
    env._shown = ()
    differences: dict[str, list[np.ndarray]] = {"static": [], "gripper": []}
    for step, _, _ in recording.play(env):
        for camera, pictures in differences.items():
            file = recording.folder / f"egl_t{recording.name}_{step:03d}_{camera}.png"
            if file.exists():
                # The plugin's first pictures in a process have no shadows, and each recording is a process.
                taken = taken_without_shadows(env, camera) if step == 0 else env._cameras[camera].take().rgb
                pictures.append(np.abs(taken.astype(int) - np.asarray(Image.open(file))))
                assert pictures[-1].mean() <= 0.8, file.name
    env.close()
    for camera, pictures in differences.items():
        if pictures:
            assert np.mean(pictures) <= 0.8, camera
            assert (np.max(pictures, axis=-1) > 10).mean() <= 0.005, camera
    if not any(differences.values()):
        pytest.skip("no pictures of this trajectory")


def taken_without_shadows(env: PlayTableEnv, camera: str) -> np.ndarray:
    """What a camera sees now, drawn by a renderer that leaves shadows out."""
    look = env._renderer
    assert isinstance(look, OpenGLLook)
    drawing = look._prepared()
    usual, drawing.renderer = drawing.renderer, Renderer(geometry_of(env.scene), depth_bits=16, shadows=False)
    look.world_changed()
    picture = env._cameras[camera].take().rgb
    drawing.renderer = usual
    look.world_changed()
    return picture


def test_contacts_are_those_of_calvin_env(recordings: Path, recording: Recording):
    file = recording.folder / f"traj{recording.name}_contacts.json"
    if not file.exists():
        pytest.skip("no contacts of this trajectory")
    (moments,) = json.loads(file.read_text())["contacts"]
    env = recording.world(recordings, cameras=())
    names = upstream_names(env)
    for step, observation, info in recording.play(env):
        recorded, world = moments[step], info["world"]
        assert contacts_of(world) == {
            body: {names[other, link] for _, _, other, link, _ in recorded[body]} for body in (ROBOT, *BLOCKS)
        }, f"after step {step}"
        for name, block in world.blocks.items():
            velocity = np.concatenate([block.linear_velocity, block.angular_velocity])
            np.testing.assert_array_equal(velocity, recorded["vel"][name])
            np.testing.assert_array_equal(block.quaternion, recorded["quat"][name])
        assert observation["scene_obs"][2] == recorded["button"]["joint_state"]
        assert observation["scene_obs"][3] == recorded["switch"]["joint_state"]
    env.close()


def upstream_names(env: PlayTableEnv) -> dict[tuple[int, int], tuple[str, str]]:
    """The numbers that upstream gives bodies and links: it loads robot, pedestal, blocks, table, floor in turn."""
    uids = {0: ROBOT, **dict(enumerate(env.scene.block_urdfs, start=2)), 5: TABLE}
    links = {ROBOT: env._robot.link_names, TABLE: env._table.link_names}
    names = {
        (uid, link): (body, name)
        for uid, body in uids.items()
        for link, name in links.get(body, {-1: "base_link"}).items()
    }
    return names | {(6, -1): ("floor", "base_link")}


def contacts_of(world: WorldInfo) -> dict[str, set[tuple[str, str]]]:
    blocks = {name: {tuple(contact) for contact in block.contacts} for name, block in world.blocks.items()}
    return {ROBOT: {tuple(contact) for contact in world.robot_contacts}, **blocks}
