"""The settings of a recording: what is recorded, where, and with which random seed."""

from dataclasses import dataclass, field
from pathlib import Path

from calvinbench.envs.instructions import OURS
from calvinbench.envs.names import require_name
from calvinbench.envs.observation import CAMERA_SIZES
from calvinbench.envs.tasks import TASKS
from calvinbench.harness.recording.episode import Perturbation
from calvinbench.harness.recording.formats import FORMATS
from calvinbench.policies.demonstrations.calvin_layout import CALVIN
from calvinbench.policies.demonstrations.opening import SPLITS

RECORDED_SCENES = ("embedded", "D")
"""Scenes that the scripted expert knows."""
_AT_MOST = {
    **dict.fromkeys(("episodes", "validation_episodes"), (999_999, ", because their files are numbered by six digits")),
    **dict.fromkeys(("subtasks", "max_steps", "frames_after"), (1_000_000, "")),
    **dict.fromkeys(("static_size", "gripper_size"), (4096, " pixels")),
}
"""Above, one episode alone would not fit into memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingSettings:
    """The settings of a recording.

    Attributes:
        out: The data set's folder.
        form: `"calvin"`, CALVIN's own layout with depths; or `"compact"`, see `policies.demonstrations.compact`.
        scene: One of `RECORDED_SCENES`.
        calvin_env: The checkout for scene D; None searches for one.
        instructions: The instruction set, see `envs.instructions`.
        episodes: Episodes of the training split.
        validation_episodes: Episodes of the validation split, drawn in the same way.
        subtasks: Most subtasks of an episode.
        tasks: Tasks to draw from.
        max_steps: Most steps of a subtask.
        frames_after: Steps that the expert continues after a subtask is solved, see `episode.demonstrate`.
        perturbation: The noise on executed actions.
        static_size: Width and height of the static camera's images, in pixels.
        gripper_size: Width and height of the gripper camera's images, in pixels.
        renderer: The renderer; None for the default.
        depth_bits: Bits of the depth buffer; None for the scene's default.
        seed: Random seed.
    """

    out: Path
    form: str = CALVIN
    scene: str = "embedded"
    calvin_env: str | None = None
    instructions: str = OURS
    episodes: int = 100
    validation_episodes: int = 10
    subtasks: int = 6
    tasks: tuple[str, ...] = TASKS
    max_steps: int = 360
    frames_after: int = 0
    perturbation: Perturbation = field(default_factory=Perturbation)
    static_size: int = CAMERA_SIZES["static"]
    gripper_size: int = CAMERA_SIZES["gripper"]
    renderer: str | None = None
    depth_bits: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        require_name(self.form, FORMATS, "format of a data set")
        if self.scene not in RECORDED_SCENES:
            raise ValueError(
                f"expected scene {' or '.join(RECORDED_SCENES)}, whose places the scripted expert knows, got "
                f"'{self.scene}'."
            )
        for task in self.tasks:
            require_name(task, TASKS, "task")
        if not self.tasks:
            raise ValueError("expected at least one task, got none.")
        for name in ("episodes", "subtasks", "max_steps", "static_size", "gripper_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"expected {name} of at least 1, got {getattr(self, name)}.")
        for name in ("validation_episodes", "frames_after", "seed"):
            if getattr(self, name) < 0:
                raise ValueError(f"expected {name} of at least 0, got {getattr(self, name)}.")
        for name, (most, reason) in _AT_MOST.items():
            if getattr(self, name) > most:
                raise ValueError(f"expected {name} of at most {most}{reason}, got {getattr(self, name)}.")
        # Sorted and without repetition, because random draws depend on the order.
        object.__setattr__(self, "tasks", tuple(task for task in TASKS if task in self.tasks))

    @property
    def picture_sizes(self) -> dict[str, int]:
        """Width and height of the images by camera, in pixels."""
        return {"static": self.static_size, "gripper": self.gripper_size}

    def wanted(self) -> tuple[tuple[str, int], ...]:
        """Split and number of every episode, in order."""
        return tuple(
            (split, number)
            for split, count in zip(SPLITS, (self.episodes, self.validation_episodes), strict=True)
            for number in range(count)
        )
