"""How far the chains under way are: whoever runs a chain notes each step, whoever shows progress reads."""

from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.sharedctypes import RawArray
from typing import Any, Protocol, runtime_checkable

from calvinbench.harness import clock
from calvinbench.harness.durations import duration_text
from calvinbench.harness.rollout.jobs import ChainJob

_NUM_FIELDS = 5
"""Of a world: chain + 1 (0 without a chain), subtask, number of subtasks, step, second of the chain's beginning."""


@dataclass(frozen=True, slots=True)
class ChainPosition:
    """How far one chain is.

    Attributes:
        chain: Its number.
        subtask: The subtask under way, from 1; 0 while the world is reset.
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
    """A place for each world, in memory that worlds' processes share.

    There is no lock, so that a process that dies can block no other, and a step costs a microsecond: a reader may see
    the numbers of two steps mixed, which half a second later are right.
    """

    def __init__(self, num_worlds: int) -> None:
        """Takes memory for so many worlds."""
        self.num_worlds = num_worlds
        self._numbers: Any = RawArray("d", num_worlds * _NUM_FIELDS)

    def begin(self, place: int, job: ChainJob) -> None:
        """A world begins a chain."""
        self._numbers[_fields(place)] = [job.number + 1, 0, len(job.chain.subtasks), 0, clock.seconds()]

    def move(self, place: int, subtask: int, step: int) -> None:
        """A world's chain has taken so many steps of a subtask."""
        first = place * _NUM_FIELDS
        self._numbers[first + 1], self._numbers[first + 3] = subtask, step

    def end(self, place: int) -> None:
        """A world has no chain any more."""
        self._numbers[place * _NUM_FIELDS] = 0

    def under_way(self) -> tuple[ChainPosition, ...]:
        """The chains that worlds are at, those that began first before others."""
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
        place: The world's.
    """

    positions: Positions
    place: int


@runtime_checkable
class PositionSubscriber(Protocol):
    """A subscriber that also shows how far the chains under way are."""

    def positions_known(self, positions: Positions) -> None:
        """Before a run begins: where to read how far its chains are."""
        ...


def listed(positions: Sequence[ChainPosition], most: int) -> list[str]:
    """A line for each chain under way; of more than `most`, the last line says how many are left out."""
    lines = [f"chain {each.chain}: {each.text}, {duration_text(each.seconds)}" for each in positions]
    return lines if len(lines) <= most else [*lines[: most - 1], f"and {len(lines) - most + 1} more chains"]
