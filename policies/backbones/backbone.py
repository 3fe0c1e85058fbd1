"""What every VLM backbone does: pictures of two cameras, an instruction and [LRN] in, the fused [LRN] feature out.

The steps can be taken one by one, so that what does not change is kept: `tokenize` once a sentence, `image_features`
once a frame, `fuse` once a step.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional

TokenIds = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Pictures:
    """Pictures of the two cameras, uint8 RGB 0..255, with the same leading axes (worlds, or worlds and time).

    Attributes:
        static: `(*batch, H, W, 3)`, the camera beside the table.
        gripper: `(*batch, h, w, 3)`, the camera on the hand.

    Raises:
        TypeError: The pictures are not uint8.
        ValueError: A shape does not fit.
    """

    # Plain annotations: whatever comes here is checked below, with an error in words.
    static: Tensor
    gripper: Tensor

    def __post_init__(self) -> None:
        for camera, pictures in (("static", self.static), ("gripper", self.gripper)):
            require_pictures(camera, pictures)
        if self.static.shape[:-3] != self.gripper.shape[:-3]:
            raise ValueError(
                "expected both cameras' pictures for the same worlds and times, got leading axes "
                f"{tuple(self.static.shape[:-3])} (static) and {tuple(self.gripper.shape[:-3])} (gripper)."
            )

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """The leading axes."""
        return tuple(self.static.shape[:-3])

    def flattened(self) -> "Pictures":
        """All leading axes made one."""
        return Pictures(self.static.flatten(0, -4), self.gripper.flatten(0, -4))


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


class Backbone(nn.Module, ABC):
    """A VLM without its language-modelling head. Subclasses say what is particular to a family."""

    name: ClassVar[str]
    """What tables and specs call it."""
    image_mean: tuple[float, float, float]
    """Mean of each channel (of 0..1) that the vision tower was trained with."""
    image_std: tuple[float, float, float]
    image_size: int
    """Pixels a side that the vision tower takes."""
    width: int
    """Numbers in a token's embedding, and in the fused feature."""

    def __init__(self) -> None:
        super().__init__()
        self._token_ids: dict[str, TokenIds] = {}

    @classmethod
    @abstractmethod
    def tiny(cls, generator: torch.Generator) -> "Backbone":
        """The family's architecture in small numbers, with random weights and a tokenizer of its own, offline.

        Args:
            generator: Where the weights come from.
        """

    @abstractmethod
    def encode(self, instruction: str) -> TokenIds:
        """Token ids of a sentence, with the special tokens that go around it."""

    @abstractmethod
    def image_features(self, pixels: Float[Tensor, "B 3 size size"]) -> Float[Tensor, "B num_latents width"]:
        """Vision tokens of normalised pictures, as the language model takes them."""

    @abstractmethod
    def fuse(
        self,
        token_ids: Sequence[TokenIds],
        vision_tokens: Float[Tensor, "B num_vision width"],
        lrn: Float[Tensor, " width"],
    ) -> Float[Tensor, "B width"]:
        """The feature at [LRN], which has seen text and pictures.

        Args:
            token_ids: One tokenised instruction a row; rows may differ in length.
            vision_tokens: Static camera's tokens, then the gripper camera's.
            lrn: The learnable token.
        """

    def tokenize(self, instruction: str) -> TokenIds:
        """Token ids of a sentence, remembered: a sentence is encoded once.

        Raises:
            ValueError: The sentence is empty.
        """
        if not instruction.strip():
            raise ValueError("expected an instruction such as 'open the drawer', got an empty one.")
        if instruction not in self._token_ids:
            self._token_ids[instruction] = self.encode(instruction)
        return self._token_ids[instruction]

    def preprocess(self, pictures: UInt8[Tensor, "B H W 3"]) -> Float[Tensor, "B 3 size size"]:
        """Resizes (bicubic, antialiased, rounded to whole levels as PIL does) and normalises.

        Pictures that are not square are squeezed into the vision tower's square.
        """
        parameter = next(self.parameters())  # where it is and how exact: the pictures follow
        channels_first = pictures.to(parameter.device).movedim(-1, -3).float()  # (B, 3, H, W)
        if channels_first.shape[-2:] != (self.image_size, self.image_size):
            size = (self.image_size, self.image_size)
            channels_first = functional.interpolate(channels_first, size, mode="bicubic", antialias=True)
            channels_first = channels_first.round().clamp(0, 255)
        mean, std = (channels_first.new_tensor(values)[:, None, None] for values in (self.image_mean, self.image_std))
        return ((channels_first / 255 - mean) / std).to(parameter.dtype)

    def vision_tokens(self, pictures: Pictures) -> Float[Tensor, "B num_vision width"]:
        """Vision tokens of both cameras, static first, through the vision tower in one go."""
        batch_size = pictures.static.shape[0]
        pixels = torch.cat([self.preprocess(pictures.static), self.preprocess(pictures.gripper)])  # (2B, 3, s, s)
        latents = self.image_features(pixels)  # (2B, num_latents, width)
        return torch.cat([latents[:batch_size], latents[batch_size:]], dim=1)  # (B, 2 num_latents, width)

    def forward(
        self, pictures: Pictures, instructions: Sequence[str], lrn: Float[Tensor, " width"]
    ) -> Float[Tensor, "B width"]:
        """The fused [LRN] feature of each frame; each goes through the VLM alone.

        Args:
            pictures: One frame a row.
            instructions: One sentence a row.
            lrn: The learnable token.

        Raises:
            ValueError: There is not one sentence a row, or one is empty.
        """
        batch_size = pictures.static.shape[0]
        if len(instructions) != batch_size:
            raise ValueError(f"expected one instruction for each of {batch_size} frames, got {len(instructions)}.")
        token_ids = [self.tokenize(instruction) for instruction in instructions]
        return self.fuse(token_ids, self.vision_tokens(pictures), lrn)
