"""Looking a name up, with a helpful error where it does not exist."""

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from types import MappingProxyType


class UnknownNameError(KeyError, ValueError):
    """A name that is not among the known ones; the message lists them and guesses which was meant."""

    def __str__(self) -> str:
        return str(self.args[0])


_NO_ALIASES: Mapping[str, str] = MappingProxyType({})


def require_name(name: str, known: Collection[str], kind: str, aliases: Mapping[str, str] = _NO_ALIASES) -> str:
    """Returns `name` if it is known.

    Args:
        name: What the user wrote.
        known: The names that exist.
        kind: What the names are names of, for the message: `"task"`, `"scene"`, ...
        aliases: What people write elsewhere, and the known name for it; a known name is suggested before one that
            merely looks alike.

    Raises:
        UnknownNameError: `name` is not in `known`; the message says "did you mean" and lists the known names.
    """
    if name in known:
        return name
    meant = aliases.get(name.lower().replace("-", "_"))
    guesses = [meant] if meant in known else get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f" Did you mean '{guesses[0]}'?" if guesses else ""
    raise UnknownNameError(f"Unknown {kind} '{name}'.{hint} Known: {', '.join(sorted(known))}.")
