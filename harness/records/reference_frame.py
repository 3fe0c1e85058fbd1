"""A digest of one image of each camera, which differs between machines that render the same scene differently."""

from hashlib import sha256
from typing import Any

import gymnasium
import numpy as np

from calvinbench.envs.chain_env import scene_of
from calvinbench.envs.chains import initial_observation, published


def reference_frame(world: gymnasium.Env[Any, Any]) -> str | None:
    """SHA-256 of the images of the first published chain's initial state. It resets the world to that state.

    Args:
        world: A play table. If it has no other cameras, the policy's cameras are used.

    Returns:
        The digest; None for a world without images.
    """
    own = world.unwrapped
    first = published()[0]
    robot_obs, scene_obs = initial_observation(first.initial_state, scene_of(world))
    observation, _ = own.reset(options={"robot_obs": robot_obs, "scene_obs": scene_obs})
    if shown := getattr(own, "images", None) or getattr(own, "pictures", None):  # the old name, of users' own worlds
        images = {name: image.rgb for name, image in shown().items()}
    else:
        images = {name: image for name, image in observation.items() if name.startswith("rgb_")}
    if not images:
        return None
    sha = sha256()
    for _, image in sorted(images.items()):
        sha.update(np.ascontiguousarray(image).tobytes())
    return sha.hexdigest()
