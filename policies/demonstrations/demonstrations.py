"""What training asks of a data set, whatever its form on the disk."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, UInt8

PICTURE_KEYS = ("rgb_static", "rgb_gripper")
FRAME_KEYS = (*PICTURE_KEYS, "rel_actions", "robot_obs")
"""What can be read of a frame."""


class DataError(ValueError):
    """A data set that is not there, not whole, or not what was asked for; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Annotation:
    """A stretch of an episode in which one subtask is done.

    Attributes:
        episode: Which of the data set's episodes, from 0. Frames of an episode follow each other in time.
        start: Its first frame, counted within the episode.
        end: One past its last frame.
        task: The task's name.
        instruction: The sentence that the data set has for it.
    """

    episode: int
    start: int
    end: int
    task: str
    instruction: str

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end:
            raise ValueError(f"expected an annotation of at least one frame, got frames {self.start} to {self.end}.")

    @property
    def num_frames(self) -> int:
        """How many frames it has."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Frames:
    """Consecutive frames of one episode; what was not asked for is None.

    Attributes:
        rgb_static: Pictures of the static camera.
        rgb_gripper: Pictures of the camera on the hand.
        rel_actions: Relative actions as labels: pose in [-1, 1], gripper -1 (close) or +1 (open).
        robot_obs: State of the robot, see `calvinbench.envs.observation`.
    """

    rgb_static: UInt8[np.ndarray, "T H W 3"] | None = None
    rgb_gripper: UInt8[np.ndarray, "T h w 3"] | None = None
    rel_actions: Float32[np.ndarray, "T 7"] | None = None
    robot_obs: Float32[np.ndarray, "T 15"] | None = None


@dataclass(frozen=True, slots=True)
class DataDescription:
    """What a data set says of itself.

    Attributes:
        form: `"compact"` or `"calvin"`.
        path: Its folder.
        picture_sizes: Pixels a side of each camera's pictures, by camera (`static`, `gripper`).
        details: What its recorder wrote down (scene, digests, noise, seed), as JSON can write it; of CALVIN's own data
            the `scene` alone, `"D"` or `"ABC"`, None where its files do not say.
    """

    form: str
    path: str
    picture_sizes: Mapping[str, int]
    details: Mapping[str, Any] = field(default_factory=dict)


@runtime_checkable
class Demonstrations(Protocol):
    """One split (`training` or `validation`) of a data set. Reading is random access, and keeps nothing in memory."""

    @property
    def description(self) -> DataDescription:
        """What the data set says of itself."""
        ...

    @property
    def annotations(self) -> Sequence[Annotation]:
        """All annotated stretches, in the order of the data."""
        ...

    def read(self, episode: int, start: int, end: int, keys: Sequence[str]) -> Frames:
        """Frames `start` to `end` (excluded) of an episode.

        Args:
            episode: Which episode.
            start: First frame, counted within the episode.
            end: One past the last.
            keys: Which of `FRAME_KEYS`.

        Raises:
            DataError: A frame is missing or damaged; the message names the file.
        """
        ...
