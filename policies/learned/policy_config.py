"""Everything of a learned policy except its weights: frozen settings, as a checkpoint's `policy.json` has them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from calvinbench.envs.names import require_name
from calvinbench.policies.backbones.settings import BackboneSettings, layout_by_name
from calvinbench.policies.chunk_rule import ChunkRule
from calvinbench.policies.heads.config import HeadConfig
from calvinbench.policies.learned.pose_range import PoseRange
from calvinbench.policies.learned.trainable_parts import TrainableParts
from calvinbench.policies.policy import Memory


@dataclass(frozen=True, slots=True)
class PolicyConfig:
    """A learned policy's settings.

    Attributes:
        backbone: A backbone's name, `hf:ORG/NAME` and `package.module:Class` included.
        backbone_settings: How the backbone is used.
        head: Settings of the head.
        memory: Span and reset that it was trained with.
        chunk_rule: How chunks become actions, as `ChunkRule` writes it.
        pose_range: What the pose outputs stand for.
        proprioception: Whether the head uses the robot's state.
        trainable: Which parts were trained. Reading a checkpoint makes its adapters again from this.
        origin: Where the weights come from, for the label, such as `"untrained"` or `"trained here"`.
    """

    backbone: str
    backbone_settings: BackboneSettings = field(default_factory=BackboneSettings)
    head: HeadConfig = field(default_factory=HeadConfig)
    memory: Memory = field(default_factory=lambda: Memory(span="unbounded"))
    chunk_rule: str = "first"
    pose_range: PoseRange = field(default_factory=PoseRange)
    proprioception: bool = False
    trainable: TrainableParts = field(default_factory=TrainableParts)
    origin: str = "untrained"

    def __post_init__(self) -> None:
        ChunkRule.parse(self.chunk_rule)

    def to_json(self) -> dict[str, Any]:
        """A mapping that `json` can write."""
        values = asdict(self)
        if not self.backbone_settings.scale_lrn:
            del values["backbone_settings"]["scale_lrn"]  # older files do not have it, and stay the same
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "PolicyConfig":
        """Reads what `to_json` made.

        Raises:
            UnknownNameError: A key is not known.
            ValueError: A value is outside its limits.
        """
        parts: dict[str, Any] = {
            "backbone_settings": BackboneSettings,
            "head": HeadConfig,
            "memory": Memory,
            "pose_range": PoseRange,
            "trainable": TrainableParts,
        }
        _require_keys(cls, values, "policy")
        read = dict(values)
        for name, kind in parts.items():
            if name in read:
                _require_keys(kind, read[name], name)
                read[name] = kind(**_as_settings(read[name]))
        return cls(**read)


def _require_keys(kind: type, values: Mapping[str, Any], name: str) -> None:
    for key in values:
        require_name(key, [entry.name for entry in fields(kind)], f"setting of '{name}'")


def _as_settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """Lists of JSON become tuples, and the name of a layout becomes a `Layout`."""
    read: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    if "layout" in read:
        read["layout"] = layout_by_name(read["layout"])
    return read
