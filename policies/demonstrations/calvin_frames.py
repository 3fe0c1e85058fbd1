"""One time step in CALVIN's layout: a compressed archive of arrays, `episode_0000000.npz`."""

import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from calvinbench.envs.observation import ROBOT_OBS_DIM, SCENE_OBS_DIM
from calvinbench.envs.system.atomic_write import whole_file
from calvinbench.policies.demonstrations.demonstrations import DataError

FRAME_FILE = re.compile(r"episode_(\d+)\.npz")
"""A frame's file name, around its number."""
NUM_DIGITS = 7
"""Digits of the number in names that CALVIN's own recorder writes."""
LOW_DIMENSIONAL: Mapping[str, int] = {
    "actions": 7,
    "rel_actions": 7,
    "robot_obs": ROBOT_OBS_DIM,
    "scene_obs": SCENE_OBS_DIM,
}
"""Sizes of a frame's vectors. They are float64, as calvin_env's `datarenderer.py` saves them."""
EXPERT_PREFIX = "expert_"
EXPERT_ACTIONS: Mapping[str, int] = {f"{EXPERT_PREFIX}actions": 7, f"{EXPERT_PREFIX}rel_actions": 7}
"""Arrays that our recorder adds: the expert's actions, without the noise of the executed ones."""
CAMERAS = ("static", "gripper")


def frame_name(number: int, num_digits: int = NUM_DIGITS) -> str:
    """The file name of a frame."""
    return f"episode_{number:0{num_digits}d}.npz"


def read_arrays(file: Path, keys: Sequence[str], optional: Sequence[str] = ()) -> dict[str, Any]:
    """Some arrays of a frame. The others are not decompressed.

    Args:
        file: The frame's file.
        keys: The arrays that are needed.
        optional: Further arrays, which are read if the frame has them.

    Raises:
        DataError: The file is missing, cut off or damaged, or an array is missing.
    """
    try:
        with np.load(file, allow_pickle=False) as kept:
            content = {key: np.asarray(kept[key]) for key in (*keys, *optional) if key in kept.files}
            found = list(kept.files)
    except FileNotFoundError as error:
        raise DataError(
            f"expected a frame at '{file}', but there is no such file. The data set is incomplete. Extract or copy "
            "it again. `calvinbench data check` says what else is missing."
        ) from error
    except (OSError, EOFError, ValueError, AttributeError, NotImplementedError, zipfile.error) as error:
        raise DataError(
            f"expected a complete frame in '{file}', but it is {_what_is_wrong(file, error)}. Copy or download it "
            "again."
        ) from error
    for key in keys:
        if key not in content:
            raise DataError(
                f"expected {key} in '{file}', found none: it has {', '.join(found) or 'no arrays'}. It is not a frame "
                "of a CALVIN data set, or arrays were removed from it."
            )
    return content


def _what_is_wrong(file: Path, error: Exception) -> str:
    """Describes why a file could not be read."""
    try:
        with file.open("rb") as opened:
            head = opened.read(len(_LFS_HEAD))
    except OSError:
        return f"cut off or damaged ({error})"
    if not head:
        return "empty: cut off or damaged"
    if head == _LFS_HEAD:
        return "a git-lfs pointer and not the file itself (run `git lfs pull` to get it)"
    return f"cut off or damaged ({error})"


_LFS_HEAD = b"version https://git-lfs"


def write_frame(folder: Path, number: int, arrays: Mapping[str, Any]) -> Path:
    """Writes one frame in the format of CALVIN's own recorder, and replaces an existing file.

    Args:
        folder: The split's folder. It is created if necessary.
        number: The frame's number in the split.
        arrays: `rgb_static` and `rgb_gripper` (uint8, square, three colours), `actions` (7, absolute), `rel_actions`
            (7), `robot_obs` (15), `scene_obs` (24). If known, also `depth_static` and `depth_gripper` (metres), and
            `expert_actions` and `expert_rel_actions`, the labels where they differ from the executed actions.

    Returns:
        The file.

    Raises:
        ValueError: An array is missing or unknown, has another shape or type, is not finite, or is an action that
            CALVIN does not have.
    """
    content = _checked(arrays)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / frame_name(number)
    with whole_file(file) as temporary, temporary.open("wb") as opened:
        np.savez_compressed(opened, **content)
    return file


def _checked(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Checks the arrays, and converts them to upstream's types."""
    required = {*(f"rgb_{camera}" for camera in CAMERAS), *LOW_DIMENSIONAL}
    if missing := required - arrays.keys():
        raise ValueError(f"expected {', '.join(sorted(required))} in a frame, got no {', '.join(sorted(missing))}.")
    if unknown := arrays.keys() - required - {f"depth_{camera}" for camera in CAMERAS} - EXPERT_ACTIONS.keys():
        raise ValueError(f"expected only arrays of a CALVIN frame, got also {', '.join(sorted(unknown))}.")
    vectors = {**LOW_DIMENSIONAL, **{key: dim for key, dim in EXPERT_ACTIONS.items() if key in arrays}}
    content = {key: _checked_vector(key, np.asarray(arrays[key]), dim) for key, dim in vectors.items()}
    for key, vector in content.items():
        if key.endswith("rel_actions") and np.abs(vector).max() > 1.0:
            raise ValueError(f"expected {key} within [-1, 1], got {vector.tolist()}.")
    for camera in CAMERAS:
        content |= _checked_images(camera, arrays)
    return content


def _checked_vector(key: str, vector: Any, dim: int) -> Any:
    """Checks a vector's size, that it is finite, and the gripper of an action."""
    if vector.shape != (dim,):
        raise ValueError(f"expected {key} of shape ({dim},), got shape {vector.shape}.")
    if not np.isfinite(vector).all():
        raise ValueError(f"expected finite numbers in {key}, got {vector.tolist()}.")
    if key.endswith("actions") and vector[6] not in (-1.0, 1.0):
        raise ValueError(f"expected the gripper of {key} to be -1 (close) or 1 (open), got {vector[6]}.")
    return vector.astype(np.float64)


def _checked_images(camera: str, arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Checks a camera's image, and its depth if there is one."""
    rgb, depth = np.asarray(arrays[f"rgb_{camera}"]), arrays.get(f"depth_{camera}")
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[0] != rgb.shape[1] or rgb.shape[2] != 3:
        raise ValueError(f"expected rgb_{camera} to be a square image, uint8 H x H x 3, got {rgb.dtype} {rgb.shape}.")
    if depth is None:
        return {f"rgb_{camera}": rgb}
    if np.shape(depth) != rgb.shape[:2]:
        raise ValueError(f"expected depth_{camera} of the image's shape {rgb.shape[:2]}, got {np.shape(depth)}.")
    return {f"rgb_{camera}": rgb, f"depth_{camera}": np.asarray(depth, dtype=np.float32)}
