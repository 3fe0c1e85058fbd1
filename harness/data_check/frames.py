"""Frames of a data set in CALVIN's layout: finds them, reads them, and determines their scene."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64, UInt8

from calvinbench.envs.observation import CAMERA_SIZES, ROBOT_OBS_DIM, SCENE_OBS_DIM
from calvinbench.policies.demonstrations.calvin_frames import FRAME_FILE, read_arrays
from calvinbench.policies.demonstrations.calvin_scenes import INFO_FILE, find_config, scenes_by_info
from calvinbench.policies.demonstrations.demonstrations import DataError


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One time step of a data set.

    Attributes:
        file: The frame's file.
        robot_obs: State of the robot.
        scene_obs: State of the scene.
        pictures: Images by camera.
    """

    file: Path
    robot_obs: Float64[np.ndarray, "15"]
    scene_obs: Float64[np.ndarray, "24"]
    pictures: Mapping[str, UInt8[np.ndarray, "H W 3"]]


def find_frames(data: Path) -> list[Path]:
    """The files of a data set's frames, sorted.

    Raises:
        DataError: There are no frames.
    """
    for folder in (data, data / "validation", data / "training"):
        if folder.is_dir():
            files = sorted(file for file in folder.iterdir() if FRAME_FILE.fullmatch(file.name))
            if files:
                return files
    raise DataError(
        f"expected a CALVIN data set at '{data}', a folder with episode_0000000.npz and so on or with validation/ or "
        f"training/ that has them, {'found no such file' if data.is_dir() else 'but there is no such folder'}."
    )


def spread(files: Sequence[Path], num_frames: int) -> list[Path]:
    """Chooses files at even distances, including the first and the last."""
    chosen = np.linspace(0, len(files) - 1, min(num_frames, len(files))).round().astype(int)
    return [files[index] for index in dict.fromkeys(chosen.tolist())]


def load_frame(file: Path) -> Frame:
    """Reads one frame.

    Raises:
        DataError: The file is missing, cut off or damaged, or an entry is missing or has another shape.
    """
    shapes: dict[str, tuple[int, ...]] = {"robot_obs": (ROBOT_OBS_DIM,), "scene_obs": (SCENE_OBS_DIM,)}
    shapes |= {f"rgb_{camera}": (size, size, 3) for camera, size in CAMERA_SIZES.items()}
    content = read_arrays(file, tuple(shapes))
    for key, shape in shapes.items():
        if content[key].shape != shape:
            raise DataError(
                f"expected {key} of shape {shape} in '{file}', got shape {content[key].shape}. This is no frame of a "
                "CALVIN data set."
            )
    return Frame(
        file,
        content["robot_obs"].astype(np.float64),
        content["scene_obs"].astype(np.float64),
        {camera: content[f"rgb_{camera}"].astype(np.uint8) for camera in CAMERA_SIZES},
    )


@dataclass(frozen=True, slots=True)
class SceneWord:
    """The scene of a frame, and the source of this information."""

    scene: str
    origin: str


def scene_of(file: Path, given: str | None = None) -> SceneWord:
    """The scene of a frame: the given one, or from `scene_info.npy`, or from `.hydra/merged_config.yaml`.

    Args:
        file: The frame's file.
        given: The scene given by the user. It takes precedence, because early downloads had a wrong `scene_info.npy`.

    Raises:
        DataError: No file names the scene, or the file is damaged.
    """
    if given is not None:
        return SceneWord(given, "--scene")
    match = FRAME_FILE.fullmatch(file.name)
    number = int(match.group(1)) if match else -1
    for folder in (file.parent, file.parent.parent):
        info = folder / INFO_FILE
        if info.is_file() and (scenes := scenes_by_info(info, number, number)):
            return SceneWord(scenes[0], str(info))
    if found := find_config(file.parent):
        scene, config = found
        return SceneWord(scene, str(config))
    raise DataError(
        f"expected scene_info.npy or .hydra/merged_config.yaml beside '{file}' to say which scene it is, but neither "
        "does. Give it by --scene D."
    )
