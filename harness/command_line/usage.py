"""What a verb's help says beside its flags."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Example:
    """A call as one would type it.

    Attributes:
        call: The words after `calvinbench`.
        meaning: What it does.
    """

    call: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Usage:
    """The part of a verb's help that its fields do not hold. A verb has it as a class variable `USAGE`.

    Attributes:
        examples: Calls, the most usual one first.
        headings: Heading to the names of the fields below it, in order. Fields that are named nowhere stand below
            `Other`, at the end; without any heading, all stand in one list.
    """

    examples: tuple[Example, ...]
    headings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
