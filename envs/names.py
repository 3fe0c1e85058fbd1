"""Looks up a name, with a helpful error if it does not exist."""

import re
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from types import MappingProxyType


class UnknownNameError(KeyError, ValueError):
    """An unknown name; the message lists the known names and suggests one."""

    def __str__(self) -> str:
        return str(self.args[0])


_NO_ALIASES: Mapping[str, str] = MappingProxyType({})


def require_name(name: str, known: Collection[str], kind: str, aliases: Mapping[str, str] = _NO_ALIASES) -> str:
    """Returns `name` if it is known, or raises an error.

    Args:
        name: What the user wrote.
        known: The names that exist.
        kind: What the name denotes, for the message: `"task"`, `"scene"`, ...
        aliases: Names used elsewhere, and the known name for each. An alias is suggested before a name that only
            looks similar.

    Raises:
        UnknownNameError: `name` is not in `known`; the message says "did you mean" and lists the known names.
    """
    if name in known:
        return name
    meant = aliases.get(str(name).lower().replace("-", "_"))
    if meant not in known:
        meant = guess(str(name), known)
    hint = f" Did you mean '{meant}'?" if meant else ""
    raise UnknownNameError(f"Unknown {kind} '{name}'.{hint} Known: {', '.join(sorted(known))}.")


def guess(name: str, known: Collection[str]) -> str | None:
    """The known name that was probably meant, by its initials, its beginning, or its letters.

    Args:
        name: What the user wrote.
        known: The names that exist.

    Returns:
        A known name, such as `learning_rate` for `lr`; None if none is similar.
    """
    plain = {each: each.lower().lstrip("-") for each in known}
    wanted = name.lower().lstrip("-")
    if len(wanted) > 1:
        for each, text in plain.items():
            words = [word for word in re.split(r"[-_ ]", text) if word]
            if len(words) > 1 and min(map(len, words)) > 1 and "".join(word[0] for word in words) == wanted:
                return each
    beginnings = [each for each, text in plain.items() if len(wanted) > 2 and text.startswith(wanted)]
    if len(beginnings) == 1:
        return beginnings[0]
    near = get_close_matches(wanted, plain.values(), n=1, cutoff=0.5)
    return next((each for each, text in plain.items() if near and text == near[0]), None)
