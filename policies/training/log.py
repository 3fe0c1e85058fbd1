"""The log of a training: a CSV file with one line of numbers at regular steps."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from calvinbench.envs.system.atomic_write import write_whole

LOSSES_FILE = "losses.csv"


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line of the log. Losses are means over the steps since the line before.

    Attributes:
        step: Finished optimiser steps.
        epoch: Finished passes over the data.
        windows: Windows seen.
        frames: Frames seen.
        seconds: Training time over all sessions, without validation and evaluation.
        loss: The loss that is minimised.
        pose_loss: Huber loss of the pose.
        gripper_loss: Binary cross-entropy of the gripper, before it is weighted.
        gripper_accuracy: Share of actions with the right gripper command.
        learning_rate: Learning rate of the last step.
        gradient_norm: Mean norm before clipping; None if all steps were skipped.
        validation_loss: Loss on the validation split; None if it was not computed at this step.
        average_length: Average length of chains run with the policy; None if none were run at this step.
        skipped_steps: Steps since the previous line with a gradient that was not finite in fp16. They changed no
            weight, and the learning-rate schedule did not advance.
    """

    step: int
    epoch: float
    windows: int
    frames: int
    seconds: float
    loss: float
    pose_loss: float
    gripper_loss: float
    gripper_accuracy: float
    learning_rate: float
    gradient_norm: float | None
    validation_loss: float | None = None
    average_length: float | None = None
    skipped_steps: int = 0


_NAMES = tuple(field.name for field in fields(LogLine))


class TrainingLog:
    """Writes the log. Only one process may write it."""

    def __init__(self, folder: Path, last_step: int) -> None:
        """Opens the log, and drops lines of steps that will be repeated.

        Args:
            folder: The training's folder.
            last_step: The step to resume from; 0 for a new training.
        """
        self._file = folder / LOSSES_FILE
        self.lines = [line for line in read_log(folder) if line.step <= last_step]
        self._write_anew()

    def add(self, line: LogLine) -> None:
        """Appends a line."""
        self.lines.append(line)
        with self._file.open("a", encoding="utf-8", newline="") as file:
            file.write(_as_text([line]))

    def amend(self, line: LogLine) -> None:
        """Replaces the last line."""
        self.lines[-1] = line
        self._write_anew()

    def _write_anew(self) -> None:
        """Replaces the whole file."""
        write_whole(self._file, ",".join(_NAMES) + "\n" + _as_text(self.lines))


def _as_text(lines: Sequence[LogLine]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for line in lines:
        values = [getattr(line, name) for name in _NAMES]
        writer.writerow(["" if value is None else value for value in values])
    return text.getvalue()


def read_log(folder: Path) -> list[LogLine]:
    """The lines of a training's log, without an incomplete last line.

    Raises:
        ValueError: A line is damaged.
    """
    file = folder / LOSSES_FILE
    if not file.exists():
        return []
    whole, end, _ = file.read_text("utf-8").rpartition("\n")
    lines = []
    for number, row in enumerate(csv.DictReader(io.StringIO(whole + end)), start=2):
        try:
            lines.append(_line_of(row))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"expected numbers in line {number} of '{file}', got {dict(row)}: {error}") from error
    return lines


def _line_of(row: dict[str, str]) -> LogLine:
    values: dict[str, int | float | None] = {}
    for field in fields(LogLine):
        if field.name == "skipped_steps" and field.name not in row:
            continue  # files of older versions do not have it
        text = row[field.name]
        if field.name in ("step", "windows", "frames", "skipped_steps"):
            values[field.name] = int(text)
        else:
            is_missing = text == "" and field.name in ("gradient_norm", "validation_loss", "average_length")
            values[field.name] = None if is_missing else float(text)
    return LogLine(**values)  # type: ignore[arg-type]
