"""The scenes of CALVIN's frames, from `scene_info.npy` or else from `.hydra/merged_config.yaml`."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from calvinbench.envs.scenes.scene import CALVIN_SCENES, SCENES
from calvinbench.policies.demonstrations.calvin_pickle import load_dictionary
from calvinbench.policies.demonstrations.demonstrations import DataError

INFO_FILE = "scene_info.npy"
_CONFIG_FILE = Path(".hydra") / "merged_config.yaml"
_SCENE_NAME = re.compile(r"calvin_scene_([A-D])")
_TASK_NAME = re.compile(r"task_([A-D]+)_([A-D]+)")
_NAMED_SPLITS: Mapping[str, int] = {"training": 1, "validation": 2}
"""Which part of a folder name such as `task_ABC_D` belongs to which split."""
_TABLE_NAME = re.compile(r"calvin_table_([A-D])")


def scenes_by_info(info: Path, first: int, last: int) -> tuple[str, ...]:
    """The scenes that a `scene_info.npy` gives for some frames, such as `("A", "B", "C")`; empty if there are none.

    Args:
        info: The file. It has the name of each scene with its first and last frame.
        first: Number of the first frame.
        last: Number of the last frame.

    Raises:
        DataError: The file is damaged, or has other content.
    """
    scenes = set()
    try:
        for name, numbers in load_dictionary(info).items():
            match = _SCENE_NAME.search(str(name))
            scene = match.group(1) if match else str(name)
            if scene in SCENES and int(min(numbers)) <= last and first <= int(max(numbers)):
                scenes.add(scene)
    except (ValueError, TypeError) as error:
        raise DataError(
            f"expected a dictionary of scene names and first and last frames in '{info}', got "
            f"{type(error).__name__}: {error}. Download it again, or name the scene by --scene D."
        ) from error
    return tuple(sorted(scenes))


def find_config(split: Path) -> tuple[str, Path] | None:
    """The scene in `.hydra/merged_config.yaml` of a split's folder or the one above, and that file; None without one.

    Args:
        split: The split's folder.
    """
    for folder in (split, split.parent):
        config = folder / _CONFIG_FILE
        if config.is_file():
            tables = set(_TABLE_NAME.findall(config.read_text(encoding="utf-8", errors="replace")))
            if len(tables) == 1:
                return tables.pop(), config
    return None


@dataclass(frozen=True, slots=True)
class FoundScenes:
    """The scenes of a split, according to its files.

    Attributes:
        scenes: The scenes by their letters, such as `"D"` or `"ABC"`; None if no file names them, or if the files
            contradict each other.
        doubts: The contradictions, one sentence each.
    """

    scenes: str | None
    doubts: tuple[str, ...] = ()


def find_scenes(split: Path, first: int, last: int) -> FoundScenes:
    """The scenes of a split, from `scene_info.npy` or else from `.hydra/merged_config.yaml`.

    The frames themselves do not show their scene: `scene_obs` has neither names nor colours. So the files are compared
    with each other and with the folder's name. If they differ, the scenes are unknown.

    Args:
        split: The split's folder.
        first: Number of its first frame.
        last: Number of its last frame.

    Raises:
        DataError: A `scene_info.npy` is damaged.
    """
    config = find_config(split)
    named, is_certain = _scenes_of_name(split), True
    doubts: list[str] = []
    for info in (folder / INFO_FILE for folder in (split, split.parent)):
        if not info.is_file():
            continue
        scenes = scenes_by_info(info, first, last)
        ranges = _range_doubts(info, first, last)
        doubts += ranges.gaps + ranges.overlaps
        is_certain = is_certain and not ranges.overlaps
        if scenes:
            found, origin = _joined(scenes), f"'{info}'"
            break
    else:
        if config is None:
            return FoundScenes(None, tuple(doubts))
        found, origin = config[0], f"'{config[1]}'"
    others = []
    if named is not None and set(named) != set(found):
        others.append(f"the folder's name, '{split.resolve().parent.name}', says {named}")
    if config is not None and config[0] not in found:
        others.append(f"'{config[1]}' says {config[0]}")
    doubts += [f"{origin} says that the frames are of scene {found}, and {other}" for other in others]
    return FoundScenes(found if is_certain and not others else None, tuple(doubts))


def recorded_scenes(split: Path, recorded: str, record: Path, first: int, last: int) -> FoundScenes:
    """The scene of a split that our recorder made. The recorder's file is compared with `scene_info.npy`.

    Args:
        split: The split's folder.
        recorded: The scene in the recorder's file.
        record: The recorder's file.
        first: Number of the split's first frame.
        last: Number of its last frame.

    Raises:
        DataError: `scene_info.npy` is damaged.
    """
    info = split / INFO_FILE
    scenes = scenes_by_info(info, first, last) if info.is_file() else ()
    if not scenes or scenes == (recorded,):
        return FoundScenes(recorded)
    return FoundScenes(
        None, (f"'{info}' says that the frames are of scene {_joined(scenes)}, and '{record}' says {recorded}",)
    )


def doubt_of_splits(training: str | None, validation: str | None) -> str | None:
    """What is unusual about the scenes of two splits, as a sentence; None if they are as in CALVIN's own data.

    Args:
        training: Scenes of the training split.
        validation: Scenes of the validation split.
    """
    if training is None or validation is None or training == validation:
        return None
    if set(training) <= set(CALVIN_SCENES) and len(training) > 1 and len(validation) == 1:
        return None
    return (
        f"training is from scene {training} and validation from scene {validation}, unlike any of CALVIN's data sets "
        "(D, ABC and ABCD for training, D for validation)"
    )


def require_scenes(scenes: str, what: str) -> str:
    """Returns the name of one scene, or of several of CALVIN's such as `"ABC"` in CALVIN's order, or raises an error.

    Args:
        scenes: The name.
        what: The setting that it is a value of, for the message.

    Raises:
        ValueError: There are no such scenes.
    """
    if scenes in SCENES:
        return scenes
    letters = sorted(set(scenes))
    if not scenes or not set(letters) <= set(CALVIN_SCENES) or len(letters) != len(scenes):
        raise ValueError(
            f"expected {what} to be one of {', '.join(SCENES)}, or several of CALVIN's, such as ABC, got '{scenes}'."
        )
    return "".join(letters)


def _joined(scenes: Sequence[str]) -> str:
    return "".join(scenes) if all(len(scene) == 1 for scene in scenes) else ", ".join(scenes)


def _scenes_of_name(split: Path) -> str | None:
    """The scenes that a folder name such as `task_ABC_D` gives for a split; None for another name."""
    match = _TASK_NAME.fullmatch(split.resolve().parent.name)
    return match and match.group(_NAMED_SPLITS[split.name]) if split.name in _NAMED_SPLITS else None


@dataclass(frozen=True, slots=True)
class _RangeDoubts:
    """Describes frames that a `scene_info.npy` gives to no scene or to two scenes."""

    gaps: list[str]
    overlaps: list[str]


def _range_doubts(info: Path, first: int, last: int) -> _RangeDoubts:
    """Compares the ranges of a `scene_info.npy`, which can be read, with each other and with the split's frames."""
    named = load_dictionary(info).items()
    ranges = sorted((int(min(numbers)), int(max(numbers)), str(name)) for name, numbers in named)
    gaps: list[str] = []
    overlaps: list[str] = []
    reached, before = first, ""
    for start, end, name in ranges:
        if before and start < reached and min(end, reached - 1) >= first and start <= last:
            overlaps.append(f"'{info}' gives frames {start} to {min(end, reached - 1)} to {before} and to {name}")
        if reached < start <= last:
            gaps.append(f"'{info}' gives frames {reached} to {start - 1} to no scene")
        if end + 1 > reached:
            reached, before = end + 1, name
    if reached <= last:
        gaps.append(f"'{info}' gives frames {reached} to {last} to no scene")
    return _RangeDoubts(gaps, overlaps)
