"""Where links are, beside Bullet's own reckoning; and that asking for pictures changes nothing."""

from collections.abc import Iterator

import numpy as np
import pytest

from calvinbench.envs.cameras.opengl_look import OpenGLLook
from calvinbench.envs.chains import initial_observation, published
from calvinbench.envs.play_table import PlayTableEnv


@pytest.fixture(scope="module", params=["embedded", pytest.param("D", marks=pytest.mark.recorded)])
def env(request: pytest.FixtureRequest) -> Iterator[PlayTableEnv]:
    checkout = None if request.param == "embedded" else request.getfixturevalue("recordings") / "calvin_env"
    made = PlayTableEnv(request.param, cameras=(), calvin_env=checkout)
    made.reset(seed=0)
    yield made
    made.close()


def frame(client, position, quaternion) -> np.ndarray:
    made = np.eye(4)
    made[:3, :3] = np.reshape(client.getMatrixFromQuaternion(quaternion), (3, 3))
    made[:3, 3] = position
    return made


def bullet_frames(env: PlayTableEnv, uid: int) -> list[np.ndarray]:
    """Of the base and of all links. Bullet tells those of the centres of mass in double precision."""
    client = env._client
    centre = frame(client, *client.getDynamicsInfo(uid, -1)[3:5])
    frames = [frame(client, *client.getBasePositionAndOrientation(uid)) @ np.linalg.inv(centre)]
    for link in range(client.getNumJoints(uid)):
        position, quaternion, *centre_in_link = client.getLinkState(uid, link, 0, 1)[:4]
        frames.append(frame(client, position, quaternion) @ np.linalg.inv(frame(client, *centre_in_link)))
    return frames


def test_links_are_where_bullet_has_them_whatever_the_joints(env: PlayTableEnv):
    client, look = env._client, env._renderer
    assert isinstance(look, OpenGLLook)
    generator = np.random.default_rng(1)
    bodies = (env._robot.uid, *env._blocks.values(), env._table.uid)
    for _ in range(8):
        for uid in env._blocks.values():
            turn = generator.normal(size=4)
            client.resetBasePositionAndOrientation(uid, generator.normal(size=3), turn / np.linalg.norm(turn))
        for uid in bodies:
            for number in range(client.getNumJoints(uid)):
                client.resetJointState(uid, number, generator.uniform(-3, 3))
        drawing = look._prepared()
        drawing.look(client, look._bodies, env._table)
        links = drawing._geometry.links
        for number, uid in zip((0, 2, 3, 4, 5), bodies, strict=True):
            placed = drawing._placed[links.bodies == number]
            np.testing.assert_allclose(placed, bullet_frames(env, uid), atol=1e-9)


def test_pictures_do_not_change_what_is_observed(env: PlayTableEnv):
    robot_obs, scene_obs = initial_observation(published()[4].initial_state)
    generator = np.random.default_rng(2)
    actions = [np.array([*generator.uniform(-1, 1, 3) - (0, 0, 0.4), 0, 0, 0.3, sign]) for sign in (1.0, -1.0) * 12]
    seen = []
    for cameras in ((), ("static", "gripper")):
        env._shown = cameras
        moments = [env.reset(options={"robot_obs": robot_obs, "scene_obs": scene_obs})[0]]
        poses = [env._robot.camera_pose]
        for action in actions:
            moments.append(env.step(action)[0])
            poses.append(env._robot.camera_pose)
        states = np.array([[*moment["robot_obs"], *moment["scene_obs"]] for moment in moments])
        seen.append((states, np.array([[*position, *quaternion] for position, quaternion in poses])))
    env._shown = ()
    assert "rgb_static" in moments[-1]
    for plain, pictured in zip(*seen, strict=True):
        np.testing.assert_array_equal(plain, pictured)
