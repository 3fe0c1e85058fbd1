"""The observation and action spaces of the play table."""

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from gymnasium import spaces

from calvinbench.envs.observation import ROBOT_OBS_DIM, SCENE_OBS_DIM, ActionConvention
from calvinbench.envs.scenes.panda import BASE_POSITION

WORLD_BOUND_M = 100.0
"""The declared limit of observations. Nothing in the world comes near it."""


def observation_space(camera_sizes: Mapping[str, int], depth: bool) -> spaces.Space[dict[str, np.ndarray]]:
    """The observations of a play table.

    Args:
        camera_sizes: Width and height in pixels of each rendered camera.
        depth: Whether depths are observed too.
    """
    entries: dict[str, spaces.Space[Any]] = {}
    for camera, size in camera_sizes.items():
        entries[f"rgb_{camera}"] = spaces.Box(0, 255, (size, size, 3), np.uint8)
        if depth:
            entries[f"depth_{camera}"] = spaces.Box(0.0, WORLD_BOUND_M, (size, size), np.float32)
    entries["robot_obs"] = spaces.Box(-WORLD_BOUND_M, WORLD_BOUND_M, (ROBOT_OBS_DIM,), np.float64)
    entries["scene_obs"] = spaces.Box(-WORLD_BOUND_M, WORLD_BOUND_M, (SCENE_OBS_DIM,), np.float64)
    return cast(spaces.Space[dict[str, np.ndarray]], spaces.Dict(entries))


def action_space(convention: ActionConvention) -> spaces.Box:
    """The nominal ranges of an action of one of our worlds. `step` does not clip."""
    if convention == ActionConvention.REL_ACTIONS:
        return spaces.Box(-1.0, 1.0, (convention.action_dim,), np.float64)
    if convention == ActionConvention.ABS_ACTIONS:
        reach = np.array([1.0, 1.0, 1.0])
        low = np.concatenate([np.array(BASE_POSITION) - reach, -np.full(3, np.pi), [-1.0]])
        high = np.concatenate([np.array(BASE_POSITION) + reach, np.full(3, np.pi), [1.0]])
        return spaces.Box(low, high, dtype=np.float64)
    bound = np.array([np.pi] * 7 + [1.0])
    return spaces.Box(-bound, bound, dtype=np.float64)
