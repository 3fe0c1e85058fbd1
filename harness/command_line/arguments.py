"""The words of a call, looked at before they are parsed: what is wrong is told in a sentence each, all at once.

The parser, tyro, reads words that pass. What it would take without a word is refused here as well: a flag given twice.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence

from calvinbench.envs.names import guess
from calvinbench.harness.command_line.flags import Flag

_IS_FLAG = re.compile(r"--?[A-Za-z]")
_IN_WORDS = {int: "a whole number", float: "a number"}


class WrongCallError(ValueError):
    """A call that no verb can do; the message has a line for each thing that is wrong."""


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
            while rest and not _IS_FLAG.match(rest[0]):  # its values say nothing of what else is wrong
                rest.pop(0)
            continue
        given[name] += 1
        yield from _wrong_use(named[name], [value] if equals else _taken(rest, named[name]), bool(equals), given[name])
    yield from _wrong_positionals(positional, [flag for flag in flags if flag.is_positional])
    for name, flag in named.items():
        if flag.is_required and name not in given:
            yield f"expected {name} {flag.metavar}, got none. {flag.help}".rstrip()


def _wrong_use(flag: Flag, values: Sequence[str], has_equals: bool, count: int) -> Iterator[str]:
    """What is wrong with a flag that there is, the `count`-th time that it is given."""
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
        yield f"{flag.name} is given twice, and only one of them would count. {remedy}"


def _taken(rest: list[str], flag: Flag) -> list[str]:
    """Takes a flag's values off the words that are left."""
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
            is_finite = math.isfinite(flag.kind(value))
        except (ValueError, OverflowError):
            is_finite = False
        if not is_finite:
            yield f"expected {label} to be {_IN_WORDS[flag.kind]}, got '{value}'."


def _meant(name: str, known: Sequence[str] | dict[str, Flag]) -> str:
    meant = guess(name, known)
    return f" Did you mean '{meant}'?" if meant else ""
