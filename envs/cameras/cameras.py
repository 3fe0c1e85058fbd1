"""The static and the gripper camera: their poses and their images.

Poses and lenses are those of calvin_env (`conf/cameras/cameras/*.yaml` at 797142c).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, UInt8

from calvinbench.envs.cameras.renderers import ImageRenderer
from calvinbench.envs.observation import CAMERA_SIZES
from calvinbench.envs.rendering.rendered import View


def require_camera_sizes(sizes: Any) -> dict[str, int]:
    """Returns sizes by camera if they are valid, or raises an error.

    Args:
        sizes: Width and height in pixels by camera: one integer each, because images are square. None means no sizes.

    Raises:
        TypeError: `sizes` is not a mapping, or a size is not an integer.
        ValueError: A size is below 1.
    """
    if sizes is None:
        return {}
    if not isinstance(sizes, Mapping):
        raise TypeError(
            f"expected camera_sizes as a mapping of names to pixels, such as {{'static': 224}}, got {sizes!r}."
        )
    for camera, size in sizes.items():
        if size is None:
            continue
        if isinstance(size, bool) or not isinstance(size, int | np.integer):
            hint = " Images are square: give one number." if isinstance(size, tuple | list) else ""
            raise TypeError(
                f"expected the size of camera {camera!r} as an integer of pixels, such as 224, got {size!r}.{hint}"
            )
        if size < 1:
            raise ValueError(f"expected a camera size of at least 1 pixel, got {size} for camera {camera!r}.")
    return {camera: int(size) for camera, size in sizes.items() if size is not None}


@dataclass(frozen=True, slots=True)
class Lens:
    """The part of space that a camera sees: field of view in degrees, near and far limit in metres."""

    fov_degrees: float
    near_m: float
    far_m: float


LENSES: Mapping[str, Lens] = MappingProxyType({"static": Lens(10.0, 0.01, 10.0), "gripper": Lens(75.0, 0.01, 2.0)})
STATIC_EYE = (2.871459009488717, -2.166602199425597, 2.555159848480571)
STATIC_LOOKS_AT = (-0.026242351159453392, -0.0302329882979393, 0.3920000493526459)
STATIC_UP = (0.4041403970338857, 0.22629790978217404, 0.8862616969685161)


@dataclass(frozen=True, slots=True)
class CameraImage:
    """What a camera saw.

    Attributes:
        rgb: Colours, 0..255.
        depth: Distance along the camera's axis in metres, from the lens's near to its far limit; None if it was not
            requested.
    """

    rgb: UInt8[np.ndarray, "H W 3"]
    depth: Float32[np.ndarray, "H W"] | None


@dataclass(frozen=True, slots=True)
class CameraPose:
    """Where a camera is and what it sees, in the pinhole convention of OpenCV: x right, y down, z forward.

    A point of the world at (x, y, z) metres is `world_to_camera @ (x, y, z, 1)` for the camera. Its pixel, with (0, 0)
    at the corner of the image's upper left pixel, is the first two numbers of `intrinsics @` that, over the third.

    Attributes:
        world_to_camera: The extrinsic matrix, metres.
        intrinsics: Focal lengths and centre, pixels.
        size: Width and height, pixels.
    """

    world_to_camera: Float64[np.ndarray, "4 4"]
    intrinsics: Float64[np.ndarray, "3 3"]
    size: int


class Camera:
    """A square camera in a simulation."""

    def __init__(
        self,
        client: Any,
        renderer: ImageRenderer,
        name: str,
        size: int | None,
        gripper_pose: Callable[[], Any],
    ) -> None:
        """Sets a camera up.

        Args:
            client: A `BulletClient`.
            renderer: Draws the images.
            name: `static` or `gripper`.
            size: Width and height in pixels, None for CALVIN's own.
            gripper_pose: Gives position and quaternion of the link that carries the gripper camera.

        Raises:
            ValueError: `size` is below 1.
        """
        self._size = CAMERA_SIZES[name] if size is None else size
        if self._size < 1:
            raise ValueError(f"expected a camera size of at least 1 pixel, got {size} for camera '{name}'.")
        self._renderer = renderer
        self._lens = LENSES[name]
        self._is_fixed = name == "static"
        self._gripper_pose = gripper_pose
        self._matrix_from_quaternion = client.getMatrixFromQuaternion
        self._view_matrix = client.computeViewMatrix
        self._static_view: tuple[float, ...] = client.computeViewMatrix(STATIC_EYE, STATIC_LOOKS_AT, STATIC_UP)
        self._projection: tuple[float, ...] = client.computeProjectionMatrixFOV(
            self._lens.fov_degrees, 1.0, self._lens.near_m, self._lens.far_m
        )

    def take(self, with_depth: bool = True) -> CameraImage:
        """Renders the world as it is now."""
        view = View(self._static_view if self._is_fixed else self._gripper_view(), self._projection, self._size)
        rendered = self._renderer.render(view, self._is_fixed, with_depth)
        if rendered.z_buffer is None:
            return CameraImage(rendered.rgb, None)
        near, far = self._lens.near_m, self._lens.far_m
        depth = (far * near / (far - (far - near) * rendered.z_buffer)).astype(np.float32)
        return CameraImage(rendered.rgb, depth)

    def pose(self) -> CameraPose:
        """The camera's pose in the world as it is now, and its lens."""
        view = np.array(self._static_view if self._is_fixed else self._gripper_view()).reshape(4, 4).T
        opengl_to_opencv = np.diag([1.0, -1.0, -1.0, 1.0])
        focal = self._size / 2 / np.tan(np.radians(self._lens.fov_degrees) / 2)
        centre = self._size / 2
        intrinsics = np.array([[focal, 0.0, centre], [0.0, focal, centre], [0.0, 0.0, 1.0]])
        return CameraPose(opengl_to_opencv @ view, intrinsics, self._size)

    def _gripper_view(self) -> tuple[float, ...]:
        position, quaternion = self._gripper_pose()
        axes = np.array(self._matrix_from_quaternion(quaternion)).reshape(3, 3)
        view: tuple[float, ...] = self._view_matrix(position, position + axes[:, 1], -axes[:, 2])
        return view
