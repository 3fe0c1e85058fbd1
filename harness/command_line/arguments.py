"""Checks the words of a call before they are parsed, and reports all mistakes together.

The parser, tyro, gets the words only if they pass. A flag that is given twice is an error here; tyro would accept it.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence

from calvinbench.envs.names import guess
from calvinbench.harness.command_line.flags import Flag

_IS_FLAG = re.compile(r"--?[A-Za-z]")
MAX_WHOLE_NUMBER = 2**53
"""Records hold no larger numbers, see `records.typed_reading`."""
_IN_WORDS = {int: "a whole number", float: "a number"}


class WrongCallError(ValueError):
    """The words of a call are wrong. The message has one line for each mistake."""


def require_good_words(words: Sequence[str], flags: Sequence[Flag], verb: str) -> None:
    """Checks the words after a verb.

    Args:
        words: The words.
        flags: The verb's flags.
        verb: Its name, for the message.

    Raises:
        WrongCallError: A flag is unknown, given twice or without a value; a value is no number or no choice; an
            argument is missing, or one too many.
    """
    problems = list(_problems(words, flags))
    if problems:
        see = f"All flags: calvinbench {verb} --help"
        raise WrongCallError("\n".join([f"{verb}: {problems[0]}", *(f"  {each}" for each in problems[1:]), see]))


def _problems(words: Sequence[str], flags: Sequence[Flag]) -> Iterator[str]:
    named = {flag.name: flag for flag in flags if not flag.is_positional}
    given: Counter[str] = Counter()
    positional: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not _IS_FLAG.match(word):
            positional.append(word)
            continue
        written, equals, value = word.partition("=")
        name = written.replace("_", "-")
        if name not in named:
            yield f"unknown flag '{written}'.{_meant(name, named)}"
            while rest and not _IS_FLAG.match(rest[0]):  # its values cannot be checked
                rest.pop(0)
            continue
        given[name] += 1
        yield from _wrong_use(named[name], [value] if equals else _taken(rest, named[name]), bool(equals), given[name])
    yield from _wrong_positionals(positional, [flag for flag in flags if flag.is_positional])
    for name, flag in named.items():
        if flag.is_required and name not in given:
            yield f"expected {name} {flag.metavar}, got none. {flag.help}".rstrip()


def _wrong_use(flag: Flag, values: Sequence[str], has_equals: bool, count: int) -> Iterator[str]:
    """The mistake in an existing flag, if there is one, when it is given for the `count`-th time."""
    if flag.kind is bool:
        if has_equals:
            yield f"{flag.name} takes no value, got '{values[0]}'. Give {flag.name} alone, or leave it out."
        return
    if not values:
        yield f"expected a value after {flag.name}, such as {flag.name} {flag.metavar}, got none."
    for value in values:
        yield from _wrong_value(flag, flag.name, value)
    if count == 2 and not flag.is_repeatable:
        remedy = "Give all its values after one of them." if flag.is_many else "Leave one out."
        yield f"{flag.name} is given twice. Give it once. {remedy}"


def _taken(rest: list[str], flag: Flag) -> list[str]:
    """Removes a flag's values from the remaining words."""
    values: list[str] = []
    if flag.kind is bool:
        return values
    while rest and not _IS_FLAG.match(rest[0]) and ((flag.is_many and not flag.is_repeatable) or not values):
        values.append(rest.pop(0))
    return values


def _wrong_positionals(words: Sequence[str], flags: Sequence[Flag]) -> Iterator[str]:
    left = list(words)
    for flag in flags:
        label = flag.metavar.strip("[]")
        if flag.is_many:
            left = []
        elif left:
            yield from _wrong_value(flag, label, left.pop(0))
        elif flag.is_required:
            yield f"expected {label}, got none. {flag.help}".rstrip()
    for word in left:
        yield f"unexpected argument '{word}'."


def _wrong_value(flag: Flag, label: str, value: str) -> Iterator[str]:
    if flag.choices:
        choices = [str(choice) for choice in flag.choices]
        if value not in choices:
            wanted = f"'{choices[0]}'" if len(choices) == 1 else f"{label} to be one of {', '.join(choices)}"
            yield f"expected {wanted}, got '{value}'.{_meant(value, choices)}"
    elif flag.kind in _IN_WORDS:
        try:
            number = flag.kind(value)
            is_finite = math.isfinite(number)
        except (ValueError, OverflowError):
            is_finite = False
        if not is_finite:
            yield f"expected {label} to be {_IN_WORDS[flag.kind]}, got '{value}'."
        elif flag.kind is int and abs(number) > MAX_WHOLE_NUMBER:
            yield f"expected {label} to be a whole number of at most {MAX_WHOLE_NUMBER}, got {value}."
    elif not value:
        yield f"expected a value for {label}, got an empty one. A shell variable in the command may be unset."


def _meant(name: str, known: Sequence[str] | dict[str, Flag]) -> str:
    meant = guess(name, known)
    return f" Did you mean '{meant}'?" if meant else ""
