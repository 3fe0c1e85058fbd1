"""`check_backbone` checks that a backbone does what every backbone must. Run it on your own before you train it."""

import copy
import json
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from calvinbench.policies.backbones.backbone import Backbone
from calvinbench.policies.backbones.images.preprocessing import CameraImages
from calvinbench.policies.backbones.settings import LRN_READOUT

MAX_DIFFERENCE = 1e-5
"""Largest difference between a row alone and the same row in a padded batch, in 32 bits, for features of about 1."""
MAX_LEVEL_DIFFERENCE = 2e-3
"""Largest difference of a normalised level."""
LEAST_CORNER_EFFECT = 1e-5
"""Smallest relative change of the feature when a corner of an image changes."""
LEAST_EFFECT = 1e-3
"""Smallest relative change of the feature for every other input that must change it."""
ONE_WORD_APART = ("pull the red block along", "pull the blue block along")
"""They differ in a word that is neither the first nor the last."""
CORNERS = {"upper left": (0, 0), "upper right": (0, 1), "lower left": (1, 0), "lower right": (1, 1)}
SENTENCES = (
    "open the drawer",
    "take the blue block and rotate it to the right until it lies across the table",
    "push it",
)
"""They differ in length, so that a batch of them is padded."""


class BackboneCheckError(AssertionError):
    """A backbone fails a check. The message says what was expected and what the backbone returned."""


def check_backbone(backbone: Backbone) -> None:
    """Runs a backbone on random images and made-up sentences and checks what changes its feature.

    It runs some dozens of forward passes and two backward passes in 32 bits, on the backbone's device, and leaves the
    backbone unchanged. If the published initial weights disable a part (such as gates at zero), set others first.

    Args:
        backbone: The backbone, with 32-bit weights.

    Raises:
        BackboneCheckError: The backbone breaks a rule of `backbone.Backbone`.
    """
    was_training = {module: module.training for module in backbone.modules()}
    backbone.eval()
    try:
        _check_parts(backbone)
        _check_normalisation(backbone)
        with torch.no_grad():
            _check_effects(backbone)
            _check_alone_as_in_batch(backbone)
            _check_saving(backbone)
            _check_precision(backbone)
        for mode in (False, True):
            _check_gradients(backbone.train(mode))
        _check_refusals(backbone.eval())
    finally:
        for module, mode in was_training.items():
            module.training = mode


def made_up_images(batch_size: int, seed: int = 0) -> CameraImages:
    """Random images. Both cameras have one size, so that they can be swapped.

    Args:
        batch_size: Number of frames.
        seed: Random seed.
    """
    generator = torch.Generator().manual_seed(seed)
    # Coarse noise: a vision tower's patches average fine noise to grey.
    shape = (2, batch_size, 8, 8, 3)
    coarse = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    fine = coarse.repeat_interleave(12, dim=2).repeat_interleave(12, dim=3)
    return CameraImages(fine[0], fine[1])


def _feature(
    backbone: Backbone, images: CameraImages, sentences: tuple[str, ...], lrn: Tensor | None = None
) -> Float[Tensor, "B width"]:
    """The fused features, with a nonzero [LRN]."""
    feature: Tensor = backbone(images, sentences, _made_up_lrn(backbone) if lrn is None else lrn)
    expected = (images.static.shape[0], backbone.width)
    if tuple(feature.shape) != expected:
        raise BackboneCheckError(f"expected features of shape {expected}, got {tuple(feature.shape)}.")
    if not torch.isfinite(feature).all():
        raise BackboneCheckError("expected finite features, got NaN or infinity.")
    return feature


def _made_up_lrn(backbone: Backbone, seed: int = 7) -> Float[Tensor, " width"]:
    noise = torch.randn(backbone.width, generator=torch.Generator().manual_seed(seed))
    return 0.1 * noise.to(backbone.device)


def _check_parts(backbone: Backbone) -> None:
    """Checks that the parts hold all parameters."""
    parts = backbone.parts
    modules = (*parts.vision, *parts.connector, *parts.language, parts.text_embedding)
    known = {id(parameter) for module in modules for parameter in module.parameters()}
    strays = [name for name, parameter in backbone.named_parameters() if id(parameter) not in known]
    if strays:
        raise BackboneCheckError(f"expected parts to hold every parameter, but they miss {strays}.")


def _check_normalisation(backbone: Backbone) -> None:
    """Checks that the vision tower gets normalised images: right mean and deviation, red channel first."""
    for colour in ((0, 0, 0), (255, 255, 255), (255, 128, 0)):
        plain = torch.tensor(colour, dtype=torch.uint8).expand(1, 60, 60, 3)
        seen = _first_input(
            backbone.parts.vision[0],
            lambda plain=plain: backbone(CameraImages(plain, plain), SENTENCES[:1], _made_up_lrn(backbone)),  # type: ignore[misc]
        )
        # Images (N, channels, height, width), or patches whose numbers are channels first.
        channels = seen.movedim(1, 0) if seen.ndim == 4 else seen.unflatten(-1, (3, -1)).movedim(-2, 0)
        for number, level in enumerate(colour):
            expected = (level / 255 - backbone.image_mean[number]) / backbone.image_std[number]
            off = (channels[number].float() - expected).abs().max()
            if off > MAX_LEVEL_DIFFERENCE:
                raise BackboneCheckError(
                    f"expected level {level} of channel {number} to reach the vision tower as {expected:.3f}, got "
                    f"numbers up to {off:.3f} apart. Normalise once, with the model's mean and deviation, red first."
                )


def _first_input(module: nn.Module, run: Callable[[], object]) -> Tensor:
    """The first floating-point tensor that a module gets."""
    seen: list[Tensor] = []

    def keep(_: nn.Module, arguments: tuple[object, ...], keywords: dict[str, object]) -> None:
        given = (*arguments, *keywords.values())
        seen.extend(value for value in given if isinstance(value, Tensor) and value.is_floating_point())

    handle = module.register_forward_pre_hook(keep, with_kwargs=True)
    try:
        with torch.no_grad():
            run()
    finally:
        handle.remove()
    if not seen:
        raise BackboneCheckError("expected images to go through the first module of parts.vision, got none there.")
    return seen[0]


def _check_effects(backbone: Backbone) -> None:
    """Checks that instruction, each camera, their order and [LRN] change the feature, and that nothing else does."""
    images, other = made_up_images(1), made_up_images(1, seed=1)
    sentences = SENTENCES[:1]
    feature = _feature(backbone, images, sentences)
    if not torch.equal(feature, _feature(backbone, images, sentences)):
        raise BackboneCheckError("expected the same feature a second time in eval mode, got another.")
    variants: dict[str, Callable[[], Tensor]] = {
        "another instruction": lambda: _feature(backbone, images, SENTENCES[1:2]),
        "another image of the static camera": lambda: _feature(
            backbone, CameraImages(other.static, images.gripper), sentences
        ),
    }
    if "gripper" in backbone.settings.cameras:
        variants["another image of the gripper camera"] = lambda: _feature(
            backbone, CameraImages(images.static, other.gripper), sentences
        )
        variants["swapped cameras"] = lambda: _feature(
            backbone, CameraImages(images.of("gripper"), images.static), sentences
        )
    if backbone.settings.readout == LRN_READOUT:
        lrn = _made_up_lrn(backbone, seed=8)
        variants["another [LRN]"] = lambda: _feature(backbone, images, sentences, lrn)
    for what, make in variants.items():
        _require_effect(what, make(), feature, LEAST_EFFECT)
    left, right = (_feature(backbone, images, (sentence,)) for sentence in ONE_WORD_APART)
    _require_effect("another word of the instruction", right, left, LEAST_CORNER_EFFECT)
    half = images.static.shape[1] // 2
    for corner, (row, column) in CORNERS.items():
        static = images.static.clone()
        rows, columns = (slice(place * half, (place + 1) * half) for place in (row, column))
        static[:, rows, columns] = other.static[:, rows, columns]
        changed = _feature(backbone, CameraImages(static, images.gripper), sentences)
        _require_effect(f"another {corner} corner of the static camera's image", changed, feature, LEAST_CORNER_EFFECT)


def _require_effect(what: str, changed: Tensor, feature: Tensor, least: float) -> None:
    """Raises an error if a change of the input changes the feature too little."""
    effect = float((changed - feature).norm() / feature.norm())
    if effect < least:
        raise BackboneCheckError(
            f"expected {what} to change the feature by more than {least:g}, relatively, got {effect:.2g}."
        )


def _check_alone_as_in_batch(backbone: Backbone) -> None:
    """Checks that a row's feature does not depend on other rows or on padding."""
    images = made_up_images(len(SENTENCES))
    batch = _feature(backbone, images, SENTENCES)
    scale = max(float(batch.abs().mean()), 1.0)
    for row, sentence in enumerate(SENTENCES):
        one = CameraImages(images.static[row : row + 1], images.of("gripper")[row : row + 1])
        difference = float((_feature(backbone, one, (sentence,))[0] - batch[row]).abs().max()) / scale
        if difference > MAX_DIFFERENCE:
            raise BackboneCheckError(
                f"expected row {row} alone as in a padded batch, to {MAX_DIFFERENCE:g}, got a difference of "
                f"{difference:.2g}. Mask the padding, and count positions from each row's own beginning."
            )


def _check_saving(backbone: Backbone) -> None:
    """Checks that the configuration, written as JSON and read again, makes a backbone that takes the weights."""
    config = json.loads(json.dumps(backbone.config))
    again = type(backbone).from_config(config, backbone.tokenizer, backbone.settings)
    again.load_state_dict(backbone.state_dict())
    again.to(backbone.device).eval()
    images = made_up_images(2)
    if not torch.equal(_feature(again, images, SENTENCES[:2]), _feature(backbone, images, SENTENCES[:2])):
        raise BackboneCheckError("expected the same features from the saved and loaded backbone, got others.")


def _check_precision(backbone: Backbone) -> None:
    """Checks that every part follows a change to bfloat16."""
    half = copy.deepcopy(backbone)
    half.cast(torch.bfloat16)
    feature = _feature(half, made_up_images(1), SENTENCES[:1])
    if feature.dtype != torch.bfloat16 or feature.device != backbone.device:
        raise BackboneCheckError(
            f"expected features in bfloat16 on {backbone.device}, got {feature.dtype} on {feature.device}."
        )
    full = _feature(backbone, made_up_images(1), SENTENCES[:1])
    error = float((feature.float() - full).norm() / full.norm())
    if error > 0.2:
        raise BackboneCheckError(
            f"expected bfloat16 to change the feature by some per cent, got a relative change of {error:.2g}."
        )


def _check_gradients(backbone: Backbone) -> None:
    """Checks that gradients reach [LRN], vision, connector, language and the text embedding."""
    required = {name: parameter.requires_grad for name, parameter in backbone.named_parameters()}
    lrn = _made_up_lrn(backbone).requires_grad_()
    backbone.requires_grad_(True)
    images = made_up_images(2)
    try:
        prompts = [backbone.prompt(sentence) for sentence in SENTENCES[:2]]
        vision = backbone.vision_tokens(images, prompts[0].cameras)
        feature = backbone.fuse(prompts, vision, lrn)
        weights = torch.randn(feature.shape, generator=torch.Generator().manual_seed(9)).to(feature)
        named = dict(backbone.named_parameters())
        inputs = [lrn, *named.values(), *([vision] if vision.requires_grad else [])]
        given = torch.autograd.grad((feature * weights).sum(), inputs, allow_unused=True)
    finally:
        for name, parameter in backbone.named_parameters():
            parameter.requires_grad_(required[name])
    gradients = dict(zip(map(id, named.values()), given[1:], strict=False))
    parts = backbone.parts
    through = given[-1] if vision.requires_grad else None
    modules = {
        "vision": parts.vision,
        "connector": parts.connector,
        "language": parts.language,
        "text embedding": (parts.text_embedding,),
    }
    reached = {"[LRN]": given[0] is not None and bool(given[0].abs().sum() > 0)}
    if backbone.settings.readout != LRN_READOUT:
        reached.pop("[LRN]")
    for part, several in modules.items():
        own = [gradients[id(parameter)] for module in several for parameter in module.parameters()]
        if own:
            reached[part] = any(gradient is not None and bool(gradient.abs().sum() > 0) for gradient in own)
    for number, camera in enumerate(prompts[0].cameras):
        own_tokens = None if through is None else through.unflatten(1, (len(prompts[0].cameras), -1))[:, number]
        reached[f"the {camera} camera's tokens"] = own_tokens is not None and bool(own_tokens.abs().sum() > 0)
    cut = [part for part, is_reached in reached.items() if not is_reached]
    if cut:
        mode = "train" if backbone.training else "eval"
        raise BackboneCheckError(f"expected gradients to reach every part, got none in {cut} in {mode} mode.")


def _check_refusals(backbone: Backbone) -> None:
    """Checks that an empty instruction raises an error."""
    try:
        _feature(backbone, made_up_images(1), ("  ",))
    except ValueError:
        return
    raise BackboneCheckError("expected an error for an empty instruction, got a feature.")
