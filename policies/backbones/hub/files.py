"""Files beside a VLM's weights on the hub: how images are prepared, and the chat template."""

import json
from dataclasses import dataclass
from pathlib import Path

from calvinbench.policies.backbones.images.normalisation import HALF
from calvinbench.policies.backbones.weights.sources import BackboneSourceError

_PIL_FILTERS = {1: "lanczos", 2: "bilinear", 3: "bicubic"}
"""PIL's filter numbers, which preprocessor files use."""


@dataclass(frozen=True, slots=True)
class ImageFormat:
    """How a vision tower's images are prepared.

    Attributes:
        image_mean: Mean of each channel, in 0..1.
        image_std: Standard deviation of each channel.
        image_size: Image side in pixels; None for the size in the configuration.
        resample: How images are resized, one of `resize.FILTERS`.
    """

    image_mean: tuple[float, ...] = HALF
    image_std: tuple[float, ...] = HALF
    image_size: int | None = None
    resample: str = "bicubic"


def read_chat_template(folder: Path) -> str | None:
    """The processor's chat template from its own file. A tokenizer reads the other places itself."""
    file = folder / "chat_template.json"
    if not file.is_file():
        return None
    template: str = json.loads(file.read_text("utf-8"))["chat_template"]
    return template


def read_image_format(folder: Path) -> ImageFormat:
    """How a model's images are prepared, from its preprocessor file.

    Raises:
        BackboneSourceError: No file says so, or it names an unknown filter.
    """
    for name in ("preprocessor_config.json", "processor_config.json"):
        file = folder / name
        if not file.is_file():
            continue
        numbers = json.loads(file.read_text("utf-8"))
        numbers = numbers.get("image_processor", numbers)
        if "image_mean" in numbers and "image_std" in numbers:
            number = numbers.get("resample") or 3
            if number not in _PIL_FILTERS:
                raise BackboneSourceError(
                    f"expected resample 1 (Lanczos), 2 (bilinear) or 3 (bicubic) in '{file}', got {number}."
                )
            levels = tuple(numbers["image_mean"]), tuple(numbers["image_std"])
            return ImageFormat(*levels, resample=_PIL_FILTERS[number])
    raise BackboneSourceError(
        f"expected image_mean and image_std in '{folder}/preprocessor_config.json', found none. Copy the model's "
        "preprocessor file there. Without it, images might be normalised wrongly without any error."
    )
