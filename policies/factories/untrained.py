"""`untrained:BACKBONE`: a policy with random weights of [LRN] and head."""

from dataclasses import replace
from typing import Any

import torch

from calvinbench.policies.backbones.backbone import Backbone
from calvinbench.policies.backbones.prompts.prompt import Layout
from calvinbench.policies.backbones.registry import BACKBONES
from calvinbench.policies.backbones.settings import BackboneSettings
from calvinbench.policies.backbones.weights.random import weights_from
from calvinbench.policies.factories.untrained_backbone import make_backbone, pretrained_source
from calvinbench.policies.factories.untrained_settings import DEFAULT_SEED, UntrainedSettings
from calvinbench.policies.heads.config import HeadConfig, head_preset
from calvinbench.policies.learned.policy_config import PolicyConfig
from calvinbench.policies.learned.pose_range import PoseRange
from calvinbench.policies.learned.trainable import apply_trainable_parts
from calvinbench.policies.learned.usage import Usage, with_memory
from calvinbench.policies.learned.vlm_lstm import VLMLSTM
from calvinbench.policies.learned.vlm_lstm_policy import VLMLSTMPolicy
from calvinbench.policies.policy import Memory
from calvinbench.policies.robovlms.config_blocks import read_config_file
from calvinbench.policies.spec import PolicySpecError, require_argument

TINY_HIDDEN_DIM = 256
"""Width of a head that suits a tiny VLM."""


def make_untrained_policy(
    argument: str | None,
    settings: UntrainedSettings = UntrainedSettings(),  # noqa: B008  frozen
) -> VLMLSTMPolicy:
    """Makes `untrained:BACKBONE`. [LRN] and head have random weights. The VLM is random too, or pretrained.

    Args:
        argument: A backbone's name, `hf:ORG/NAME`, or the import string `package.module:Class` of your own backbone.
        settings: What the policy consists of, and how it is used.

    Raises:
        UnknownNameError: There is no such backbone or size.
        PolicySpecError: A setting cannot be used.
        BackboneSourceError: The pretrained weights are missing.
    """
    name = require_argument(
        "untrained", argument, f"a backbone ({', '.join(BACKBONES)}, hf:ORG/NAME, package.module:Class)"
    )
    usage = Usage.of(settings)
    source = pretrained_source(name, settings.vlm)
    _require_agreement(settings, source)
    base = PolicyConfig(name) if settings.config is None else read_config_file(settings.config).policy_config(name)
    backbone_settings = _backbone_settings(settings, name, source, base)
    generator = torch.Generator().manual_seed(settings.seed)
    backbone = make_backbone(name, settings.size or "tiny", source, backbone_settings, generator, usage.dtype)
    _require_scaling(backbone, name)
    head = _head(settings, source, base)
    with weights_from(generator):
        model = VLMLSTM(backbone, head, proprioception=settings.proprioception)
        apply_trainable_parts(model, base.trainable)
    limit = settings.pose_limit
    config = replace(
        base,
        backbone_settings=backbone_settings,
        head=head,
        memory=Memory(span=model.head.default_span) if settings.config is None else base.memory,
        proprioception=settings.proprioception,
        pose_range=base.pose_range if limit is None else PoseRange(-limit, limit),
        origin=_origin(source, settings.seed),
    )
    return VLMLSTMPolicy(model, with_memory(config, settings), usage)


def _require_agreement(settings: UntrainedSettings, source: str | None) -> None:
    """Raises an error for two settings that contradict each other."""
    if settings.config is not None and settings.head is not None:
        raise PolicySpecError(
            f"expected one head, got head={settings.head} and the act_head of '{settings.config}'. Remove one of them."
        )
    if source is not None and settings.size is not None:
        raise PolicySpecError(
            f"expected 'size' or pretrained weights, got size={settings.size} and '{source}', which has its own "
            "numbers. Remove size."
        )


def _require_scaling(backbone: Backbone, name: str) -> None:
    if backbone.settings.scale_lrn and not backbone.scales_embeddings:
        raise PolicySpecError(
            f"'scale_lrn' has no effect because {name} does not multiply its text embeddings; remove it. The Gemma "
            "family does: paligemma."
        )


def _backbone_settings(
    settings: UntrainedSettings, name: str, source: str | None, base: PolicyConfig
) -> BackboneSettings:
    """The value of the spec, otherwise that of the configuration."""
    said: dict[str, Any] = {
        "cameras": settings.cameras,
        "readout": settings.readout,
        "image_size": settings.image_size,
    }
    return replace(
        base.backbone_settings,
        layout=_layout(settings.layout, name, source, base),
        scale_lrn=settings.scale_lrn,
        **{key: value for key, value in said.items() if value is not None},
    )


def _layout(layout: str | None, name: str, source: str | None, base: PolicyConfig) -> Layout:
    """The layout of the spec, otherwise RoboVLMs' for a file of RoboVLMs, otherwise the pretrained VLM's own.

    A VLM without pretrained weights, or without a layout of its own, gets the seed's.
    """
    if layout is not None:
        return Layout(layout)
    if base.backbone_settings.layout is Layout.ROBOVLMS:
        return Layout.ROBOVLMS
    return Layout.SEED if source is None or name == "minilm-effnet" else Layout.NATIVE


def _head(settings: UntrainedSettings, source: str | None, base: PolicyConfig) -> HeadConfig:
    """The head of the spec or of the configuration, with the numbers that the spec gives."""
    head = base.head if settings.head is None else head_preset(settings.head)
    if settings.config is None and source is None and settings.size in (None, "tiny"):
        head = replace(head, hidden_dim=TINY_HIDDEN_DIM)
    names = ("pose_activation", "hidden_dim", "num_layers", "chunk_length")
    said = {name: getattr(settings, name) for name in names if getattr(settings, name) is not None}
    try:
        return replace(head, **said)
    except ValueError as error:
        raise PolicySpecError(str(error)) from error


def _origin(source: str | None, seed: int) -> str:
    """Where the weights come from, for the label."""
    origin = "untrained" if source is None else "pretrained VLM, untrained head"
    return origin if seed == DEFAULT_SEED else f"{origin}, seed {seed}"
