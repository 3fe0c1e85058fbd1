"""Compares the images of a CALVIN data set with those of our renderers, which shows which renderer made them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from calvinbench.envs.cameras.renderers import RENDERERS
from calvinbench.envs.names import require_name
from calvinbench.envs.observation import CAMERA_SIZES
from calvinbench.envs.play_table import PlayTableEnv
from calvinbench.envs.scenes.scene import SCENES
from calvinbench.harness.data_check.frames import Frame, find_frames, load_frame, scene_of, spread
from calvinbench.policies.demonstrations.demonstrations import DataError

DEFAULT_FRAMES = 20
MAX_ALIKE = 6.0
"""Images of the same renderer differ by less than this on average, of 255. While the arm moves, a reset to the stored
state puts the gripper camera slightly beside its place: up to 5 apart with the same renderer, measured on recordings.
EGL's and TinyRenderer's images of the same state are 15 to 26 apart (`benchmarks/pictures.py`)."""
MAX_OFF = 10
"""A pixel is off if one of its colours differs by more, of 255."""
WorldMaker = Callable[[str, str], Any]
"""Makes a world from the names of a scene and a renderer."""


@dataclass(frozen=True, slots=True)
class CameraDifference:
    """The difference between one renderer's images of one camera and the stored ones.

    Attributes:
        camera: `static` or `gripper`.
        mean: Mean absolute difference over all frames, pixels and colours, 0 to 255.
        percent_off: Per cent of pixels that are off, see `MAX_OFF`.
        worst_file: The file of the frame with the largest difference.
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
        cameras: One entry per camera; empty if the renderer does not work here.
        problem: Why it does not work; empty if it works.
    """

    renderer: str
    cameras: tuple[CameraDifference, ...]
    problem: str = ""

    @property
    def mean(self) -> float:
        """The mean over cameras; infinite if the renderer does not work."""
        return sum(camera.mean for camera in self.cameras) / len(self.cameras) if self.cameras else np.inf

    @property
    def is_alike(self) -> bool:
        """Whether the images look as if this renderer had made them."""
        return bool(self.cameras) and all(camera.mean <= MAX_ALIKE for camera in self.cameras)


@dataclass(frozen=True, slots=True)
class DataImages:
    """The result of the comparison.

    Attributes:
        folder: The folder of the frames.
        num_frames: How many were compared.
        scenes: Scenes of the frames, and the source of this information.
        results: One entry per renderer, the closest first.
    """

    folder: str
    num_frames: int
    scenes: Mapping[str, str]
    results: tuple[RendererResult, ...]

    @property
    def is_alike(self) -> bool:
        """Whether the images look like those of one of our renderers."""
        return self.results[0].is_alike

    def lines(self) -> list[str]:
        """The result as text: one line per renderer and camera, then the verdict."""
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
        """In words, which renderer the data looks like, and which ones have that look."""
        closest = self.results[0]
        if closest.is_alike:
            alike = " or ".join(result.renderer for result in self.results if result.is_alike)
            return f"The data looks as if {closest.renderer} rendered it: evaluate policies trained on it with {alike}."
        return (
            f"The data looks like none of our renderers; the closest is {closest.renderer}. Its scene or cameras may "
            "be others (give the scene by --scene), or another renderer made it. Scores of policies trained on it may "
            "be low here for that reason alone."
        )


def compare_images(
    data: Path,
    num_frames: int = DEFAULT_FRAMES,
    scene: str | None = None,
    calvin_env: str | Path | None = None,
    renderers: Sequence[str] = tuple(RENDERERS),
    make_world: WorldMaker | None = None,
) -> DataImages:
    """Sets our world to frames of a data set and compares the images.

    The world is set by a reset, which takes one physics step of 1/240 s before rendering, as calvin_env does when it
    renders data.

    Args:
        data: A folder with `episode_*.npz`, or one with `validation/` or `training/`.
        num_frames: How many frames, spread evenly over the folder.
        scene: The scene, if the data set does not name it or names a wrong one.
        calvin_env: The checkout for scenes A to D; None searches for one.
        renderers: The renderers to compare.
        make_world: Makes the worlds; None for `PlayTableEnv`.

    Raises:
        DataError: The folder is not such a data set, a file is damaged, or the scene is unknown.
        UnknownNameError: There is no such scene.
        CheckoutError: The scene's checkout is missing or incomplete.
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
    return DataImages(
        folder=str(files[0].parent),
        num_frames=len(files),
        scenes={word.scene: word.origin for word in told.values()},
        results=tuple(sorted(results, key=lambda result: result.mean)),
    )


def _compare_renderer(renderer: str, frames: Sequence[tuple[str, Frame]], make_world: WorldMaker) -> RendererResult:
    """Renders all frames with one renderer and compares the images."""
    apart: dict[str, list[tuple[float, float, str]]] = {camera: [] for camera in CAMERA_SIZES}
    worlds: dict[str, Any] = {}
    try:
        for scene, frame in frames:
            if scene not in worlds:
                try:
                    worlds[scene] = make_world(scene, renderer)
                except RuntimeError as error:  # this machine cannot run the renderer
                    return RendererResult(renderer, (), str(error))
            try:
                state = {"robot_obs": frame.robot_obs, "scene_obs": frame.scene_obs}
                observation, _ = worlds[scene].reset(options=state)
            except ValueError as error:
                raise DataError(f"expected a state of scene {scene} in '{frame.file}', but: {error}") from error
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
