"""Parts of a command's help other than its flags."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Example:
    """An example call.

    Attributes:
        call: The words after `calvinbench`.
        meaning: What it does.
    """

    call: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Usage:
    """Examples and headings of a command's help. A command's class has it as the class variable `USAGE`.

    Attributes:
        examples: Calls, the most common one first.
        headings: Heading to the names of the fields below it, in order. Fields that are named nowhere stand below
            `Other`, at the end; without any heading, all stand in one list.
    """

    examples: tuple[Example, ...]
    headings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
