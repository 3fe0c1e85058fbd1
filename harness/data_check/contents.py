"""Reads frames of a data set, and checks whether a policy can learn from their actions."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Float32

from calvinbench.harness.data_check.files import Problem
from calvinbench.policies.demonstrations.calvin_layout import CalvinLayout
from calvinbench.policies.demonstrations.demonstrations import (
    FRAME_KEYS,
    IMAGE_KEYS,
    Annotation,
    DataError,
    Demonstrations,
)

_AXES = ("x", "y", "z", "roll", "pitch", "yaw")
_AT_ONCE = 64
_TINY = 0.1
"""If all motions of a data set are smaller, they are probably in metres. Those of CALVIN and our expert reach 1."""
_ENOUGH = 20
"""Fewest frames for a conclusion from the size of actions."""


@dataclass(frozen=True, slots=True)
class Actions:
    """Statistics of the relative actions of the frames that were read.

    Attributes:
        low: Minimum of each of the six pose numbers.
        high: Maximum of each.
        gripper: Number of occurrences of each gripper value.
        mean_size: Mean absolute value of each pose number.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    gripper: Mapping[str, int]
    mean_size: tuple[float, ...] = ()

    def in_words(self) -> str:
        """The statistics in one line."""
        poses = ", ".join(
            f"{axis} {low:.2f} to {high:.2f} (mean size {size:.2g})"
            for axis, low, high, size in zip(_AXES, self.low, self.high, self.mean_size, strict=True)
        )
        return f"{poses}; gripper {', '.join(f'{value} ({count} times)' for value, count in self.gripper.items())}"


@dataclass(frozen=True, slots=True)
class Contents:
    """The contents of a split.

    Attributes:
        num_episodes: Stretches of consecutive frames.
        num_read: Frames that were opened.
        num_there: All frames of the split.
        actions: Statistics of the readable frames; None without any.
        problems: Problems of the frames.
    """

    num_episodes: int
    num_read: int
    num_there: int
    actions: Actions | None
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Consecutive frames that are read at once."""

    episode: int
    start: int
    end: int
    is_annotated: bool


def describe_contents(
    data: Demonstrations,
    num_frames: int | None,
    told: frozenset[str],
    on_frame: Callable[[int, int], None],
) -> Contents:
    """Reads frames of a split.

    Args:
        data: The split.
        num_frames: How many frames, spread evenly over the demonstrations; None for all.
        told: Names of files with damage that was reported already.
        on_frame: Called with the number of frames read, and of all frames to read.
    """
    stretches = list(_all(data) if num_frames is None else _sample(data, num_frames))
    total = sum(stretch.end - stretch.start for stretch in stretches)
    taken: list[Any] = []
    failures: list[tuple[str, bool]] = []
    done = 0
    for stretch in stretches:
        for first, last, read in _read(data, stretch):
            if isinstance(read, DataError):
                if not any(name in str(read) for name in told):
                    failures.append((str(read), stretch.is_annotated))
            else:
                taken.append(read)
            done += last - first
            on_frame(done, total)
    actions = np.concatenate(taken) if taken else np.zeros((0, 7), np.float32)
    episodes = {annotation.episode for annotation in data.annotations}
    num_episodes = data.num_episodes if isinstance(data, CalvinLayout) else len(episodes)
    problems = (*_of_failures(failures, total), *action_problems(actions))
    num_there = sum(stretch.end - stretch.start for stretch in _all(data))
    return Contents(num_episodes, total, num_there, _summary(actions), problems)


def _all(data: Demonstrations) -> Iterator[_Stretch]:
    """Every frame once: all frames in CALVIN's layout, otherwise those up to an episode's last demonstration."""
    lengths: dict[int, int] = {}
    for annotation in data.annotations:
        lengths[annotation.episode] = max(annotation.end, lengths.get(annotation.episode, 0))
    if isinstance(data, CalvinLayout):
        lengths = {episode: data.episode_length(episode) for episode in range(data.num_episodes)}
    annotated = {episode: np.zeros(length, dtype=bool) for episode, length in lengths.items()}
    for annotation in data.annotations:
        annotated[annotation.episode][annotation.start : annotation.end] = True
    for episode, mask in annotated.items():
        edges = [0, *(np.flatnonzero(np.diff(mask)) + 1).tolist(), len(mask)]
        for start, end in pairwise(edges):
            for first in range(start, end, _AT_ONCE):
                yield _Stretch(episode, first, min(first + _AT_ONCE, end), bool(mask[start]))


def _sample(data: Demonstrations, num_frames: int) -> Iterator[_Stretch]:
    """Single frames, see `_spread`."""
    return _spread(data.annotations, num_frames)


def _spread(annotations: Sequence[Annotation], num_frames: int) -> Iterator[_Stretch]:
    """Single frames at even distances over all demonstrations, including the first and the last frame."""
    ends = np.cumsum([annotation.num_frames for annotation in annotations])
    if not ends.size:
        return
    for place in np.unique(np.linspace(0, ends[-1] - 1, min(num_frames, int(ends[-1]))).round().astype(int)).tolist():
        index = int(np.searchsorted(ends, place, side="right"))
        annotation = annotations[index]
        frame = annotation.end - int(ends[index]) + place
        yield _Stretch(annotation.episode, frame, frame + 1, is_annotated=True)


def _read(data: Demonstrations, stretch: _Stretch) -> Iterator[tuple[int, int, Any]]:
    """Actions of a stretch. If it cannot be read at once, frame by frame, each with its actions or its error."""
    try:
        there = {f"rgb_{camera}" for camera in data.description.image_sizes}
        keys = [key for key in FRAME_KEYS if key in there or key not in IMAGE_KEYS]
        yield stretch.start, stretch.end, data.read(stretch.episode, stretch.start, stretch.end, keys).rel_actions
    except DataError as error:
        if stretch.end - stretch.start == 1:
            yield stretch.start, stretch.end, error
            return
        for frame in range(stretch.start, stretch.end):
            yield from _read(data, _Stretch(stretch.episode, frame, frame + 1, stretch.is_annotated))


def _of_failures(failures: list[tuple[str, bool]], total: int) -> list[Problem]:
    words = list(dict.fromkeys(said for said, _ in failures))
    if not words:
        return []
    annotated = any(is_annotated for _, is_annotated in failures)
    effect = "" if annotated else " No demonstration needs them."
    return [
        Problem(f"{len(words)} of {total} frames cannot be read; the first: {words[0]}{effect}", is_fatal=annotated)
    ]


def sample_actions(data: Demonstrations, num_frames: int, tasks: Sequence[str] = ()) -> Float32[np.ndarray, "N 7"]:
    """Reads the actions of some frames, spread evenly over the demonstrations.

    Args:
        data: The split.
        num_frames: How many frames.
        tasks: Only frames of these tasks; empty for all.

    Raises:
        DataError: A frame cannot be read.
    """
    chosen = [annotation for annotation in data.annotations if not tasks or annotation.task in tasks]
    taken = [
        data.read(stretch.episode, stretch.start, stretch.end, ("rel_actions",)).rel_actions
        for stretch in _spread(chosen, num_frames)
    ]
    return np.concatenate([actions for actions in taken if actions is not None] or [np.zeros((0, 7), np.float32)])


def action_problems(actions: Float32[np.ndarray, "N 7"]) -> list[Problem]:
    """Problems of actions, compared with CALVIN's: range, size, and values of the gripper."""
    if not actions.size:
        return []
    problems = []
    sizes = np.abs(actions[:, :6])
    if not np.isfinite(actions).all():
        count = int((~np.isfinite(actions).all(axis=1)).sum())
        problems.append(
            Problem(
                f"expected finite actions, got NaN or infinity in {count} frames. Record those episodes again.",
                is_fatal=True,
            )
        )
    elif sizes.max() > 1.0 + 1e-6:
        share = float((sizes > 1.0 + 1e-6).any(axis=1).mean())
        problems.append(
            Problem(
                f"expected rel_actions within [-1, 1], got {float(sizes.max()):.3g}, and {100 * share:.3g}% of frames "
                "have one beyond: they are not scaled as CALVIN's (0.02 m and 0.05 rad are 1). Divide them by that, "
                "and clip them.",
                is_fatal=True,
            )
        )
    elif len(actions) >= _ENOUGH and (reach := float(np.quantile(sizes[:, :3].max(axis=1), 0.99))) < _TINY:
        problems.append(
            Problem(
                f"99% of motions are smaller than {reach:.2g} in x, y and z; CALVIN's reach 1, which is 0.02 m a step. "
                "If they are in metres, divide them by 0.02, and the rotations, in radians, by 0.05.",
                is_fatal=False,
            )
        )
    if not np.isin(actions[:, 6], (-1.0, 1.0)).all():
        values = sorted(set(actions[:, 6].tolist()) - {-1.0, 1.0})
        hint = " They look like 0 (closed) and 1 (open): 2 * gripper - 1 is CALVIN's." if values == [0.0] else ""
        problems.append(
            Problem(
                f"expected a gripper of -1 (close) or 1 (open) in each action, got {values[:5]} as well.{hint}",
                is_fatal=True,
            )
        )
    return problems


def _summary(actions: Float32[np.ndarray, "N 7"]) -> Actions | None:
    if not actions.size:
        return None
    values, counts = np.unique(actions[:, 6], return_counts=True)
    gripper = {f"{value:g}": int(count) for value, count in zip(values.tolist(), counts.tolist(), strict=True)}
    low, high = actions[:, :6].min(axis=0), actions[:, :6].max(axis=0)
    sizes = np.abs(actions[:, :6]).mean(axis=0)
    return Actions(tuple(low.tolist()), tuple(high.tolist()), gripper, tuple(sizes.tolist()))
