"""Settings of a policy head, and the presets. Imports no torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from calvinbench.envs.names import require_name

HEADS: Mapping[str, str] = MappingProxyType(
    {
        "lstm": "calvinbench.policies.heads.lstm:LSTMHead",
        "feedforward": "calvinbench.policies.heads.feedforward:FeedforwardHead",
        "transformer": "calvinbench.policies.heads.transformer:TransformerHead",
    }
)
"""The class of each type of head. A new type is one file and one line here."""
DECODERS = ("linear", "mlp")
POSE_ACTIVATIONS = ("tanh", "none")


@dataclass(frozen=True, slots=True)
class HeadConfig:
    """Settings of a head. The defaults are the seed's.

    Attributes:
        type: One of `HEADS`.
        hidden_dim: Width of the layers or of the LSTM.
        num_layers: Number of layers before the decoder.
        dropout: Dropout between layers, in train mode.
        chunk_length: Number of actions predicted at each step (`fwd_pred_next_n`).
        decoder: From the hidden numbers to a chunk: `"linear"` (one layer) or `"mlp"` (RoboVLMs' two branches, one for
            the pose and one for the gripper).
        pose_activation: What bounds the pose: `"tanh"`, or `"none"` for raw numbers that are clipped when executed.
        mlp_widths: Hidden widths of each branch of the decoder `"mlp"`.
        num_heads: Number of attention heads of the type `"transformer"`.
        max_window: Maximal number of frames that the type `"transformer"` attends to, the current one included.

    Raises:
        UnknownNameError: There is no such type, decoder or activation.
        ValueError: A number is outside its limits.
    """

    type: str = "lstm"
    hidden_dim: int = 1024
    num_layers: int = 2
    dropout: float = 0.1
    chunk_length: int = 10
    decoder: str = "linear"
    pose_activation: str = "tanh"
    mlp_widths: tuple[int, ...] = (1024, 512, 256)
    num_heads: int = 8
    max_window: int = 16

    def __post_init__(self) -> None:
        require_name(self.type, HEADS, "type of head")
        require_name(self.decoder, DECODERS, "decoder of a head")
        require_name(self.pose_activation, POSE_ACTIVATIONS, "pose activation")
        for name in ("hidden_dim", "num_layers", "chunk_length", "num_heads", "max_window"):
            if getattr(self, name) < 1:
                raise ValueError(f"expected {name} of at least 1, got {getattr(self, name)}.")
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"expected dropout of at least 0 and below 1, got {self.dropout}.")
        if not self.mlp_widths or min(self.mlp_widths) < 1:
            raise ValueError(f"expected mlp_widths of one or more widths of at least 1, got {self.mlp_widths}.")
        if self.type == "transformer" and self.hidden_dim % self.num_heads:
            raise ValueError(
                f"expected hidden_dim to be a multiple of num_heads, got {self.hidden_dim} and {self.num_heads}. "
                "Each attention head takes an equal share of the width."
            )


HEAD_PRESETS: Mapping[str, HeadConfig] = MappingProxyType(
    {
        "seed": HeadConfig(),
        "robovlms": HeadConfig(num_layers=4, dropout=0.0, decoder="mlp"),
        "feedforward": HeadConfig(type="feedforward"),
        "transformer": HeadConfig(type="transformer"),
    }
)
"""Heads by name: the seed's LSTM, RoboVLMs' LSTM, and the seed's head without memory or with attention instead."""


def head_preset(name: str) -> HeadConfig:
    """The settings of a preset. `dataclasses.replace` changes some of them.

    Raises:
        UnknownNameError: There is no such head.
    """
    return HEAD_PRESETS[require_name(name, HEAD_PRESETS, "head")]
