"""Which of CALVIN's scenes frames are of: `scene_info.npy` says it, or `.hydra/merged_config.yaml` beside it."""

import re
from pathlib import Path

from calvinbench.envs.scene import SCENES
from calvinbench.policies.demonstrations.calvin_pickle import load_dictionary
from calvinbench.policies.demonstrations.demonstrations import DataError

INFO_FILE = "scene_info.npy"
_CONFIG_FILE = Path(".hydra") / "merged_config.yaml"
_SCENE_NAME = re.compile(r"calvin_scene_([A-D])")
_TABLE_NAME = re.compile(r"calvin_table_([A-D])")


def scenes_by_info(info: Path, first: int, last: int) -> tuple[str, ...]:
    """The scenes that a `scene_info.npy` has for some frames, such as `("A", "B", "C")`; none where it has not.

    Args:
        info: The file: the name of each scene with its first and last frame.
        first: Number of the first frame.
        last: Number of the last one.

    Raises:
        DataError: The file is damaged, or something else.
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
            f"{type(error).__name__}: {error}. Download it again, or give the scene by --scene D."
        ) from error
    return tuple(sorted(scenes))


def find_config(split: Path) -> tuple[str, Path] | None:
    """The scene that `.hydra/merged_config.yaml` in a split's folder, or above it, names, and that file; None without.

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


def find_scenes(split: Path, first: int, last: int) -> str | None:
    """The scenes of a split as CALVIN names its splits by them, such as `"D"` or `"ABC"`; None if nothing says it.

    Args:
        split: The split's folder.
        first: Number of its first frame.
        last: Number of its last one.

    Raises:
        DataError: A `scene_info.npy` is damaged.
    """
    for folder in (split, split.parent):
        if (folder / INFO_FILE).is_file() and (scenes := scenes_by_info(folder / INFO_FILE, first, last)):
            return "".join(scenes) if all(len(scene) == 1 for scene in scenes) else ", ".join(scenes)
    found = find_config(split)
    return None if found is None else found[0]
