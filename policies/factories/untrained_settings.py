"""The settings of `untrained:BACKBONE`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le

from calvinbench.policies.learned.use_settings import UseSettings

DEFAULT_SEED = 0
MAX_SEED = 2**63 - 1
"""The largest signed number of 64 bits."""
Count = Annotated[int, Ge(1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class UntrainedSettings(UseSettings):
    """Settings of a policy with random weights of [LRN] and head.

    Attributes:
        seed: Random seed of the weights. The policy's label names it if it is not the default.
        size: Size of a VLM with random weights: `tiny` (made in seconds, offline), `full` (as published), or a JSON
            file with the backbone's numbers as in a checkpoint's `policy.json`. The default is `tiny`.
        vlm: Pretrained weights of the VLM: a name on the Hugging Face hub, a folder, or `published` for the backbone's
            own published weights. By default the VLM's weights are random.
        config: A JSON file with a configuration of the policy, as RoboVLMs writes them. Settings of the spec take
            precedence over it.
        layout: Order of the tokens: `seed` ([text] [images] [LRN]), `native` (as the pretrained VLM saw them) or
            `robovlms`. By default `native` for pretrained weights, otherwise `seed`.
        cameras: Cameras that the policy sees: `static+gripper` (default) or `static`.
        image_size: Pixels a side of the images, for VLMs that take any size.
        readout: Where the feature comes from: `lrn`, the output at [LRN] (default), or `max-pooling`, the largest of
            each number over all tokens.
        scale_lrn: Whether [LRN] is multiplied as the VLM multiplies its text embeddings, which RoboVLMs does with
            PaliGemma.
        head: The policy head: `seed` (LSTM of 2 layers, default), `robovlms` (LSTM of 4 layers), `feedforward` (no
            memory) or `transformer` (attends to the last frames).
        hidden_dim: Width of the head.
        num_layers: Number of layers of the head.
        chunk_length: Number of actions predicted at once.
        pose_activation: What bounds the predicted pose: `tanh`, or `none` for raw numbers that are clipped when they
            are executed.
        pose_limit: The action that the pose outputs -1 and 1 stand for, such as RoboVLMs' 0.65. The default is 1.
        proprioception: Whether the head uses proprioception, the robot's own state.
    """

    seed: Annotated[int, Ge(0), Le(MAX_SEED)] = DEFAULT_SEED
    size: str | None = None
    vlm: str | None = None
    config: Path | None = None
    layout: Literal["seed", "native", "robovlms"] | None = None
    cameras: tuple[str, ...] | None = None
    image_size: Count | None = None
    readout: Literal["lrn", "max-pooling"] | None = None
    scale_lrn: bool = False
    head: Literal["seed", "robovlms", "feedforward", "transformer"] | None = None
    hidden_dim: Count | None = None
    num_layers: Count | None = None
    chunk_length: Count | None = None
    pose_activation: Literal["tanh", "none"] | None = None
    pose_limit: Annotated[float, Gt(0)] | None = None
    proprioception: bool = False
