"""The whole architecture: [text] + [two cameras] + [LRN] -> VLM -> fused [LRN] feature -> head over time -> chunk.

The VLM sees one frame a step. Earlier frames are remembered in the head's state, or in a window of features (`memory`).
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from typing_extensions import override

from calvinbench.policies.backbones.backbone import Backbone
from calvinbench.policies.backbones.images.preprocessing import CameraImages
from calvinbench.policies.backbones.settings import LRN_READOUT
from calvinbench.policies.heads.config import HeadConfig
from calvinbench.policies.heads.head import Head, HeadOutput, HeadState
from calvinbench.policies.heads.registry import make_head
from calvinbench.policies.learned.lrn import LearnableToken
from calvinbench.policies.learned.proprioception import RobotEncoder

_ANY_SENTENCE = "open the drawer"
"""Composed when a model is made, so that a missing layout raises an error then and not at the first step."""


class VLMLSTM(nn.Module):
    """Backbone, [LRN] and head, composed."""

    def __init__(self, backbone: Backbone, head_config: HeadConfig, *, proprioception: bool = False) -> None:
        """Composes the three. The head's weights come from torch's global random stream.

        Args:
            backbone: The VLM.
            head_config: Settings of the head.
            proprioception: Whether the head also uses the robot's state (`proprioception.RobotEncoder`).

        Raises:
            ValueError: The backbone does not have its settings' layout, or its tokenizer lacks tokens that it needs.
        """
        super().__init__()
        backbone.prompt(_ANY_SENTENCE)
        self.backbone = backbone
        self.lrn = LearnableToken(backbone.width)
        self.lrn.requires_grad_(backbone.settings.readout == LRN_READOUT)  # pooled features do not depend on [LRN]
        self.head: Head = make_head(backbone.width, head_config)
        self.robot_encoder = RobotEncoder(backbone.width) if proprioception else None

    @override
    def train(self, mode: bool = True) -> "VLMLSTM":
        """Train or eval mode. Frozen parts of the VLM stay in eval mode.

        Otherwise their dropout would add noise to features in training that evaluation does not have.
        """
        super().train(mode)
        parts = self.backbone.parts
        for part in (*parts.vision, *parts.connector, *parts.language):
            if not any(parameter.requires_grad for parameter in part.parameters()):
                part.eval()
        return self

    @property
    def num_parameters(self) -> int:
        """Number of parameters of backbone, [LRN] and head together."""
        return sum(parameter.numel() for parameter in self.parameters())

    def encode(
        self,
        images: CameraImages,
        instructions: Sequence[str],
        robot_obs: Float[Tensor, "B 15"] | None = None,
    ) -> Float[Tensor, "B width"]:
        """The fused [LRN] feature of one frame a row, in the head's precision.

        Args:
            images: With one leading axis (B).
            instructions: One sentence a row.
            robot_obs: State of the robot, for a model with proprioception; otherwise None.

        Raises:
            ValueError: A shape does not fit, a sentence is empty, or the robot's state is missing or not used.
        """
        if (robot_obs is None) != (self.robot_encoder is None):
            wanted = "without" if self.robot_encoder is None else "with"
            raise ValueError(f"expected a call {wanted} robot_obs: the model was made {wanted} proprioception.")
        features: Tensor = self.backbone(images, instructions, self.lrn())
        features = features.to(self.lrn.embedding.dtype)
        if self.robot_encoder is not None:
            features = features + self.robot_encoder(robot_obs)
        return features

    @override
    def forward(
        self,
        images: CameraImages,
        instructions: Sequence[str],
        state: HeadState | None = None,
        robot_obs: Float[Tensor, "B T 15"] | None = None,
        is_frame: Bool[Tensor, "B T"] | None = None,
    ) -> HeadOutput:
        """Runs over a window of time.

        Args:
            images: With leading axes (B, T).
            instructions: One sentence for each of the B rows.
            state: What was seen before the window; None for nothing.
            robot_obs: State of the robot, for a model with proprioception.
            is_frame: Which places hold a frame. Other places do not pass the VLM, and their features are zeros. None
                if all places hold one.

        Raises:
            ValueError: A shape does not fit, or a sentence is empty.
        """
        if len(images.batch_shape) != 2:
            raise ValueError(
                f"expected images with leading axes (worlds, time), got {images.batch_shape}. "
                "For a single frame call encode()."
            )
        batch_size, num_frames = images.batch_shape
        if len(instructions) != batch_size:
            raise ValueError(f"expected one instruction for each of {batch_size} rows, got {len(instructions)}.")
        sentences = [sentence for sentence in instructions for _ in range(num_frames)]
        states = None if robot_obs is None else robot_obs.flatten(0, 1)
        if is_frame is None or bool(is_frame.all()):
            features = self.encode(images.flattened(), sentences, states)  # (B T, width)
        else:
            rows = is_frame.flatten().nonzero().flatten()
            seen = self.encode(
                images.flattened().take(rows), [sentences[row] for row in rows.tolist()], _take(states, rows)
            )
            features = seen.new_zeros(batch_size * num_frames, seen.shape[1]).index_put((rows,), seen)
        output: HeadOutput = self.head(features.unflatten(0, (batch_size, num_frames)), state)
        return output

    def place(self, device: torch.device | str, dtype: torch.dtype) -> "VLMLSTM":
        """Moves the model. The VLM gets the precision. [LRN] and head keep 32 bits, as they carry state over time."""
        self.to(device)
        self.backbone.cast(dtype)
        return self


def _take(values: Tensor | None, rows: Int[Tensor, " N"]) -> Tensor | None:
    return None if values is None else values[rows]
