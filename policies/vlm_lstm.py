"""The architecture whole: [text] + [two cameras] + [LRN] -> VLM -> fused [LRN] feature -> LSTM -> action chunk.

The VLM sees one frame a step; what came before lives in the LSTM's state.
"""

from collections.abc import Sequence

import torch
from torch import nn

from calvinbench.policies.backbones.backbone import Backbone, Pictures
from calvinbench.policies.backbones.random_weights import weights_from
from calvinbench.policies.backbones.registry import backbone_class
from calvinbench.policies.lrn import LearnableToken
from calvinbench.policies.lstm_head import TINY_HEAD, HeadOutput, LSTMHead, LSTMHeadConfig, LSTMState, StepOutput


class VLMLSTM(nn.Module):
    """Backbone, [LRN] and head, composed."""

    def __init__(self, backbone: Backbone, head_config: LSTMHeadConfig) -> None:
        """Composes the three; the head's weights come from torch's global stream.

        Args:
            backbone: The VLM.
            head_config: Sizes of the head.
        """
        super().__init__()
        self.backbone = backbone
        self.lrn = LearnableToken(backbone.width)
        self.head = LSTMHead(backbone.width, head_config)

    @classmethod
    def tiny(cls, backbone_name: str, generator: torch.Generator, head_config: LSTMHeadConfig = TINY_HEAD) -> "VLMLSTM":
        """A small model with random weights, built offline.

        Args:
            backbone_name: One of `BACKBONES`.
            generator: Where the weights come from.
            head_config: Sizes of the head.

        Raises:
            UnknownNameError: There is no such backbone.
        """
        backbone = backbone_class(backbone_name).tiny(generator)
        with weights_from(generator):
            return cls(backbone, head_config)

    @property
    def num_parameters(self) -> int:
        """Parameters of backbone, [LRN] and head together."""
        return sum(parameter.numel() for parameter in self.parameters())

    def forward(self, pictures: Pictures, instructions: Sequence[str], state: LSTMState | None = None) -> HeadOutput:
        """Runs over a window of time.

        Args:
            pictures: With leading axes (B, T).
            instructions: One sentence for each of the B rows.
            state: What was seen before the window; None for nothing.

        Raises:
            ValueError: A shape does not fit, or a sentence is empty.
        """
        if len(pictures.batch_shape) != 2:
            raise ValueError(
                f"expected pictures with leading axes (worlds, time), got {pictures.batch_shape}. "
                "For a single step call step()."
            )
        batch_size, num_frames = pictures.batch_shape
        if len(instructions) != batch_size:
            raise ValueError(f"expected one instruction for each of {batch_size} rows, got {len(instructions)}.")
        sentences = [sentence for sentence in instructions for _ in range(num_frames)]
        features = self.backbone(pictures.flattened(), sentences, self.lrn())  # (B T, width)
        output: HeadOutput = self.head(features.unflatten(0, (batch_size, num_frames)), state)
        return output

    def step(self, pictures: Pictures, instructions: Sequence[str], state: LSTMState | None = None) -> StepOutput:
        """Runs one step of time.

        Args:
            pictures: With one leading axis (B).
            instructions: One sentence a row.
            state: What the last step returned; None for nothing.
        """
        return self.head.step(self.backbone(pictures, instructions, self.lrn()), state)
