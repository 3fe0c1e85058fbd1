"""How far are our pictures from those of a CALVIN data set? Which renderer made the data shows in the answer."""

import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64, UInt8

from calvinbench.envs.cameras import RENDERERS
from calvinbench.envs.names import require_name
from calvinbench.envs.observation import CAMERA_SIZES, ROBOT_OBS_DIM, SCENE_OBS_DIM
from calvinbench.envs.play_table import PlayTableEnv
from calvinbench.envs.scene import SCENES

DEFAULT_FRAMES = 20
MAX_ALIKE = 6.0
"""Pictures of one renderer are closer than this on average, of 255. While the arm moves, a reset to the stored state
puts the gripper camera a little beside where it was: up to 5 apart with the same renderer, measured on recordings.
EGL's and TinyRenderer's pictures of one moment are 23.5 (static) and 13.9 (gripper) apart."""
MAX_OFF = 10
"""A pixel is off where one of its colours differs by more, of 255."""
_EPISODE = re.compile(r"episode_(\d+)\.npz")
_SCENE_NAME = re.compile(r"calvin_scene_([A-D])")
_TABLE_NAME = re.compile(r"calvin_table_([A-D])")
WorldMaker = Callable[[str, str], Any]
"""Makes a world from a scene's and a renderer's name."""


class DataSetError(ValueError):
    """A data set is not laid out as CALVIN's, or a file of it cannot be read."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One time step of a data set.

    Attributes:
        file: Where it is from.
        robot_obs: The state.
        scene_obs: The state.
        pictures: By camera.
    """

    file: Path
    robot_obs: Float64[np.ndarray, "15"]
    scene_obs: Float64[np.ndarray, "24"]
    pictures: Mapping[str, UInt8[np.ndarray, "H W 3"]]


@dataclass(frozen=True, slots=True)
class CameraDifference:
    """How far one renderer's pictures of one camera are from the stored ones.

    Attributes:
        camera: `static` or `gripper`.
        mean: Mean absolute difference over all frames, pixels and colours, 0 to 255.
        percent_off: Per cent of pixels that are off, see `MAX_OFF`.
        worst_file: The file of the frame that is furthest off.
        worst_mean: That frame's mean absolute difference.
    """

    camera: str
    mean: float
    percent_off: float
    worst_file: str
    worst_mean: float


@dataclass(frozen=True, slots=True)
class RendererResult:
    """One renderer against the data.

    Attributes:
        renderer: Its name.
        cameras: One a camera; empty where the renderer does not work here.
        problem: Why it does not; empty where it does.
    """

    renderer: str
    cameras: tuple[CameraDifference, ...]
    problem: str = ""

    @property
    def mean(self) -> float:
        """The mean over cameras, infinite where it does not work."""
        return sum(camera.mean for camera in self.cameras) / len(self.cameras) if self.cameras else np.inf

    @property
    def is_alike(self) -> bool:
        """Whether the data looks as if this renderer had made it."""
        return bool(self.cameras) and all(camera.mean <= MAX_ALIKE for camera in self.cameras)


@dataclass(frozen=True, slots=True)
class DataPictures:
    """What the comparison found.

    Attributes:
        folder: The folder of the frames.
        num_frames: How many were compared.
        scenes: The scenes that they are of, and what says so.
        results: One a renderer, the closest first.
    """

    folder: str
    num_frames: int
    scenes: Mapping[str, str]
    results: tuple[RendererResult, ...]

    @property
    def is_alike(self) -> bool:
        """Whether one of our renderers gives the data's pictures."""
        return self.results[0].is_alike

    def lines(self) -> list[str]:
        """The finding for a person: one line a renderer and camera, then the verdict."""
        scenes = ", ".join(f"{scene} (by {origin})" for scene, origin in self.scenes.items())
        lines = [f"{self.num_frames} frames of {self.folder}, scene {scenes}:"]
        for result in self.results:
            if result.problem:
                lines.append(f"  {result.renderer}: does not work here: {result.problem}")
            lines += [
                f"  {result.renderer}, {camera.camera}: {camera.mean:.2f} of 255 apart on average, "
                f"{camera.percent_off:.2f}% of pixels off by more than {MAX_OFF}; furthest {camera.worst_file} "
                f"({camera.worst_mean:.2f})"
                for camera in result.cameras
            ]
        return [*lines, self.verdict()]

    def verdict(self) -> str:
        """In words, which renderer the data looks like."""
        closest = self.results[0]
        if closest.is_alike:
            return f"The data looks as if {closest.renderer} rendered it: evaluate policies trained on it with that."
        return (
            f"The data looks like none of our renderers; the closest is {closest.renderer}. Its scene or cameras may "
            "be others (give the scene by --scene), or another renderer made it. Scores of policies trained on it may "
            "be low here for that reason alone."
        )


def compare_pictures(
    data: Path,
    num_frames: int = DEFAULT_FRAMES,
    scene: str | None = None,
    calvin_env: str | Path | None = None,
    renderers: Sequence[str] = RENDERERS,
    make_world: WorldMaker | None = None,
) -> DataPictures:
    """Sets our world to frames of a data set and compares pictures.

    The world is set by a reset, which takes one physics step of 1/240 s before the pictures, as calvin_env does when it
    renders data.

    Args:
        data: A folder with `episode_*.npz`, or one with `validation/` or `training/`.
        num_frames: How many frames, spread evenly over the folder.
        scene: Which scene it is, where the data set's own word is missing or wrong.
        calvin_env: The checkout for scenes A to D; None finds one.
        renderers: Which of ours to compare.
        make_world: Makes the worlds; None for `PlayTableEnv`.

    Raises:
        DataSetError: The folder is not such a data set, a file is damaged, or nothing says which scene it is.
        UnknownNameError: There is no such scene.
        CheckoutError: The scene's checkout is missing or not whole.
        ValueError: `num_frames` is below 1.
    """
    if num_frames < 1:
        raise ValueError(f"expected at least one frame, got {num_frames}.")
    if scene is not None:
        require_name(scene, SCENES, "scene")
    files = spread(find_frames(data), num_frames)
    told = {file: scene_of(file, scene) for file in files}

    def play_table(name: str, renderer: str) -> PlayTableEnv:
        return PlayTableEnv(scene=name, renderer=renderer, calvin_env=calvin_env)

    frames = [(told[file].scene, load_frame(file)) for file in files]
    results = [_compare_renderer(renderer, frames, make_world or play_table) for renderer in renderers]
    return DataPictures(
        folder=str(files[0].parent),
        num_frames=len(files),
        scenes={word.scene: word.origin for word in told.values()},
        results=tuple(sorted(results, key=lambda result: result.mean)),
    )


def find_frames(data: Path) -> list[Path]:
    """The files of a data set's frames, in order.

    Raises:
        DataSetError: There are none.
    """
    for folder in (data, data / "validation", data / "training"):
        if folder.is_dir():
            files = sorted(file for file in folder.iterdir() if _EPISODE.fullmatch(file.name))
            if files:
                return files
    raise DataSetError(
        f"expected a CALVIN data set at '{data}', a folder with episode_0000000.npz and so on or with validation/ or "
        f"training/ that has them, {'found no such file' if data.is_dir() else 'but there is no such folder'}."
    )


def spread(files: Sequence[Path], num_frames: int) -> list[Path]:
    """So many of the files, at even distances, the first and the last among them."""
    chosen = np.linspace(0, len(files) - 1, min(num_frames, len(files))).round().astype(int)
    return [files[index] for index in dict.fromkeys(chosen.tolist())]


def load_frame(file: Path) -> Frame:
    """Reads one frame.

    Raises:
        DataSetError: The file is cut off or damaged, or an entry is missing or has another shape.
    """
    shapes: dict[str, tuple[int, ...]] = {"robot_obs": (ROBOT_OBS_DIM,), "scene_obs": (SCENE_OBS_DIM,)}
    shapes |= {f"rgb_{camera}": (size, size, 3) for camera, size in CAMERA_SIZES.items()}
    try:
        with np.load(file, allow_pickle=False) as kept:
            content = {key: np.asarray(kept[key]) for key in shapes if key in kept.files}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zipfile.LargeZipFile) as error:
        raise DataSetError(
            f"expected a whole frame in '{file}', but it is cut off or damaged ({error}). Copy or download it again."
        ) from error
    for key, shape in shapes.items():
        found = content[key].shape if key in content else None
        if found != shape:
            raise DataSetError(
                f"expected {key} of shape {shape} in '{file}', "
                f"{'found none' if found is None else f'got shape {found}'}. This is no frame of a CALVIN data set."
            )
    return Frame(
        file,
        content["robot_obs"].astype(np.float64),
        content["scene_obs"].astype(np.float64),
        {camera: content[f"rgb_{camera}"].astype(np.uint8) for camera in CAMERA_SIZES},
    )


@dataclass(frozen=True, slots=True)
class SceneWord:
    """Which scene a frame is of, and what says so."""

    scene: str
    origin: str


def scene_of(file: Path, given: str | None = None) -> SceneWord:
    """Which scene a frame is of: the one given, else by `scene_info.npy`, else by `.hydra/merged_config.yaml`.

    Args:
        file: The frame's file.
        given: What the user says; it takes precedence, for early downloads had a wrong `scene_info.npy`.

    Raises:
        DataSetError: Nothing says it, or a file that should is damaged.
    """
    if given is not None:
        return SceneWord(given, "--scene")
    match = _EPISODE.fullmatch(file.name)
    number = int(match.group(1)) if match else -1
    for folder in (file.parent, file.parent.parent):
        info = folder / "scene_info.npy"
        if info.is_file() and (scene := _scene_by_info(info, number)):
            return SceneWord(scene, str(info))
    for folder in (file.parent, file.parent.parent):
        config = folder / ".hydra" / "merged_config.yaml"
        if config.is_file():
            tables = set(_TABLE_NAME.findall(config.read_text(encoding="utf-8", errors="replace")))
            if len(tables) == 1:
                return SceneWord(tables.pop(), str(config))
    raise DataSetError(
        f"expected scene_info.npy or .hydra/merged_config.yaml beside '{file}' to say which scene it is, but neither "
        "does. Give it by --scene D."
    )


def _scene_by_info(info: Path, number: int) -> str | None:
    try:
        # The public format is a pickled dictionary: scene's name to first and last frame.
        ranges = dict(np.load(info, allow_pickle=True).item())
        for name, numbers in ranges.items():
            first, last = int(min(numbers)), int(max(numbers))
            match = _SCENE_NAME.search(str(name))
            if match and first <= number <= last:
                return match.group(1)
    except Exception as error:
        raise DataSetError(
            f"expected a dictionary of scene names and first and last frames in '{info}', got "
            f"{type(error).__name__}: {error}. Download it again, or give the scene by --scene D."
        ) from error
    return None


def _compare_renderer(renderer: str, frames: Sequence[tuple[str, Frame]], make_world: WorldMaker) -> RendererResult:
    """Takes the pictures of all frames with one renderer."""
    apart: dict[str, list[tuple[float, float, str]]] = {camera: [] for camera in CAMERA_SIZES}
    worlds: dict[str, Any] = {}
    try:
        for scene, frame in frames:
            if scene not in worlds:
                try:
                    worlds[scene] = make_world(scene, renderer)
                except RuntimeError as error:  # a renderer that this machine cannot run
                    return RendererResult(renderer, (), str(error))
            try:
                state = {"robot_obs": frame.robot_obs, "scene_obs": frame.scene_obs}
                observation, _ = worlds[scene].reset(options=state)
            except ValueError as error:
                raise DataSetError(f"expected a state of scene {scene} in '{frame.file}', but: {error}") from error
            for camera, stored in frame.pictures.items():
                difference = np.abs(observation[f"rgb_{camera}"].astype(np.int16) - stored)
                off = 100.0 * float((difference > MAX_OFF).any(axis=2).mean())
                apart[camera].append((float(difference.mean()), off, frame.file.name))
    finally:
        for world in worlds.values():
            world.close()
    return RendererResult(renderer, tuple(_camera_difference(camera, rows) for camera, rows in apart.items()))


def _camera_difference(camera: str, rows: Sequence[tuple[float, float, str]]) -> CameraDifference:
    worst = max(rows)
    return CameraDifference(
        camera=camera,
        mean=float(np.mean([mean for mean, _, _ in rows])),
        percent_off=float(np.mean([off for _, off, _ in rows])),
        worst_file=worst[2],
        worst_mean=worst[0],
    )
