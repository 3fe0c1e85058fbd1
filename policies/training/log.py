"""What a training writes down: a line of numbers every so many steps, as CSV that any tool reads."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

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
        gradient_norm: Mean, before clipping.
        validation_loss: The loss on the validation split, where it was taken at this step; None elsewhere.
        average_length: Of chains run with the policy at this step; None where none were.
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
    gradient_norm: float
    validation_loss: float | None = None
    average_length: float | None = None


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
        self._write(self.lines, "w", header=True)

    def add(self, line: LogLine) -> None:
        """Appends a line; the file is whole after it."""
        self.lines.append(line)
        self._write([line], "a", header=False)

    def _write(self, lines: Sequence[LogLine], mode: str, *, header: bool) -> None:
        names = [field.name for field in fields(LogLine)]
        with self._file.open(mode, encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            if header:
                writer.writerow(names)
            for line in lines:
                values = [getattr(line, name) for name in names]
                writer.writerow(["" if value is None else value for value in values])


def read_log(folder: Path) -> list[LogLine]:
    """The lines of a training's folder; a torn last one is left out.

    Raises:
        ValueError: A line before the last is not one.
    """
    file = folder / LOSSES_FILE
    if not file.exists():
        return []
    with file.open(encoding="utf-8", newline="") as opened:
        rows = list(csv.DictReader(opened))
    lines = []
    for number, row in enumerate(rows, start=2):
        try:
            lines.append(_line_of(row))
        except (TypeError, ValueError) as error:
            if number == len(rows) + 1:
                break
            raise ValueError(f"expected numbers in line {number} of '{file}', got {dict(row)}: {error}") from error
    return lines


def _line_of(row: dict[str, str]) -> LogLine:
    values: dict[str, int | float | None] = {}
    for field in fields(LogLine):
        text = row[field.name]
        if field.name in ("step", "windows", "frames"):
            values[field.name] = int(text)
        else:
            values[field.name] = None if text == "" and field.default is None else float(text)
    return LogLine(**values)  # type: ignore[arg-type]
