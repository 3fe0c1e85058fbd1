"""Progress of a recording: a bar on a terminal, a few log lines elsewhere."""

import logging
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from calvinbench.harness.recording.episode_records import EpisodeRecord

_LOG_SHARE = 10
"""Without a terminal, one log line per this many percent."""
_logger = logging.getLogger(__name__)


class RecordingProgress:
    """Counts episodes, demonstrations and frames on standard error; a context manager."""

    def __init__(self, num_episodes: int, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._bar = Progress(
            TextColumn("recording", markup=False),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[count]}", markup=False),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("recording", total=num_episodes, count="")
        self._num_episodes = num_episodes
        self._finished = self._demonstrations = self._frames = self._failed = self._logged_share = 0

    def __enter__(self) -> "RecordingProgress":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def episode_finished(self, record: "EpisodeRecord") -> None:
        """Advances the bar."""
        self._finished += 1
        self._demonstrations += len(record.annotations)
        self._frames += record.num_frames
        self._failed += record.failed_task is not None
        self._bar.update(self._task, advance=1, count=str(self))
        share = 100 * self._finished // max(self._num_episodes, 1)
        if share >= self._logged_share + _LOG_SHARE and not self._console.is_terminal:
            self._logged_share = share
            _logger.info("%d of %d episodes, %s", self._finished, self._num_episodes, self)

    def __str__(self) -> str:
        return f"{self._demonstrations} demonstrations, {self._frames} frames, {self._failed} failed"
