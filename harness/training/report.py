"""Reports on a training in progress: a progress bar or log lines, the figure of the losses, TensorBoard."""

import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from calvinbench.harness import clock
from calvinbench.policies.training.log import LogLine, read_log
from calvinbench.policies.training.preparation import Training

TENSORBOARD_FOLDER = "tensorboard"
_LOG_SECONDS = 60.0
"""Without a terminal, seconds between two log lines."""
_logger = logging.getLogger(__name__)


class TrainingProgress:
    """Shows a bar with loss and remaining time on a terminal; logs one line per minute elsewhere."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._bar = Progress(
            TextColumn("training", markup=False),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[losses]}", markup=False),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task: TaskID | None = None
        self._num_steps = 0
        self._said_at = -_LOG_SECONDS
        self._first: LogLine | None = None

    def began(self, training: Training) -> None:
        """Shows the bar."""
        self._num_steps = training.num_steps
        done = read_log(training.settings.out)
        self._task = self._bar.add_task("training", total=self._num_steps, losses="")
        self._bar.update(self._task, completed=done[-1].step if done else 0)
        self._bar.start()
        if done:
            self._say(f"going on after step {done[-1].step} of {self._num_steps}")

    def logged(self, line: LogLine) -> None:
        """Advances the bar."""
        words = f"loss {line.loss:.4f}, pose {line.pose_loss:.4f}, gripper {100 * line.gripper_accuracy:.1f}%"
        words += "" if line.validation_loss is None else f", validation {line.validation_loss:.4f}"
        words += "" if line.average_length is None else f", average length {line.average_length:.2f}"
        if self._task is not None:
            self._bar.update(self._task, completed=line.step, losses=words)
        self._first = self._first or line
        is_special = line.validation_loss is not None or line.average_length is not None
        if clock.seconds() - self._said_at >= _LOG_SECONDS or is_special:
            self._said_at = clock.seconds()
            self._say(f"step {line.step} of {self._num_steps}, {words}, {self._time_left(line)}")

    def saved(self, training: Training, step: int) -> float | None:
        """Does nothing."""

    def ended(self) -> None:
        """Stops the bar."""
        self._bar.stop()

    def _time_left(self, line: LogLine) -> str:
        first = self._first
        if first is None or line.step == first.step:
            return "time left not known yet"
        seconds = (line.seconds - first.seconds) / (line.step - first.step) * (self._num_steps - line.step)
        return f"{seconds / 60:.0f} min left"

    def _say(self, words: str) -> None:
        if not self._console.is_terminal:
            _logger.info("training: %s", words)


class FigureWriter:
    """Draws the loss curves at each checkpoint: `losses.pdf`, `.svg`, `.png`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._is_due = False

    def began(self, training: Training) -> None:
        """Does nothing."""

    def logged(self, line: LogLine) -> None:
        """Draws after a checkpoint or a validation."""
        if self._is_due or line.validation_loss is not None:
            self._draw()
        self._is_due = False

    def saved(self, training: Training, step: int) -> float | None:
        """Notes that the figure is drawn with the next line, which is that of this step."""
        self._is_due = True
        return None

    def ended(self) -> None:
        """Draws the final figure."""
        self._draw()

    def _draw(self) -> None:
        from calvinbench.harness.report import plots

        lines = read_log(self._folder)
        if len(lines) > 1:
            axes = plots.losses(lines)
            plots.save(axes, self._folder / "losses")
            plots.close(axes)


class TensorBoardWriter:
    """Writes the numbers of each line for TensorBoard, if tensorboard is installed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / TENSORBOARD_FOLDER
        self._writer: Any = None

    def began(self, training: Training) -> None:
        """Opens an events file."""
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            _logger.info("tensorboard is not installed, so no events are written: pip install 'calvinbench[train]'.")
            return
        done = read_log(training.settings.out)
        # TensorBoard drops events from this step on: they were written before a kill, and this line is written again.
        self._writer = SummaryWriter(str(self._folder), purge_step=done[-1].step if done else 0)

    def logged(self, line: LogLine) -> None:
        """Writes the line."""
        if self._writer is not None:
            for name, value in asdict(line).items():
                if name != "step" and value is not None:
                    self._writer.add_scalar(name, value, line.step)
            self._writer.flush()

    def saved(self, training: Training, step: int) -> float | None:
        """Does nothing."""

    def ended(self) -> None:
        """Closes the file."""
        if self._writer is not None:
            self._writer.close()
