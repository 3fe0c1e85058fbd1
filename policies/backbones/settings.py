"""Settings of a backbone, the same for every family."""

from dataclasses import dataclass

from calvinbench.envs.names import require_name
from calvinbench.policies.backbones.images.preprocessing import CAMERAS
from calvinbench.policies.backbones.prompts.prompt import Layout

LRN_READOUT, MAX_POOLING = "lrn", "max-pooling"
READOUTS = (LRN_READOUT, MAX_POOLING)


@dataclass(frozen=True, slots=True)
class BackboneSettings:
    """How a backbone is used. The settings belong to the model and are recorded with a checkpoint.

    Attributes:
        layout: Order of the tokens.
        cameras: `("static", "gripper")` or `("static",)`.
        readout: `"lrn"`, the feature at [LRN]; or `"max-pooling"`, the maximum of each number over all tokens, without
            [LRN] (RoboVLMs' `down_sample`).
        image_size: Image side in pixels, for vision towers that take any size; None for the model's own size.
        scale_lrn: Whether [LRN] is multiplied like text embeddings in VLMs that do this (the Gemma family: by
            sqrt(width)). RoboVLMs does. It changes the meaning of the parameter, and its gradient.

    Raises:
        UnknownNameError: There is no such camera or read-out.
        ValueError: The cameras are not one of the two choices, or the size is below 1.
    """

    layout: Layout = Layout.SEED
    cameras: tuple[str, ...] = CAMERAS
    readout: str = LRN_READOUT
    image_size: int | None = None
    scale_lrn: bool = False

    def __post_init__(self) -> None:
        for camera in self.cameras:
            require_name(camera, CAMERAS, "camera")
        if self.cameras not in (CAMERAS, CAMERAS[:1]):
            raise ValueError(f"expected cameras {CAMERAS} or {CAMERAS[:1]}, got {self.cameras}.")
        require_name(self.readout, READOUTS, "read-out")
        if self.image_size is not None and self.image_size < 1:
            raise ValueError(f"expected an image_size of at least 1, got {self.image_size}.")


def layout_by_name(name: str) -> Layout:
    """The layout that a file or a spec names.

    Raises:
        UnknownNameError: There is no such layout.
    """
    return Layout(require_name(name, list(Layout), "layout"))
