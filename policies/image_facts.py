"""Size and value range of the images that a policy was trained on, and how the images of a world differ from them.

A backbone resizes every image to a square of its own, so most sizes do as well as others. Two differences of size
remain: another ratio of width to height, because the image is then squeezed otherwise, and much more or much less
detail, because enlarging an image does not bring back what it never showed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import UInt8

from calvinbench.policies.demonstrations.demonstrations import Annotation, Demonstrations

MAX_RATIO_CHANGE = 1.05
"""Factor between two ratios of width to height. A smaller one is due to rounding."""
MAX_DETAIL_CHANGE = 1.5
"""Factor between the sides of two images, each at most the backbone's own size."""
MAX_RANGE_CHANGE = 2.0
"""Factor between two ranges of values. Images in [0, 1] where [0, 255] is expected differ by 255."""
NUM_ANNOTATIONS = 8
"""Demonstrations that are looked at, spread over the data; of each, the first, the middle and the last frame."""


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What is known of a camera's images.

    Attributes:
        camera: `static` or `gripper`.
        height: Pixels.
        width: Pixels.
        low: The lowest value of a colour in the images that were looked at, 0 to 255.
        high: The highest.
        input_size: Pixels a side to which the backbone resizes them; None if that is not known.
    """

    camera: str
    height: int
    width: int
    low: int
    high: int
    input_size: int | None = None

    @classmethod
    def of(cls, camera: str, images: UInt8[np.ndarray, "*batch H W 3"], input_size: int | None = None) -> "ImageFacts":
        """Looks at images of one camera."""
        height, width = images.shape[-3:-1]
        return cls(camera, height, width, int(images.min()), int(images.max()), input_size)

    @classmethod
    def read(cls, said: Any) -> "tuple[ImageFacts, ...]":
        """Reads what `written` returns. Anything else, such as the None of an older checkpoint, gives nothing."""
        if not isinstance(said, Mapping):
            return ()
        found = []
        for camera, numbers in said.items():
            known: dict[str, Any] = dict(numbers) if isinstance(numbers, Mapping) else {}
            values: list[Any] = [known.get(name) for name in (*_NAMES, "input_size")]
            height, width, low, high, input_size = values
            if not all(type(number) is int for number in (height, width, low, high)):
                continue
            if min(height, width) > 0:
                size = input_size if type(input_size) is int else None
                found.append(cls(str(camera), height, width, low, high, size))
        return tuple(found)

    @property
    def ratio(self) -> float:
        """Width to height."""
        return self.width / self.height

    @property
    def span(self) -> float:
        """From the lowest to the highest value; at least 1."""
        return float(max(self.high - self.low, 1))

    def detail(self, limit: int | None) -> float:
        """The image's side in pixels, of a square of the same area, and at most `limit`."""
        side = float(np.sqrt(self.height * self.width))
        return side if limit is None else min(side, float(limit))


_NAMES = ("height", "width", "low", "high")


def written(facts: Sequence[ImageFacts]) -> dict[str, dict[str, int | None]]:
    """The facts as JSON, for a checkpoint's notes."""
    return {
        one.camera: {name: getattr(one, name) for name in (*_NAMES, "input_size")}
        for one in sorted(facts, key=lambda one: one.camera)
    }


def facts_of_data(
    data: Demonstrations, annotations: Sequence[Annotation], input_sizes: Mapping[str, int], cameras: Sequence[str]
) -> tuple[ImageFacts, ...]:
    """Looks at some frames of a training split.

    Args:
        data: The split.
        annotations: The demonstrations that are trained on; at least one.
        input_sizes: Pixels a side to which the backbone resizes, by camera.
        cameras: Which cameras the policy sees.

    Raises:
        DataError: A frame is missing or damaged.
    """
    chosen = [annotations[int(index)] for index in np.linspace(0, len(annotations) - 1, NUM_ANNOTATIONS)]
    frames = sorted(
        {(one.episode, frame) for one in chosen for frame in (one.start, (one.start + one.end - 1) // 2, one.end - 1)}
    )
    keys = [f"rgb_{camera}" for camera in cameras]
    seen = [data.read(episode, frame, frame + 1, keys) for episode, frame in frames]
    return tuple(
        ImageFacts.of(camera, np.concatenate([getattr(frame, key) for frame in seen]), input_sizes.get(camera))
        for camera, key in zip(cameras, keys, strict=True)
    )


def facts_of_images(images: Mapping[str, np.ndarray]) -> tuple[ImageFacts, ...]:
    """Looks at a world's images. Their keys are cameras, or observation keys such as `rgb_static`."""
    return tuple(
        ImageFacts.of(key.removeprefix("rgb_"), image)
        for key, image in images.items()
        if image.ndim >= 3 and image.shape[-1] == 3
    )


def unlike_images(trained: Sequence[ImageFacts], here: Sequence[ImageFacts]) -> tuple[str, ...]:
    """How a world's images differ from those of the training, as text. A camera that is not known is ignored."""
    found = {facts.camera: facts for facts in here}
    return tuple(
        words for before in trained if before.camera in found for words in _unlike(before, found[before.camera])
    )


def _unlike(before: ImageFacts, now: ImageFacts) -> Iterator[str]:
    sizes = f"{before.camera} images of {before.width} x {before.height} pixels in training, {now.width} x {now.height}"
    if _factor(before.ratio, now.ratio) > MAX_RATIO_CHANGE:
        yield f"{sizes} here, which are squeezed otherwise"
    elif _factor(before.detail(before.input_size), now.detail(before.input_size)) > MAX_DETAIL_CHANGE:
        is_finer = now.detail(before.input_size) > before.detail(before.input_size)
        limit = "" if before.input_size is None else f" (the backbone takes {before.input_size} x {before.input_size})"
        yield f"{sizes} here, which show {'more' if is_finer else 'less'} detail{limit}"
    if _factor(before.span, now.span) > MAX_RANGE_CHANGE:
        yield (
            f"values of {before.camera} images from {before.low} to {before.high} in training, from {now.low} to "
            f"{now.high} here"
        )


def _factor(one: float, other: float) -> float:
    return max(one, other) / min(one, other)
