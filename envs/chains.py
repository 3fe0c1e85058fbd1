"""Chain: placeholder to be completed."""
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Chain:
    """A long-horizon episode: where the world starts, and which tasks to do in a row."""

    initial_state: Mapping[str, int | str]
    subtasks: tuple[str, ...]
