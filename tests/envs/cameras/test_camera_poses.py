"""Poses and lenses of the cameras: a pixel's depth leads to the point that a ray of the simulation hits."""

import numpy as np
import pytest

from calvinbench.envs.chains import initial_observation, published
from calvinbench.envs.play_table import PlayTableEnv


@pytest.mark.parametrize("camera", ["static", "gripper"])
def test_a_pixel_and_its_depth_lead_to_the_point_that_a_ray_hits(camera):
    env = PlayTableEnv(depth=True, camera_sizes={"static": 100})
    try:
        robot_obs, scene_obs = initial_observation(published()[0].initial_state)
        env.reset(options={"robot_obs": robot_obs, "scene_obs": scene_obs})
        pose, depth = env.camera_poses()[camera], env.images()[camera].depth
        assert pose.size == len(depth) == {"static": 100, "gripper": 84}[camera]
        to_world = np.linalg.inv(pose.world_to_camera)
        eye = to_world[:3, 3]
        misses = []
        for row, column in [(30, 30), (50, 50), (60, 20), (40, 70), (70, 60)]:
            pixel = np.array([column + 0.5, row + 0.5, 1.0])
            seen = np.linalg.inv(pose.intrinsics) @ pixel * depth[row, column]
            point = (to_world @ [*seen, 1.0])[:3]
            (hit,) = env._client.rayTest(eye.tolist(), (eye + 1.5 * (point - eye)).tolist())
            misses.append(float(np.linalg.norm(np.array(hit[3]) - point)))
        assert np.median(misses) < 0.005, misses
    finally:
        env.close()


def test_the_gripper_camera_moves_with_the_arm_and_the_static_one_stays():
    env = PlayTableEnv(cameras=())
    try:
        env.reset(seed=0)
        before = env.camera_poses()
        for _ in range(5):
            env.step(np.array([0, 0, 1.0, 0, 0, 0, 1.0]))
        after = env.camera_poses()
        assert np.array_equal(before["static"].world_to_camera, after["static"].world_to_camera)
        rise = np.linalg.inv(after["gripper"].world_to_camera) - np.linalg.inv(before["gripper"].world_to_camera)
        assert rise[2, 3] > 0.03
    finally:
        env.close()
