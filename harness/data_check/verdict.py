"""Checks a data set of either format: whether it is complete, what it contains, and how to fix problems."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from calvinbench.envs.tasks import TASKS
from calvinbench.harness.data_check.annotations import annotation_problems
from calvinbench.harness.data_check.contents import Actions, Contents, describe_contents
from calvinbench.harness.data_check.files import Problem, examine_calvin_files, examine_compact_files
from calvinbench.policies.demonstrations.calvin_layout import CalvinLayout
from calvinbench.policies.demonstrations.calvin_scenes import doubt_of_splits
from calvinbench.policies.demonstrations.compact import COMPACT
from calvinbench.policies.demonstrations.demonstrations import DataError, Demonstrations
from calvinbench.policies.demonstrations.opening import SPLITS, TRAINING, VALIDATION, find_format, open_data

DEFAULT_FRAMES = 500
"""Frames of a split that are opened by default."""
_SAY_SCENES = "Say which it is when you train on it: calvinbench train --data-scenes D, for example."
_COUNTS = ("num_read", "num_there")
OnFrame = Callable[[str, int, int], None]
"""Called with a split, the number of frames read, and the number of frames to read."""


@dataclass(frozen=True, slots=True)
class SplitCheck:
    """The result of the check of a split.

    Attributes:
        split: `training` or `validation`.
        num_episodes: Stretches of consecutive frames.
        num_demonstrations: Annotated stretches.
        tasks: Number of demonstrations of each task.
        num_frames: Frames of all demonstrations; a frame in several demonstrations counts in each.
        shortest: Frames of the shortest demonstration; 0 without demonstrations.
        median: Median number of frames of a demonstration.
        longest: Frames of the longest demonstration.
        picture_sizes: Width and height of the images in pixels, by camera.
        num_read: Frames that were opened.
        num_there: All frames of the split.
        actions: Statistics of their actions; None if no frame could be read.
        scenes: The scenes of the data, such as `D` or `ABC`; None if the data do not name them.
        problems: Problems of the split.
    """

    split: str
    num_episodes: int = 0
    num_demonstrations: int = 0
    tasks: Mapping[str, int] | None = None
    num_frames: int = 0
    shortest: int = 0
    median: float = 0.0
    longest: int = 0
    picture_sizes: Mapping[str, int] | None = None
    num_read: int = 0
    num_there: int = 0
    actions: Actions | None = None
    scenes: str | None = None
    problems: tuple[Problem, ...] = ()

    @property
    def is_usable(self) -> bool:
        """Whether a policy could be trained on the split."""
        return not any(problem.is_fatal for problem in self.problems)


@dataclass(frozen=True, slots=True)
class DataCheck:
    """The result of the check of a data set.

    Attributes:
        path: The folder.
        form: The format, `compact` or `calvin`; empty if there is no data set.
        splits: One entry per split.
        problems: Problems of the whole data set.
    """

    path: str
    form: str
    splits: tuple[SplitCheck, ...]
    problems: tuple[Problem, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether no problem was found."""
        return not self.problems and not any(split.problems for split in self.splits)

    @property
    def is_usable(self) -> bool:
        """Whether a policy could be trained on the training split."""
        fatal = any(problem.is_fatal for problem in self.problems)
        return not fatal and all(split.is_usable for split in self.splits if split.split == TRAINING)

    def verdict(self) -> str:
        """One line: `complete`, `usable: ...` or `not usable: ...`, with the worst problem and its remedy.

        If not all frames were opened, `complete as far as checked (...)`.
        """
        if self.is_whole:
            num_read, num_there = (sum(getattr(split, name) for split in self.splits) for name in _COUNTS)
            return (
                "complete"
                if num_read == num_there
                else f"complete as far as checked ({num_read} of {num_there} frames)"
            )
        found = [problem.words for problem in self.problems if problem.is_fatal or self.is_usable]
        for split in self.splits:
            telling = [problem for problem in split.problems if problem.is_fatal or self.is_usable]
            if telling and (self.is_usable or split.split == TRAINING):
                found += [f"{split.split}: {problem.words}" for problem in telling]
        more = f" (and {len(found) - 1} more, below)" if len(found) > 1 else ""
        return f"{'usable' if self.is_usable else 'not usable'}: {found[0]}{more}"

    def lines(self) -> list[str]:
        """The result as text, the verdict first."""
        lines = [self.verdict()]
        if not self.form:
            return lines
        lines.append(f"{self.path}: {'our compact form' if self.form == COMPACT else 'CALVIN layout'}")
        for split in self.splits:
            lines += _split_lines(split)
        problems = [f"  {problem.words}" for problem in self.problems]
        problems += [f"  {split.split}: {problem.words}" for split in self.splits for problem in split.problems]
        return [*lines, *(["What is wrong:", *problems] if problems else []), *self._task_lines()]

    def _task_lines(self) -> list[str]:
        """One line per task with demonstrations, then the names of the tasks without."""
        counts = {split.split: split.tasks or {} for split in self.splits}
        found = sorted(
            {task for tasks in counts.values() for task in tasks}, key=lambda task: (task not in TASKS, task)
        )
        if not found:
            return []
        header = f"{'demonstrations of':30}" + "".join(f"{split:>12}" for split in counts)
        rows = [
            f"{task:30}"
            + "".join(f"{tasks.get(task, 0):12}" for tasks in counts.values())
            + ("" if task in TASKS else "  (none of CALVIN's tasks)")
            for task in found
        ]
        absent = [task for task in TASKS if task not in found]
        return [header, *rows, *([f"None of: {', '.join(absent)}"] if absent else [])]


def check_data(
    path: Path,
    all_frames: bool = False,
    num_frames: int = DEFAULT_FRAMES,
    on_frame: OnFrame = lambda split, done, total: None,
) -> DataCheck:
    """Checks a data set. It checks that all files exist, and reads a sample of the frames.

    Args:
        path: The folder of `training/` and `validation/`.
        all_frames: Open every frame.
        num_frames: How many frames to open in a split otherwise, spread evenly over the demonstrations.
        on_frame: Called as frames are read.
    """
    try:
        form = find_format(path)
    except DataError as error:
        return DataCheck(str(path), "", (), (Problem(str(error), is_fatal=True),))
    wanted = None if all_frames else num_frames
    splits = tuple(_check_split(path, form, split, wanted, on_frame) for split in SPLITS)
    return DataCheck(str(path), form, splits, _problems_of_all(path, splits))


def _check_split(path: Path, form: str, split: str, num_frames: int | None, on_frame: OnFrame) -> SplitCheck:
    """Checks one split: its files, then its frames through the interface that training uses."""
    examine = examine_compact_files if form == COMPACT else examine_calvin_files
    files = examine(path, split)
    if any(problem.is_fatal for problem in files.problems) and not files.can_be_opened:
        return SplitCheck(split, problems=files.problems)
    try:
        data = open_data(path, split)
        contents: Contents = describe_contents(
            data, num_frames, files.unreadable, lambda done, total: on_frame(split, done, total)
        )
    except DataError as error:
        said = () if any(problem.is_fatal for problem in files.problems) else (Problem(str(error), is_fatal=True),)
        return SplitCheck(split, problems=(*files.problems, *said))
    lengths = [annotation.num_frames for annotation in data.annotations]
    tasks = Counter(annotation.task for annotation in data.annotations)
    return SplitCheck(
        split=split,
        num_episodes=contents.num_episodes,
        num_demonstrations=len(lengths),
        tasks=dict(sorted(tasks.items())),
        num_frames=sum(lengths),
        shortest=min(lengths, default=0),
        median=float(np.median(lengths)) if lengths else 0.0,
        longest=max(lengths, default=0),
        picture_sizes=dict(data.description.image_sizes),
        num_read=contents.num_read,
        num_there=contents.num_there,
        actions=contents.actions,
        scenes=data.description.details.get("scene"),
        problems=(*files.problems, *annotation_problems(data, split), *contents.problems, *_scene_problems(data)),
    )


def _scene_problems(data: Demonstrations) -> list[Problem]:
    """Contradictions between the files of a split about its scene."""
    doubts = data.scene_doubts if isinstance(data, CalvinLayout) else ()
    return [Problem(f"{doubt}. {_SAY_SCENES}", is_fatal=False) for doubt in doubts]


def _problems_of_all(path: Path, splits: tuple[SplitCheck, ...]) -> tuple[Problem, ...]:
    """Problems of the data set as a whole."""
    problems = []
    scenes = {split.split: split.scenes for split in splits}
    if doubt := doubt_of_splits(scenes.get(TRAINING), scenes.get(VALIDATION)):
        problems.append(Problem(f"{doubt}. {_SAY_SCENES}", is_fatal=False))
    if (path / "unfinished").is_dir():
        problems.append(
            Problem(
                f"it is still being recorded, or recording was stopped: '{path / 'unfinished'}' holds episodes. "
                "Run the same `calvinbench record` again: it finishes and moves them to their place.",
                is_fatal=not any(split.is_usable for split in splits if split.split == TRAINING),
            )
        )
    if "debug" in path.resolve().name:
        problems.append(
            Problem(
                "by its name this is CALVIN's debug set of some minutes: enough to try a training, too "
                "little to learn from. Download task_D_D (166 GB) or another for that.",
                is_fatal=False,
            )
        )
    return tuple(problems)


def _split_lines(split: SplitCheck) -> list[str]:
    if not split.num_demonstrations:
        return [f"{split.split}: nothing that can be read"]
    sizes = " and ".join(f"{size} ({camera})" for camera, size in (split.picture_sizes or {}).items())
    lines = [
        f"{split.split}: {split.num_demonstrations} demonstrations of {len(split.tasks or {})} tasks in "
        f"{split.num_episodes} episodes, {split.num_frames} frames; {split.shortest} to {split.longest} frames each, "
        f"median {split.median:g}; images of {sizes} pixels; scene {split.scenes or 'not known'}"
    ]
    if split.actions is not None:
        lines.append(f"  of {split.num_read} frames read: {split.actions.in_words()}")
    return lines
