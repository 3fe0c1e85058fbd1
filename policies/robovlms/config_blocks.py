"""Reads configurations of the seed and of RoboVLMs into frozen settings. Every key has an effect or raises an error.

    {"act_head": {...}}, {"window_size": 8, "fwd_pred_next_n": 10}, {"train_setup": {...}}, {"mixed_precision": true},
    {"batch_size": 8, ...}

A block may come alone or with others. Defaults are the seed's: an LSTM of 2 layers over windows of 8 frames, chunks of
10, both cameras, all parts trained. Defaults are RoboVLMs' in a whole file of RoboVLMs (one with `robovlm_name`), or if
`act_head` has RoboVLMs' keys (`down_sample`, `latent`) and no `num_layers`: its head, its order of tokens, and vision
and text embedding trained only if the file says so.

Some keys have no effect in RoboVLMs' own code. Here they do what their name says (gradient clipping and checkpointing,
LoRA), or raise an error (mean and deviation of images that are not the backbone's, optimisers other than AdamW).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from calvinbench.envs.names import require_name
from calvinbench.policies.backbones.images.preprocessing import CAMERAS
from calvinbench.policies.backbones.prompts.prompt import Layout
from calvinbench.policies.backbones.registry import BACKBONES, backbone_class
from calvinbench.policies.backbones.settings import LRN_READOUT, MAX_POOLING, BackboneSettings
from calvinbench.policies.heads.config import HEADS, HeadConfig, head_preset
from calvinbench.policies.learned.policy_config import PolicyConfig
from calvinbench.policies.learned.pose_range import PoseRange
from calvinbench.policies.learned.trainable_parts import TrainableParts
from calvinbench.policies.policy import Memory
from calvinbench.policies.robovlms.config_file import read_blocks
from calvinbench.policies.robovlms.config_keys import ConfigBlockError, ConfigKeys, IdleKey
from calvinbench.policies.robovlms.config_optimization import read_optimization
from calvinbench.policies.robovlms.config_vocabulary import BACKBONES_THERE, SECTIONS, pass_over
from calvinbench.policies.training.optimization import OptimizationSettings

SEED_WINDOW, SEED_CHUNK = 8, 10
"""`window_size` and `fwd_pred_next_n` of the seed."""
_HEADS_THERE = {"LSTMDecoder": "lstm", "FCDecoder": "feedforward", **{name: name for name in HEADS}}
_REFUSED_HEADS = {
    "GPTDecoder": "RoboVLMs' is a GPT-2 over time, which is not supported. The head 'transformer' attends to past "
    "frames too, but is another network and cannot use its weights",
    "DiscreteDecoder": "its actions are tokens of the language model, and here they are numbers",
}


@dataclass(frozen=True, slots=True)
class ConfigBlocks:
    """The settings of a configuration.

    Attributes:
        backbone: The backbone's name here; None if the configuration does not name one.
        is_robovlms: Whether defaults are RoboVLMs' and not the seed's.
        backbone_settings: How the backbone is used.
        head: Settings of the head.
        memory: Span and reset.
        pose_range: What the pose outputs stand for.
        trainable: Which parts are trained.
        optimization: How they are trained.
        idle: Keys that have no effect.
    """

    backbone: str | None
    is_robovlms: bool
    backbone_settings: BackboneSettings
    head: HeadConfig
    memory: Memory
    pose_range: PoseRange
    trainable: TrainableParts
    optimization: OptimizationSettings
    idle: tuple[IdleKey, ...] = ()

    def policy_config(self, backbone: str | None = None, origin: str = "trained here") -> PolicyConfig:
        """The policy's settings.

        Args:
            backbone: The backbone's name, if the configuration names none.
            origin: Where the weights come from, for the label.

        Raises:
            ConfigBlockError: No backbone is named, or two are.
        """
        if backbone is not None and self.backbone not in (None, backbone):
            raise ConfigBlockError(f"expected one backbone, got '{backbone}', and '{self.backbone}' as 'model'.")
        name = backbone or self.backbone
        if name is None:
            raise ConfigBlockError(f'expected a backbone, such as "model": "kosmos2": {", ".join(BACKBONES)}.')
        return PolicyConfig(
            backbone=name,
            backbone_settings=self.backbone_settings,
            head=self.head,
            memory=self.memory,
            pose_range=self.pose_range,
            trainable=self.trainable,
            origin=origin,
        )


def read_config_file(path: str | Path, *, strict: bool = True) -> ConfigBlocks:
    """Reads a file of one or several blocks, with `//` comments.

    Args:
        path: The file.
        strict: See `config_from_blocks`.

    Raises:
        ConfigBlockError: The file is not JSON, or a key cannot be followed.
        OSError: The file cannot be read.
    """
    return config_from_blocks(read_blocks(Path(path)), strict=strict)


def config_from_blocks(mapping: Mapping[str, Any], *, strict: bool = True) -> ConfigBlocks:
    """Reads blocks that were merged into one mapping.

    Args:
        mapping: The blocks.
        strict: Whether a key without effect is an error, as in files that are written for this project. Otherwise
            such keys are listed, as for files of RoboVLMs.

    Raises:
        ConfigBlockError: A key asks for something that is not supported, contradicts another key, or has no effect.
        UnknownNameError: A key or a name is not known. The message says which was probably meant.
        ValueError: A number is outside its limits.
    """
    keys = ConfigKeys(mapping, SECTIONS, strict=strict)
    is_robovlms = _is_robovlms(keys)
    backbone = _read_backbone(keys)
    window_size = keys.count("window_size", SEED_WINDOW) or SEED_WINDOW
    head, readout = _read_head(keys, is_robovlms, window_size)
    settings = BackboneSettings(
        layout=Layout.ROBOVLMS if is_robovlms else Layout.SEED,
        cameras=CAMERAS if keys.flag("use_hand_rgb", default=True) else CAMERAS[:1],
        readout=readout,
        image_size=keys.count("image_size"),
    )
    _check_normalisation(keys, backbone)
    blocks = ConfigBlocks(
        backbone=backbone,
        is_robovlms=is_robovlms,
        backbone_settings=settings,
        head=head,
        memory=Memory(span="none" if head.type == "feedforward" else f"window:{window_size}"),
        pose_range=_read_pose_range(keys),
        trainable=_read_trainable(keys, is_robovlms),
        optimization=replace(read_optimization(keys, is_robovlms=is_robovlms), window_size=window_size),
    )
    pass_over(keys)
    keys.finish()
    return replace(blocks, idle=tuple(keys.idle))


def _is_robovlms(keys: ConfigKeys) -> bool:
    has_name = keys.text("robovlm_name") is not None
    has_its_words = "act_head.down_sample" in keys or "act_head.latent" in keys
    return has_name or (has_its_words and "act_head.num_layers" not in keys)


def _read_backbone(keys: ConfigKeys) -> str | None:
    name = keys.text("model")
    if name is None or ":" in name:  # hf:ORG/NAME, or an import string
        return name
    if name in BACKBONES_THERE:
        return BACKBONES_THERE[name]
    return require_name(name, BACKBONES, "model")


def _read_head(keys: ConfigKeys, is_robovlms: bool, window_size: int) -> tuple[HeadConfig, str]:
    """The head, and the readout of its feature from the VLM."""
    kind = _read_head_type(keys)
    readout = _read_readout(keys)
    chunk_length = keys.count("fwd_pred_next_n", SEED_CHUNK) or SEED_CHUNK
    if keys.strict:
        keys.require("act_head.fwd_pred_next_n", (chunk_length,), "the chunk's length is the top-level one")
    else:
        keys.take_idle("act_head.fwd_pred_next_n", "RoboVLMs itself takes the top-level one")
    preset = head_preset("robovlms" if is_robovlms else "seed")
    dropout = keys.agreed(
        {key: keys.number(key) for key in ("act_head.dropout", "act_head.policy_rnn_dropout_p")}, "dropout of the head"
    )
    head = replace(
        preset,
        type=kind,
        hidden_dim=keys.count("act_head.hidden_size", preset.hidden_dim) or preset.hidden_dim,
        num_layers=keys.count("act_head.num_layers", preset.num_layers) or preset.num_layers,
        dropout=preset.dropout if dropout is None else dropout,
        chunk_length=chunk_length,
    )
    return (replace(head, max_window=window_size) if kind == "transformer" else head), readout


def _read_head_type(keys: ConfigKeys) -> str:
    name = keys.text("act_head.type", "LSTMDecoder") or "LSTMDecoder"
    with_history = keys.flag("act_head.with_history")
    if name in _REFUSED_HEADS:
        raise keys.refused("act_head.type", name, _REFUSED_HEADS[name])
    kind = _HEADS_THERE[require_name(name, _HEADS_THERE, "type of 'act_head'")]
    if kind == "feedforward" and with_history:
        raise keys.refused(
            "act_head.with_history", with_history, f"'{name}' sees one frame alone; take 'LSTMDecoder' for a history"
        )
    keys.require(
        "act_head.history_type",
        ("post",),
        "what came before is remembered behind the VLM, by the head ('post'); the VLM sees one frame a step, and "
        "'pre' and 'video' would put past frames into its sequence",
    )
    return "feedforward" if with_history is False else kind


def _read_readout(keys: ConfigKeys) -> str:
    space = keys.text("act_head.action_space", "continuous") or "continuous"
    if space == "discrete":
        raise keys.refused(
            "act_head.action_space",
            space,
            "actions as tokens of the language model would need its head and a tokenizer of actions; 'continuous' "
            "reads [LRN], 'down_sample' the largest of all tokens",
        )
    require_name(space, ("continuous", "down_sample"), "act_head.action_space")
    if space == "down_sample":
        keys.require("act_head.down_sample", ("pooling",), "tokens are pooled to one feature by their largest")
        return MAX_POOLING
    keys.require(
        "act_head.down_sample", ("none", "pooling"), "of one [LRN] there is nothing to sample; a resampler is not made"
    )
    return LRN_READOUT


def _check_normalisation(keys: ConfigKeys, backbone: str | None) -> None:
    """Images are normalised as in the backbone's own training. A file may only repeat that."""
    for key in ("image_mean", "image_std"):
        if not keys.strict:
            keys.take_idle(key, "the backbone's own is used; RoboVLMs does not read it either")
        elif key in keys:
            _require_own(key, keys.numbers(key, 3) or (), backbone)


def _require_own(key: str, said: tuple[float, ...], backbone: str | None) -> None:
    """Raises an error for a mean or deviation that is not the backbone's own. `key` also names its attribute."""
    if backbone is None:
        raise ConfigBlockError(f"expected a 'model' beside '{key}': each backbone has its own. Leave '{key}' out.")
    own: tuple[float, ...] | None = getattr(backbone_class(backbone), key, None)
    if own is None or max(abs(ours - theirs) for ours, theirs in zip(own, said, strict=True)) > 1e-6:
        raise ConfigBlockError(
            f"expected '{key}' of the backbone '{backbone}' itself, {list(own) if own else 'in its own files'}, got "
            f"{list(said)}: a pretrained vision tower needs images as in its training. Leave the key out."
        )


def _read_pose_range(keys: ConfigKeys) -> PoseRange:
    if keys.flag("norm_action", default=False):
        low, high = keys.number("norm_min", -1.0), keys.number("norm_max", 1.0)
        return PoseRange(-1.0 if low is None else low, 1.0 if high is None else high)
    for key in ("norm_min", "norm_max"):
        keys.take_idle(key, "it needs norm_action: true")
    return PoseRange()


def _read_trainable(keys: ConfigKeys, is_robovlms: bool) -> TrainableParts:
    """Which parts are trained. RoboVLMs freezes vision and text embedding if its files do not name them."""
    flags = {
        "freeze_backbone": False,
        "train_vision": False if is_robovlms else None,
        "train_connector": None,
        "train_text_embedding": False if is_robovlms else None,
        "lora_enable": False,
        "gradient_checkpointing": False,
    }
    said: dict[str, Any] = {name: keys.flag(f"train_setup.{name}", default) for name, default in flags.items()}
    if not said["lora_enable"]:
        for key in ("lora_r", "lora_alpha", "lora_dropout", "lora_bias"):
            keys.take_idle(f"train_setup.{key}", "it needs lora_enable: true")
        return TrainableParts(**said)
    default = TrainableParts()
    said["lora_r"] = keys.count("train_setup.lora_r", default.lora_r)
    said["lora_alpha"] = keys.count("train_setup.lora_alpha", default.lora_alpha)
    said["lora_dropout"] = keys.number("train_setup.lora_dropout", default.lora_dropout)
    said["lora_bias"] = keys.text("train_setup.lora_bias", default.lora_bias)
    return TrainableParts(**said)
