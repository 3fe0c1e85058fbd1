"""The static and the gripper camera: where they stand and how a picture is taken.

Poses and lenses are those of calvin_env (`conf/cameras/cameras/*.yaml` at 797142c).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from calvinbench.envs.observation import CAMERA_SIZES

RENDERERS = ("bullet-tiny",)
"""`bullet-tiny`: PyBullet's TinyRenderer, on the CPU; shadows in CALVIN's scenes alone."""


@dataclass(frozen=True, slots=True)
class Lens:
    """What a camera sees of the space before it: field of view in degrees, near and far limit in metres."""

    fov_degrees: float
    near_m: float
    far_m: float


LENSES: Mapping[str, Lens] = MappingProxyType({"static": Lens(10.0, 0.01, 10.0), "gripper": Lens(75.0, 0.01, 2.0)})
STATIC_EYE = (2.871459009488717, -2.166602199425597, 2.555159848480571)
STATIC_LOOKS_AT = (-0.026242351159453392, -0.0302329882979393, 0.3920000493526459)
STATIC_UP = (0.4041403970338857, 0.22629790978217404, 0.8862616969685161)


@dataclass(frozen=True, slots=True)
class Picture:
    """What a camera saw.

    Attributes:
        rgb: Colours, 0..255.
        depth: Distance along the camera's axis in metres, from the lens's near to its far limit.
    """

    rgb: UInt8[np.ndarray, "H W 3"]
    depth: Float32[np.ndarray, "H W"]


class Camera:
    """A square camera in a Bullet client."""

    def __init__(
        self,
        client: Any,
        name: str,
        size: int,
        view_matrix: Callable[[], tuple[float, ...]],
        as_calvin_env: bool = False,
    ) -> None:
        """Sets a camera up.

        Args:
            client: A `BulletClient`.
            name: `static` or `gripper`.
            size: Width and height in pixels.
            view_matrix: Gives the view matrix (16 numbers, columns first) at the time of a picture.
            as_calvin_env: Whether light and shadow are left as Bullet has them, which is how calvin_env takes pictures.

        Raises:
            ValueError: `size` is below 1.
        """
        if size < 1:
            raise ValueError(f"expected a camera size of at least 1 pixel, got {size} for camera '{name}'.")
        self._client = client
        self._size = size
        self._lens = LENSES[name]
        self._view_matrix = view_matrix
        # The argument left out gives another light than shadow=1 does.
        self._how = {} if as_calvin_env else {"shadow": 0}
        self._projection = client.computeProjectionMatrixFOV(
            self._lens.fov_degrees, 1.0, self._lens.near_m, self._lens.far_m
        )

    def take(self) -> Picture:
        """Renders the world as it is now."""
        _, _, rgba, z_buffer, _ = self._client.getCameraImage(
            self._size,
            self._size,
            self._view_matrix(),
            self._projection,
            **self._how,
            renderer=self._client.ER_TINY_RENDERER,
            flags=self._client.ER_NO_SEGMENTATION_MASK,
        )
        rgb = np.asarray(rgba, dtype=np.uint8).reshape(self._size, self._size, 4)[:, :, :3]
        z = np.asarray(z_buffer, dtype=np.float32).reshape(self._size, self._size)
        near, far = self._lens.near_m, self._lens.far_m
        return Picture(np.ascontiguousarray(rgb), (far * near / (far - (far - near) * z)).astype(np.float32))


def make_camera(
    client: Any, name: str, size: int | None, gripper_pose: Callable[[], Any], as_calvin_env: bool = False
) -> Camera:
    """The static or the gripper camera.

    Args:
        client: A `BulletClient`.
        name: `static` or `gripper`.
        size: Width and height in pixels, None for CALVIN's own.
        gripper_pose: Gives position and quaternion of the link that carries the gripper camera.
        as_calvin_env: Whether light and shadow are left as Bullet has them, which is how calvin_env takes pictures.
    """

    def static_view() -> tuple[float, ...]:
        view: tuple[float, ...] = client.computeViewMatrix(STATIC_EYE, STATIC_LOOKS_AT, STATIC_UP)
        return view

    def gripper_view() -> tuple[float, ...]:
        position, quaternion = gripper_pose()
        axes = np.array(client.getMatrixFromQuaternion(quaternion)).reshape(3, 3)
        view: tuple[float, ...] = client.computeViewMatrix(position, position + axes[:, 1], -axes[:, 2])
        return view

    views = {"static": static_view, "gripper": gripper_view}
    return Camera(client, name, CAMERA_SIZES[name] if size is None else size, views[name], as_calvin_env)
