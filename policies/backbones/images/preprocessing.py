"""The cameras' pictures at the policy's door: uint8, channels last, or refused in words."""

from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

CAMERAS = ("static", "gripper")


@dataclass(frozen=True, slots=True)
class Pictures:
    """Pictures of the cameras, uint8 RGB 0..255, with the same leading axes (worlds, or worlds and time).

    Attributes:
        static: `(*batch, H, W, 3)`, the camera beside the table.
        gripper: `(*batch, h, w, 3)`, the camera on the hand; None for a policy that sees the static camera alone.

    Raises:
        TypeError: The pictures are not uint8.
        ValueError: A shape does not fit.
    """

    # Plain annotations: whatever comes here is checked below, with an error in words.
    static: Tensor
    gripper: Tensor | None = None

    def __post_init__(self) -> None:
        require_pictures("static", self.static)
        if self.gripper is None:
            return
        require_pictures("gripper", self.gripper)
        if self.static.shape[:-3] != self.gripper.shape[:-3]:
            raise ValueError(
                "expected both cameras' pictures for the same worlds and times, got leading axes "
                f"{tuple(self.static.shape[:-3])} (static) and {tuple(self.gripper.shape[:-3])} (gripper)."
            )

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """The leading axes."""
        return tuple(self.static.shape[:-3])

    def of(self, camera: str) -> Tensor:
        """One camera's pictures.

        Raises:
            ValueError: That camera shows nothing.
        """
        pictures = self.static if camera == "static" else self.gripper
        if pictures is None:
            raise ValueError(
                f"expected pictures of the cameras {', '.join(CAMERAS)}, got none of '{camera}'. Render it, or make "
                "the policy with cameras=static."
            )
        return pictures

    def take(self, rows: Int[Tensor, " N"]) -> "Pictures":
        """Those at the given places of the first axis."""
        return Pictures(self.static[rows], None if self.gripper is None else self.gripper[rows])

    def to(self, device: torch.device) -> "Pictures":
        """The same, there."""
        return Pictures(self.static.to(device), None if self.gripper is None else self.gripper.to(device))

    def flattened(self) -> "Pictures":
        """All leading axes made one."""
        return Pictures(self.static.flatten(0, -4), None if self.gripper is None else self.gripper.flatten(0, -4))


def require_pictures(camera: str, pictures: Tensor) -> None:
    """Refuses pictures that are not uint8 RGB `(..., H, W, 3)` with at least one leading axis."""
    if pictures.dtype != torch.uint8:
        raise TypeError(
            f"expected uint8 pictures (0..255) of camera '{camera}', got {pictures.dtype}. Do not scale or normalise "
            "pictures before the policy: the backbone does it with its own mean and standard deviation."
        )
    if pictures.ndim < 4 or pictures.shape[-1] != 3 or 0 in pictures.shape:
        raise ValueError(
            f"expected pictures (batch, height, width, 3) of camera '{camera}', got shape {tuple(pictures.shape)}. "
            "Channels come last, and a single picture needs a batch axis."
        )
