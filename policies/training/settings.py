"""The settings of a training; learning rates and batches are in `optimization`. This module does not import torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from calvinbench.policies.demonstrations.calvin_scenes import require_scenes
from calvinbench.policies.learned.trainable_parts import TrainableParts
from calvinbench.policies.training.optimization import OptimizationSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """The settings of a training.

    Attributes:
        policy: Spec of the policy to train: `untrained:BACKBONE,...` or `checkpoint:FOLDER`.
        data: The data set's folder.
        out: The output folder.
        tasks: Tasks to train on, among those of the data set; empty for all.
        data_scenes: The scenes of the data, such as `"D"` or `"ABC"`; None to read them from the data set.
        paraphrases: Whether each window gets a random sentence of its task instead of its annotation's.
        trainable: Which parts are trained.
        optimization: Rates, batches, schedule, precision, loss, augmentation.
        log_every: Steps between lines of the log.
        save_every: Steps between checkpoints and saved states.
        validate_every: Steps between validation losses; 0 for none.
        validation_windows: Largest number of windows of a validation.
    """

    policy: str
    data: Path
    out: Path
    tasks: tuple[str, ...] = ()
    data_scenes: str | None = None
    paraphrases: bool = True
    trainable: TrainableParts = field(default_factory=TrainableParts)
    optimization: OptimizationSettings = field(default_factory=OptimizationSettings)
    log_every: int = 20
    save_every: int = 500
    validate_every: int = 500
    validation_windows: int = 256

    def __post_init__(self) -> None:
        if self.data_scenes is not None:
            object.__setattr__(self, "data_scenes", require_scenes(self.data_scenes, "data_scenes"))
        for name in ("log_every", "save_every", "validation_windows"):
            if getattr(self, name) < 1:
                raise ValueError(f"expected {name} of at least 1, got {getattr(self, name)}.")
        if self.validate_every < 0:
            raise ValueError(f"expected validate_every of at least 0, got {self.validate_every}.")


Sentences = Mapping[str, tuple[str, ...]]
"""Training sentences by task."""
