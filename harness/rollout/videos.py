"""Videos of chains: both cameras, the instruction, the subtask and how it ended, encoded as a chain runs."""

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from typing import Any, SupportsFloat

import gymnasium
import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from calvinbench.envs.chain_env import SOLVED, ChainEnv, ChainStatus
from calvinbench.envs.chains import CHAIN_LENGTH, Chain
from calvinbench.envs.observation import CONTROL_HZ
from calvinbench.envs.system.atomic_write import move_into_place
from calvinbench.envs.world import observe, skip_images, with_images
from calvinbench.harness.records.records import ERRORED

VIDEOS_FOLDER = "videos"
ALL, FAILURES = "all", "failures"
_WIDTH, _HEIGHT, _HEADER = 640, 464, 64
_STATIC_SIDE, _GRIPPER_SIDE = 400, 240
_MARGIN = 8
_BANNER_FRAMES = CONTROL_HZ // 2
"""How long a subtask's outcome is shown: half a second."""
_LAST_FRAMES = CONTROL_HZ
"""How long the last frame stays, with the chain's outcome: a second."""
_ONE_LINE_SIZES, _TWO_LINE_SIZES = range(22, 14, -1), range(14, 7, -1)
"""Font sizes in pixels. The largest in which an instruction fits is used."""
_COLOURS = {SOLVED: (0, 158, 115)}
_OTHER_COLOUR = (213, 94, 0)
_PARTIAL = ".part.mp4"
_CODEC = "libx264"
_OPTIONS = {"preset": "veryfast", "crf": "23"}
_logger = logging.getLogger(__name__)


class VideoError(ValueError):
    """Videos cannot be made."""


@dataclass(frozen=True, slots=True)
class VideoSettings:
    """Which chains are recorded as videos.

    Attributes:
        folder: Where the videos are written, with names such as `chain_0012.mp4`.
        which: `"all"`, `"failures"`, or a number N in digits: the first N chains.
    """

    folder: Path
    which: str

    def __post_init__(self) -> None:
        if self.which not in (ALL, FAILURES) and not (self.which.isascii() and self.which.isdigit()):
            raise VideoError(f"expected videos to be all, failures or a number of chains, got '{self.which}'.")

    def path(self, number: int) -> Path:
        """The file of a chain's video."""
        return self.folder / f"chain_{number:04d}.mp4"

    def includes(self, number: int) -> bool:
        """Whether a chain is recorded."""
        return self.which in (ALL, FAILURES) or number < int(self.which)

    def keeps(self, is_solved: bool) -> bool:
        """Whether a chain's video is kept, given how the chain ended."""
        return self.which != FAILURES or not is_solved


def require_encoder() -> None:
    """Raises an error if the package that encodes videos is missing.

    Raises:
        VideoError: It is not installed.
    """
    try:
        import av  # noqa: F401
    except ImportError as error:
        raise VideoError("expected PyAV to encode videos, found none: pip install 'calvinbench[video]'.") from error


def remove_partial_videos(folder: Path) -> None:
    """Deletes the unfinished videos of killed processes. Do not call it while a process writes videos there."""
    for path in folder.glob(f"*{_PARTIAL}"):
        with contextlib.suppress(OSError):
            path.unlink()


class VideoChainEnv(gymnasium.Wrapper[dict[str, np.ndarray], np.ndarray, dict[str, np.ndarray], np.ndarray]):
    """Records the chains of a `ChainEnv` as videos. What the environment returns stays the same, with all images.

    If the policy or the world raises an error, the chain's video ends as errored when the next chain begins. A video
    that cannot be written, because the disk is full or the encoder fails, is deleted with a warning. Its chain goes on.
    """

    def __init__(self, env: ChainEnv, settings: VideoSettings) -> None:
        """Wraps the environment.

        Args:
            env: The environment. Its world must show both cameras.
            settings: Which chains, and the folder.
        """
        super().__init__(env)
        self._settings = settings
        self._video: _Video | None = None
        self._num_subtasks = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Begins a chain and its video."""
        self._end(ERRORED)
        observation, info = self.env.reset(seed=seed, options=options)
        number = (options or {}).get("number", 0)
        chain = (options or {}).get("chain")
        self._num_subtasks = len(chain.subtasks) if isinstance(chain, Chain) else CHAIN_LENGTH
        if self._settings.includes(number):
            self._video = video = _Video(self._settings.path(number), number, self._num_subtasks)
            with self._dropped_on_error():
                video.begin()
                video.add(observation, ChainStatus.of(info))
        return observation, info

    def step(self, action: np.ndarray) -> tuple[dict[str, np.ndarray], SupportsFloat, bool, bool, dict[str, Any]]:
        """Steps, and adds a frame."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        if self._video is not None:
            observation = with_images(self.env, observation)
            with self._dropped_on_error():
                self._video.add(observation, ChainStatus.of(info))
            if terminated or truncated:
                status = ChainStatus.of(info)
                self._end(SOLVED if status.completed == self._num_subtasks else status.outcome or ERRORED)
        return observation, reward, terminated, truncated, info

    def skip_images(self, skips: bool) -> bool:
        """Sets whether `step` leaves images out of chains that are not recorded, see `world.ImagesOnDemand`."""
        return skip_images(self.env, skips)

    def observe(self) -> dict[str, np.ndarray]:
        """The observation of the world as it is now, with images, if the world can leave them out."""
        return observe(self.env)

    def close(self) -> None:
        """Ends the video and closes the world."""
        self._end(ERRORED)
        super().close()

    def _end(self, outcome: str) -> None:
        if self._video is not None:
            with self._dropped_on_error():
                self._video.end(outcome, is_kept=self._settings.keeps(outcome == SOLVED))
        self._video = None

    @contextlib.contextmanager
    def _dropped_on_error(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001  a video is not part of the result
            video, self._video = self._video, None
            if video is not None:
                video.drop()
                _logger.warning(
                    "a video cannot be written and is deleted; its chain goes on. %s: %s", video.path, error
                )


class _Video:
    """A video that is being written. It has a temporary name until it is complete."""

    def __init__(self, path: Path, number: int, num_subtasks: int) -> None:
        self.path, self._number, self._num_subtasks = path, number, num_subtasks
        self._partial = path.with_suffix(_PARTIAL)
        self._container: Any = None

    def begin(self) -> None:
        """Opens the file."""
        import av

        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._container = av.open(str(self._partial), "w")
        stream: Any = self._container.add_stream(_CODEC, rate=CONTROL_HZ, options=_OPTIONS)
        stream.width, stream.height, stream.pix_fmt = _WIDTH, _HEIGHT, "yuv420p"
        self._stream: Any = stream
        self._banner, self._banner_frames = "", 0
        self._last: tuple[dict[str, np.ndarray], ChainStatus] | None = None

    def add(self, observation: dict[str, np.ndarray], status: ChainStatus) -> None:
        """Adds one frame."""
        if status.outcome is not None:
            self._banner, self._banner_frames = status.outcome, _BANNER_FRAMES
        self._encode(self._draw(observation, status, self._banner if self._banner_frames else ""))
        self._banner_frames = max(0, self._banner_frames - 1)
        self._last = observation, status

    def end(self, outcome: str, is_kept: bool) -> None:
        """Shows the last frame for a second, with the chain's outcome. Then names the file, or deletes it."""
        if is_kept and self._last is not None:
            frame = self._draw(*self._last, outcome)
            for _ in range(_LAST_FRAMES):
                self._encode(frame)
        for packet in self._stream.encode():
            self._container.mux(packet)
        self._container.close()
        if is_kept:
            move_into_place(self._partial, self.path)
        else:
            self._partial.unlink(missing_ok=True)
            self.path.unlink(missing_ok=True)  # an earlier try of the chain may have written one

    def drop(self) -> None:
        """Closes the file and deletes it."""
        with contextlib.suppress(Exception):  # closing may fail as writing did
            if self._container is not None:
                self._container.close()
        with contextlib.suppress(OSError):
            self._partial.unlink(missing_ok=True)

    def _draw(
        self, observation: dict[str, np.ndarray], status: ChainStatus, outcome: str
    ) -> UInt8[np.ndarray, "464 640 3"]:
        return draw_frame(observation, status, self._number, outcome, self._num_subtasks)

    def _encode(self, frame: UInt8[np.ndarray, "464 640 3"]) -> None:
        import av

        for packet in self._stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")):
            self._container.mux(packet)


def draw_frame(
    observation: dict[str, np.ndarray],
    status: ChainStatus,
    number: int,
    outcome: str,
    num_subtasks: int = CHAIN_LENGTH,
) -> UInt8[np.ndarray, "464 640 3"]:
    """A frame of the video: text at the top, the static camera on the left, the gripper camera on the right.

    Args:
        observation: With `rgb_static` and `rgb_gripper`.
        status: Where the chain stands.
        number: Of the chain.
        outcome: The outcome to show; empty for none.
        num_subtasks: Of the chain.
    """
    canvas = Image.new("RGB", (_WIDTH, _HEIGHT), "white")
    for name, side, corner in (
        ("rgb_static", _STATIC_SIDE, (0, _HEADER)),
        ("rgb_gripper", _GRIPPER_SIDE, (_STATIC_SIDE, _HEADER)),
    ):
        image = Image.fromarray(observation[name])
        canvas.paste(image.resize((side, side), Image.Resampling.BILINEAR), corner)
    pen = ImageDraw.Draw(canvas)
    sentence, font = _fitted(status.instruction)
    pen.multiline_text((_MARGIN, 6), sentence, fill="black", font=font, spacing=1)
    place = f"chain {number}   subtask {status.subtask + 1} of {num_subtasks}: {status.task}   "
    pen.text((_MARGIN, 40), f"{place}step {status.subtask_steps}", fill=(90, 90, 90), font=ImageFont.load_default(16))
    if outcome:
        corner = (_STATIC_SIDE + 16, _HEADER + _GRIPPER_SIDE + 24)
        words = outcome.replace("_", " ")
        pen.text(corner, words, fill=_COLOURS.get(outcome, _OTHER_COLOUR), font=ImageFont.load_default(36))
    return np.asarray(canvas)


def _fitted(sentence: str) -> tuple[str, ImageFont.FreeTypeFont | ImageFont.ImageFont]:
    """The instruction in the largest font that fits above the images; in two lines if one would be too small."""
    width = _WIDTH - 2 * _MARGIN
    for size in _ONE_LINE_SIZES:
        font = ImageFont.load_default(size)
        if font.getlength(sentence) <= width:
            return sentence, font
    lines: list[str] = []
    for size in _TWO_LINE_SIZES:
        font = ImageFont.load_default(size)
        lines = wrap(sentence, int(len(sentence) * width / font.getlength(sentence)))
        if len(lines) <= 2 and all(font.getlength(line) <= width for line in lines):
            break
    return "\n".join(lines[:2]), font
