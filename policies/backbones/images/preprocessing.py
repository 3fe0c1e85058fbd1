"""The cameras' images as a policy gets them: uint8, channels last. Other images raise an error that explains why."""

from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

CAMERAS = ("static", "gripper")


@dataclass(frozen=True, slots=True)
class CameraImages:
    """Images of the cameras, uint8 RGB 0..255, with the same leading axes (worlds, or worlds and time).

    Attributes:
        static: `(*batch, H, W, 3)`, the camera beside the table.
        gripper: `(*batch, h, w, 3)`, the camera on the gripper; None for a policy that sees the static camera alone.

    Raises:
        TypeError: The images are not uint8.
        ValueError: A shape does not fit.
    """

    # Plain annotations: the check below raises an error that says more than a type checker would.
    static: Tensor
    gripper: Tensor | None = None

    def __post_init__(self) -> None:
        require_images("static", self.static)
        if self.gripper is None:
            return
        require_images("gripper", self.gripper)
        if self.static.shape[:-3] != self.gripper.shape[:-3]:
            raise ValueError(
                "expected both cameras' images for the same worlds and times, got leading axes "
                f"{tuple(self.static.shape[:-3])} (static) and {tuple(self.gripper.shape[:-3])} (gripper)."
            )

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """The leading axes."""
        return tuple(self.static.shape[:-3])

    def of(self, camera: str) -> Tensor:
        """One camera's images.

        Raises:
            ValueError: There are no images of that camera.
        """
        images = self.static if camera == "static" else self.gripper
        if images is None:
            raise ValueError(
                f"expected images of the cameras {', '.join(CAMERAS)}, got none of '{camera}'. Render it, or make "
                "the policy with cameras=static."
            )
        return images

    def take(self, rows: Int[Tensor, " N"]) -> "CameraImages":
        """The images at the given indices of the first axis."""
        return CameraImages(self.static[rows], None if self.gripper is None else self.gripper[rows])

    def to(self, device: torch.device) -> "CameraImages":
        """The same images on another device."""
        return CameraImages(self.static.to(device), None if self.gripper is None else self.gripper.to(device))

    def flattened(self) -> "CameraImages":
        """The same images with all leading axes merged into one."""
        return CameraImages(self.static.flatten(0, -4), None if self.gripper is None else self.gripper.flatten(0, -4))


def require_images(camera: str, images: Tensor) -> None:
    """Raises an error for images that are not uint8 RGB `(..., H, W, 3)` with at least one leading axis."""
    if images.dtype != torch.uint8:
        raise TypeError(
            f"expected uint8 images (0..255) of camera '{camera}', got {images.dtype}. Do not scale or normalise "
            "images before the policy: the backbone does it with its own mean and standard deviation."
        )
    if images.ndim < 4 or images.shape[-1] != 3 or 0 in images.shape:
        raise ValueError(
            f"expected images (batch, height, width, 3) of camera '{camera}', got shape {tuple(images.shape)}. "
            "Channels come last, and a single image needs a batch axis."
        )


Pictures = CameraImages
"""The old name of `CameraImages`, for backbones that use it."""
