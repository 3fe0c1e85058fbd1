"""A digest of one image of each camera, which differs between machines that render the same scene differently."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import gymnasium
import numpy as np
from jaxtyping import UInt8

from calvinbench.envs.chain_env import scene_of
from calvinbench.envs.chains import initial_observation, published


def reference_frame(world: gymnasium.Env[Any, Any]) -> str | None:
    """SHA-256 of `reference_images`; None for a world without images."""
    return digest_of_images(reference_images(world))


def reference_images(world: gymnasium.Env[Any, Any]) -> dict[str, UInt8[np.ndarray, "H W 3"]]:
    """The images of the first published chain's initial state. It resets the world to that state.

    Args:
        world: A play table. If it has no other cameras, the policy's cameras are used.

    Returns:
        An image by camera; empty for a world without images.
    """
    own = world.unwrapped
    first = published()[0]
    robot_obs, scene_obs = initial_observation(first.initial_state, scene_of(world))
    observation, _ = own.reset(options={"robot_obs": robot_obs, "scene_obs": scene_obs})
    if shown := getattr(own, "images", None) or getattr(own, "pictures", None):  # the old name, of users' own worlds
        return {name: image.rgb for name, image in shown().items()}
    return {name: image for name, image in observation.items() if name.startswith("rgb_")}


def digest_of_images(images: Mapping[str, UInt8[np.ndarray, "H W 3"]]) -> str | None:
    """SHA-256 of images; None if there are none."""
    if not images:
        return None
    sha = sha256()
    for _, image in sorted(images.items()):
        sha.update(np.ascontiguousarray(image).tobytes())
    return sha.hexdigest()
