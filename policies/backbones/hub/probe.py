"""Checks that `hf:` reads a VLM correctly: its feature must equal that of the model's own forward pass."""

from typing import Any

import torch
from torch import Tensor

from calvinbench.policies.backbones.backbone import Backbone
from calvinbench.policies.backbones.images.preprocessing import CameraImages
from calvinbench.policies.backbones.prompts.prompt import Kind, collate
from calvinbench.policies.backbones.weights.sources import BUILD_ERRORS, BackboneSourceError

_SENTENCE = "push the red block to the left"
_MAX_DIFFERENCE = {torch.float32: 1e-3}
_MAX_DIFFERENCE_OF_16_BITS = 5e-2


def require_usable(backbone: Backbone, own_inputs: Any) -> None:
    """Runs one frame through a backbone, and through the model's own forward pass if that takes the same inputs.

    Args:
        backbone: The backbone. It is in eval mode afterwards.
        own_inputs: From token batch and pixels to the keyword arguments of the model's own forward pass.

    Raises:
        BackboneSourceError: The forward pass fails, does not return one feature a row, does not depend on the images,
            or differs from the model's own.
    """
    backbone.eval()
    model: Any = backbone.model
    what = f"'{model.config.model_type}' ({type(model).__name__})"
    try:
        features, other = _features(backbone)
    except BackboneSourceError:
        raise
    except BUILD_ERRORS as error:
        raise refused(what, f"its forward pass failed: {in_words(error)}") from error
    if features.shape != (1, backbone.width):
        raise refused(what, f"its forward pass gives features of shape {tuple(features.shape)}")
    if not bool(features.isfinite().all()):
        raise refused(what, "its forward pass gives numbers that are not finite")
    if torch.equal(features, other):
        raise refused(what, "its feature does not depend on the images")
    difference = _difference_from_own(backbone, own_inputs)
    if difference is not None and difference > _MAX_DIFFERENCE.get(backbone.dtype, _MAX_DIFFERENCE_OF_16_BITS):
        raise refused(what, f"its feature differs from its own forward pass by {difference:.2g} of its size")


def refused(what: str, reason: str) -> BackboneSourceError:
    """The error for an architecture that `hf:` cannot use."""
    return BackboneSourceError(
        f"expected a VLM that takes images and text as LLaVA, Qwen-VL, Idefics or InternVL do, got {what}: {reason}. "
        "Name another VLM, or write a backbone for this one (a subclass of "
        "calvinbench.policies.backbones.backbone.Backbone) and name it by its import string, "
        "untrained:package.module:Class."
    )


def in_words(error: BaseException) -> str:
    """An error's type and first line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


@torch.no_grad()
def _features(backbone: Backbone) -> tuple[Tensor, Tensor]:
    """Features of one frame, and of another frame with the same sentence."""
    # Not zero: linear attention reads nothing for a token of zeros.
    noise = torch.randn(backbone.width, generator=torch.Generator().manual_seed(1))
    lrn = 0.1 * noise.to(backbone.device)
    frames = _frames(backbone)
    first = backbone(frames, [_SENTENCE], lrn)
    other = backbone(CameraImages(255 - frames.static, 255 - frames.of("gripper")), [_SENTENCE], lrn)
    return first, other


def _frames(backbone: Backbone) -> CameraImages:
    generator = torch.Generator().manual_seed(0)
    shape = (2, 1, 96, 96, 3)
    static, gripper = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator).to(backbone.device)
    return CameraImages(static, gripper)


@torch.no_grad()
def _difference_from_own(backbone: Backbone, own_inputs: Any) -> float | None:
    """Relative difference, with an ordinary token at [LRN]; None if the own forward pass takes other inputs."""
    model: Any = backbone.model
    prompt = backbone.prompt(_SENTENCE)
    tokens = collate([prompt], backbone.pad_id, backbone.device)
    frames = _frames(backbone)
    token = tokens.ids[0, -2] if not bool(tokens.is_vision[0, -2]) else tokens.ids[tokens.kinds == Kind.TEXT][0]
    embedded = backbone.parts.text_embedding(token[None])[0]
    ours = backbone.decode(tokens, backbone.vision_tokens(frames, prompt.cameras), embedded)[tokens.is_lrn]
    pixels = torch.cat([backbone.preprocess(frames.of(camera)) for camera in prompt.cameras])
    ids = torch.where(tokens.is_lrn, token, tokens.ids)
    try:
        hidden = model(input_ids=ids, **own_inputs(tokens, pixels)).last_hidden_state
    except BUILD_ERRORS:
        return None
    theirs = hidden[tokens.is_lrn]
    return float((ours - theirs).norm() / theirs.norm())
