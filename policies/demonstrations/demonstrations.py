"""The interface between training and data sets of any format."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, UInt8

IMAGE_KEYS = ("rgb_static", "rgb_gripper")
FRAME_KEYS = (*IMAGE_KEYS, "rel_actions", "robot_obs")
"""The arrays of a frame that can be read."""


class DataError(ValueError):
    """A data set is missing, incomplete or of another kind. The message says what to do."""


@dataclass(frozen=True, slots=True)
class Annotation:
    """A stretch of an episode in which one subtask is solved.

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
        """Number of frames."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Frames:
    """Consecutive frames of one episode. Arrays that were not requested are None.

    Attributes:
        rgb_static: Images of the static camera.
        rgb_gripper: Images of the gripper camera.
        rel_actions: Relative actions as labels: pose in [-1, 1], gripper -1 (close) or +1 (open).
        robot_obs: State of the robot, see `calvinbench.envs.observation`.
    """

    rgb_static: UInt8[np.ndarray, "T H W 3"] | None = None
    rgb_gripper: UInt8[np.ndarray, "T h w 3"] | None = None
    rel_actions: Float32[np.ndarray, "T 7"] | None = None
    robot_obs: Float32[np.ndarray, "T 15"] | None = None


@dataclass(frozen=True, slots=True)
class DataDescription:
    """The description of a data set.

    Attributes:
        form: The format, `"compact"` or `"calvin"`.
        path: The folder.
        image_sizes: Width and height of the images in pixels, by camera (`static`, `gripper`).
        details: Facts that the recorder noted (scene, digests, noise, seed), as JSON. For CALVIN's own data only the
            `scene`, `"D"` or `"ABC"`; None if its files do not name it.
    """

    form: str
    path: str
    image_sizes: Mapping[str, int]
    details: Mapping[str, Any] = field(default_factory=dict)


@runtime_checkable
class Demonstrations(Protocol):
    """One split (`training` or `validation`) of a data set. Frames are read at random access and not kept in memory."""

    @property
    def description(self) -> DataDescription:
        """The description of the data set."""
        ...

    @property
    def annotations(self) -> Sequence[Annotation]:
        """All annotated stretches, in the order of the data."""
        ...

    def read(self, episode: int, start: int, end: int, keys: Sequence[str]) -> Frames:
        """Frames `start` to `end` (excluded) of an episode.

        Args:
            episode: Number of the episode.
            start: First frame, counted within the episode.
            end: One past the last frame.
            keys: Which of `FRAME_KEYS`.

        Raises:
            DataError: A frame is missing or damaged; the message names the file.
        """
        ...
