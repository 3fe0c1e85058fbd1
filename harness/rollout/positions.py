"""The progress of running chains: whatever runs a chain writes each step here, and the progress display reads it."""

from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.sharedctypes import RawArray
from typing import Any, Protocol, runtime_checkable

from calvinbench.harness import clock
from calvinbench.harness.durations import duration_text
from calvinbench.harness.rollout.jobs import ChainJob

_NUM_FIELDS = 5
"""For each world: chain + 1 (0 without a chain), subtask, number of subtasks, step, start time in seconds."""


@dataclass(frozen=True, slots=True)
class ChainPosition:
    """The progress of one chain.

    Attributes:
        chain: Its number.
        subtask: The current subtask, from 1; 0 while the world is reset.
        num_subtasks: Subtasks of the chain.
        step: Steps taken in the subtask.
        seconds: Since the chain began.
    """

    chain: int
    subtask: int
    num_subtasks: int
    step: int
    seconds: float

    @property
    def text(self) -> str:
        """Such as `subtask 2 of 5, step 143`."""
        if not self.subtask:
            return "world being reset"
        return f"subtask {self.subtask} of {self.num_subtasks}, step {self.step}"


class Positions:
    """A place for each world, in memory shared by all processes.

    There is no lock: a process that dies cannot block another one, and a write takes only a microsecond. A reader may
    see numbers of two different steps together. The next read corrects that.
    """

    def __init__(self, num_worlds: int) -> None:
        """Allocates memory for a number of worlds."""
        self.num_worlds = num_worlds
        self._numbers: Any = RawArray("d", num_worlds * _NUM_FIELDS)

    def begin(self, place: int, job: ChainJob) -> None:
        """A world begins a chain."""
        self._numbers[_fields(place)] = [job.number + 1, 0, len(job.chain.subtasks), 0, clock.seconds()]

    def move(self, place: int, subtask: int, step: int) -> None:
        """Notes the subtask of a world's chain, and the number of steps taken in it."""
        first = place * _NUM_FIELDS
        self._numbers[first + 1], self._numbers[first + 3] = subtask, step

    def end(self, place: int) -> None:
        """A world's chain has ended."""
        self._numbers[place * _NUM_FIELDS] = 0

    def under_way(self) -> tuple[ChainPosition, ...]:
        """All running chains, ordered by their start."""
        now = clock.seconds()
        rows = [self._numbers[_fields(place)] for place in range(self.num_worlds)]
        found = [
            ChainPosition(int(chain) - 1, int(subtask), int(num_subtasks), int(step), max(0.0, now - began))
            for chain, subtask, num_subtasks, step, began in rows
            if chain
        ]
        return tuple(sorted(found, key=lambda position: (-position.seconds, position.chain)))


def _fields(place: int) -> slice:
    return slice(place * _NUM_FIELDS, (place + 1) * _NUM_FIELDS)


@dataclass(frozen=True, slots=True)
class Marker:
    """One world's place among the positions.

    Attributes:
        positions: Of all worlds.
        place: The world's index there.
    """

    positions: Positions
    place: int


@runtime_checkable
class PositionSubscriber(Protocol):
    """A subscriber that also shows the progress of running chains."""

    def positions_known(self, positions: Positions) -> None:
        """Called before a run begins, with the positions of its chains."""
        ...


def listed(positions: Sequence[ChainPosition], most: int) -> list[str]:
    """One line for each running chain. With more than `most` chains, the last line counts those left out."""
    lines = [f"chain {each.chain}: {each.text}, {duration_text(each.seconds)}" for each in positions]
    return lines if len(lines) <= most else [*lines[: most - 1], f"and {len(lines) - most + 1} more chains"]
