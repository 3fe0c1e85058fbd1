"""Training samples: windows of frames within one annotation, with the actions that follow each frame.

The windows and their order in an epoch depend only on the random seed and the epoch. So a training resumes exactly, and
processes need not communicate about them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from calvinbench.policies.backbones.images.pil_resize import resize_with_pil
from calvinbench.policies.demonstrations.augmentation import draw_shifts, shift_images
from calvinbench.policies.demonstrations.demonstrations import Annotation, DataError, Demonstrations

NATIVE_SIZES: Mapping[str, int] = {"static": 200, "gripper": 84}
"""Image sizes that shifts refer to. Shifts of images of another size are scaled."""
_GRIPPER = 6


@dataclass(frozen=True, slots=True)
class WindowSettings:
    """How windows are cut.

    Attributes:
        num_frames: Frames of a window.
        from_start: Whether each window begins where its annotation begins. This is for an unbounded memory, because the
            head then remembers everything that it has seen. Longer annotations are cut off at `num_frames`.
        stride: Frames between the starts of windows that are completely within an annotation. The first window begins
            at the annotation's first frame. 1 gives RoboVLMs' windows. As there, annotations shorter than a window have
            none. None means as many windows as cover an annotation, at random places that differ in each epoch; shorter
            annotations are padded.
        chunk_length: Actions of a label.
        cameras: Cameras whose images are read.
        reads_robot: Whether `robot_obs` is read.
        input_sizes: Width and height in pixels by camera to which images are resized, as the backbone would do. None
            keeps their size.
        resample: The filter, one of `pil_resize.FILTERS`.
        static_shift: Largest random shift of the static camera's images, in pixels of the native image.
        gripper_shift: The same for the gripper camera.
        same_shift_in_window: Whether all frames of a window are shifted alike.
        paraphrases: Sentences by task to draw from; None for the sentences of the data set.
        seed: Random seed.
    """

    num_frames: int
    chunk_length: int
    from_start: bool = False
    stride: int | None = None
    cameras: tuple[str, ...] = ("static", "gripper")
    reads_robot: bool = False
    input_sizes: Mapping[str, int] | None = None
    resample: str = "bicubic"
    static_shift: int = 0
    gripper_shift: int = 0
    same_shift_in_window: bool = True
    paraphrases: Mapping[str, Sequence[str]] | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class WindowKey:
    """Identifies a window. The same key gives the same window on every machine.

    Attributes:
        annotation: Index of the annotation.
        part: Index of the window within the annotation.
        epoch: The pass over the data. Random draws differ between epochs.
    """

    annotation: int
    part: int
    epoch: int


@dataclass(frozen=True, slots=True)
class Window:
    """Consecutive frames with the actions that follow each. Frames after the end of the annotation are zeros.

    Attributes:
        images: Images by camera.
        robot_obs: State of the robot; None if it is not read.
        instruction: The sentence.
        task: The task's name.
        actions: The actions from each frame on; zeros where `is_valid` is False.
        is_valid: Where a label is an action of this annotation.
        is_frame: Where there is a frame at all.
        changes_gripper: Where the gripper's label differs from the one a step earlier or a step later.
    """

    images: Mapping[str, UInt8[np.ndarray, "T H W 3"]]
    robot_obs: Float32[np.ndarray, "T 15"] | None
    instruction: str
    task: str
    actions: Float32[np.ndarray, "T K 7"]
    is_valid: Bool[np.ndarray, "T K"]
    is_frame: Bool[np.ndarray, " T"]
    changes_gripper: Bool[np.ndarray, "T K"]


class Windows:
    """All windows of a data set, as torch's data loader reads them: by key."""

    def __init__(self, demonstrations: Demonstrations, settings: WindowSettings, tasks: Sequence[str] | None = None):
        """Counts the windows. Frames are not kept in memory.

        Args:
            demonstrations: The data.
            settings: How windows are cut.
            tasks: Tasks to keep; None for all.

        Raises:
            DataError: There is no annotation of these tasks.
        """
        self._demonstrations = demonstrations
        self._settings = settings
        self._annotations = tuple(a for a in demonstrations.annotations if tasks is None or a.task in tasks)
        if not self._annotations:
            raise DataError(
                f"expected annotated demonstrations{'' if tasks is None else f' of {list(tasks)}'} in "
                f"'{demonstrations.description.path}', found none. `calvinbench data check` shows what the data have."
            )
        self._parts = np.array([self._num_parts(a) for a in self._annotations])
        if not self._parts.any():
            raise DataError(
                f"expected annotations of at least a window's {settings.num_frames} frames in "
                f"'{demonstrations.description.path}', got none of more than "
                f"{max(a.num_frames for a in self._annotations)}. Set a smaller window, or leave window_stride out. "
                "Then shorter annotations are padded."
            )
        sizes = demonstrations.description.image_sizes
        if missing := [camera for camera in settings.cameras if camera not in sizes]:
            raise DataError(
                f"expected images of the {' and '.join(missing)} camera in '{demonstrations.description.path}', but "
                f"its frames have only those of {' and '.join(sizes)}. Train with cameras={'+'.join(sizes)} in the "
                "policy's spec."
            )
        native = {"static": settings.static_shift, "gripper": settings.gripper_shift}
        self._shifts = {
            camera: round(native[camera] * sizes[camera] / NATIVE_SIZES[camera]) for camera in settings.cameras
        }

    def __len__(self) -> int:
        """Number of windows of an epoch."""
        return int(self._parts.sum())

    @property
    def annotations(self) -> tuple[Annotation, ...]:
        """The annotations that windows are cut from."""
        return self._annotations

    @property
    def num_frames(self) -> int:
        """Number of frames of all annotations."""
        return sum(a.num_frames for a in self._annotations)

    @property
    def reach(self) -> float:
        """Share of the annotations' frames that are in windows, in 0..1. Training never uses the others."""
        pairs = zip(self._annotations, self._parts.tolist(), strict=True)
        return sum(self._num_reached(annotation, parts) for annotation, parts in pairs) / self.num_frames

    def order(self, epoch: int) -> list[WindowKey]:
        """The keys of an epoch, shuffled."""
        annotation = np.repeat(np.arange(len(self._parts)), self._parts)
        part = np.concatenate([np.arange(count) for count in self._parts])
        shuffled = np.random.default_rng([self._settings.seed, epoch]).permutation(len(annotation))
        return [WindowKey(int(annotation[index]), int(part[index]), epoch) for index in shuffled]

    def __getitem__(self, key: WindowKey) -> Window:
        """Reads one window.

        Raises:
            DataError: A frame is missing or damaged.
        """
        annotation, settings = self._annotations[key.annotation], self._settings
        generator = np.random.default_rng([settings.seed, key.epoch, key.annotation, key.part])
        start = annotation.start + self._offset(annotation, key.part, generator)
        end = min(start + settings.num_frames, annotation.end)
        episode, read = annotation.episode, self._demonstrations.read
        keys = [f"rgb_{camera}" for camera in settings.cameras] + ["robot_obs"] * settings.reads_robot
        frames = read(episode, start, end, keys)
        # One more label on either side, to see whether the gripper changes there.
        before, behind = max(start - 1, annotation.start), min(end + settings.chunk_length, annotation.end)
        labels = read(episode, before, behind, ("rel_actions",)).rel_actions
        assert labels is not None  # noqa: S101  it was requested
        if not np.isfinite(labels).all():
            raise DataError(
                f"expected finite actions in frames {before} to {behind - 1} of episode {episode} of "
                f"'{self._demonstrations.description.path}', got NaN or infinity. Find all: calvinbench data check "
                "--all-frames. Record those episodes again."
            )
        actions, is_valid, changes = self._labels(labels, start - before, end - start)
        images = {}
        for camera in settings.cameras:
            seen = frames.rgb_static if camera == "static" else frames.rgb_gripper
            assert seen is not None  # noqa: S101  as above
            shifts = draw_shifts(
                generator, end - start, self._shifts[camera], same_in_window=settings.same_shift_in_window
            )
            moved = shift_images(seen, shifts)
            if settings.input_sizes is not None:
                moved = resize_with_pil(moved, settings.input_sizes[camera], settings.resample)
            images[camera] = self._padded(moved)
        return Window(
            images=images,
            robot_obs=None if frames.robot_obs is None else self._padded(frames.robot_obs.astype(np.float32)),
            instruction=self._sentence(annotation, generator),
            task=annotation.task,
            actions=self._padded(actions),
            is_valid=self._padded(is_valid),
            is_frame=np.arange(settings.num_frames) < end - start,
            changes_gripper=self._padded(changes),
        )

    def _num_parts(self, annotation: Annotation) -> int:
        settings = self._settings
        if settings.from_start:
            return 1
        if settings.stride is None:
            return math.ceil(annotation.num_frames / settings.num_frames)
        return max((annotation.num_frames - settings.num_frames) // settings.stride + 1, 0)

    def _num_reached(self, annotation: Annotation, parts: int) -> int:
        """The frames of an annotation that are in windows."""
        settings = self._settings
        if settings.from_start:
            return min(annotation.num_frames, settings.num_frames)
        if settings.stride is None:
            return annotation.num_frames
        return max(parts - 1, 0) * min(settings.stride, settings.num_frames) + min(parts, 1) * settings.num_frames

    def _offset(self, annotation: Annotation, part: int, generator: np.random.Generator) -> int:
        """Where a window begins within its annotation: by the stride, or at random with more weight at the ends.

        Without that weight, the first and the last frame would be in hardly any window. With it, frames at the ends are
        in about as many windows as those in the middle: the outermost in half as many, those a window's length further
        in in up to half as many more.
        """
        if self._settings.stride is not None:
            return part * self._settings.stride
        spare = annotation.num_frames - self._settings.num_frames
        if self._settings.from_start or spare <= 0:
            return 0
        beyond = self._settings.num_frames / 2  # draws beyond an end are moved to the end
        drawn = (part + generator.random()) / self._num_parts(annotation) * (spare + 2 * beyond) - beyond
        return int(np.clip(round(drawn), 0, spare))

    def _labels(
        self, actions: Float32[np.ndarray, "N 7"], skipped: int, num_frames: int
    ) -> tuple[Float32[np.ndarray, "T K 7"], Bool[np.ndarray, "T K"], Bool[np.ndarray, "T K"]]:
        """The chunk of each frame, where it is valid, and where its gripper changes.

        Args:
            actions: From one frame before the window to one behind its last chunk, as far as the annotation has them.
            skipped: Number of these actions before the window.
            num_frames: Frames of the window.
        """
        gripper = actions[:, _GRIPPER]
        steps = np.zeros(len(actions), dtype=bool)
        steps[1:] = gripper[1:] != gripper[:-1]
        changes = steps.copy()
        changes[:-1] |= steps[1:]
        index = np.arange(num_frames)[:, None] + np.arange(self._settings.chunk_length) + skipped  # (T, K)
        is_valid = index < len(actions)
        index = index.clip(max=len(actions) - 1)
        return np.where(is_valid[..., None], actions[index], np.float32(0)), is_valid, changes[index] & is_valid

    def _padded(self, values: np.ndarray) -> np.ndarray:
        """Appends zeros behind the last frame, up to the window's length."""
        missing = self._settings.num_frames - len(values)
        return values if not missing else np.concatenate([values, np.zeros((missing, *values.shape[1:]), values.dtype)])

    def _sentence(self, annotation: Annotation, generator: np.random.Generator) -> str:
        if self._settings.paraphrases is None:
            return annotation.instruction
        sentences = self._settings.paraphrases.get(annotation.task) or (annotation.instruction,)
        return sentences[int(generator.integers(len(sentences)))]
