"""What a training writes down: a line of numbers every so many steps, as CSV that any tool reads."""

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
        step: Optimiser steps done.
        epoch: Passes over the data done.
        windows: Windows seen.
        frames: Frames seen.
        seconds: Of training, all sittings together, without validation and evaluation.
        loss: What the gradient is taken of.
        pose_loss: Huber.
        gripper_loss: Binary cross-entropy, before its ratio.
        gripper_accuracy: Share of actions whose gripper would do what the label says.
        learning_rate: Of the last step.
        gradient_norm: Mean, before clipping; None where all steps were skipped.
        validation_loss: The loss on the validation split, where it was taken at this step; None elsewhere.
        average_length: Of chains run with the policy at this step; None where none were.
        skipped_steps: Steps since the line before whose gradient was not finite in fp16: they changed no weight, and
            the rate's schedule did not move.
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
    """The file of lines; one writer."""

    def __init__(self, folder: Path, last_step: int) -> None:
        """Opens it, and drops lines of steps that are going to be done again.

        Args:
            folder: Where it is.
            last_step: The step that training goes on from; 0 for a new one.
        """
        self._file = folder / LOSSES_FILE
        self.lines = [line for line in read_log(folder) if line.step <= last_step]
        self._write_anew()

    def add(self, line: LogLine) -> None:
        """Appends a line; the file is whole after it."""
        self.lines.append(line)
        with self._file.open("a", encoding="utf-8", newline="") as file:
            file.write(_as_text([line]))

    def amend(self, line: LogLine) -> None:
        """Replaces the last line."""
        self.lines[-1] = line
        self._write_anew()

    def _write_anew(self) -> None:
        """Replaces the file as a whole."""
        write_whole(self._file, ",".join(_NAMES) + "\n" + _as_text(self.lines))


def _as_text(lines: Sequence[LogLine]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for line in lines:
        values = [getattr(line, name) for name in _NAMES]
        writer.writerow(["" if value is None else value for value in values])
    return text.getvalue()


def read_log(folder: Path) -> list[LogLine]:
    """The lines of a training's folder; a torn last one is left out.

    Raises:
        ValueError: A line is not one.
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
