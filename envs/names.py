"""Looking a name up, with a helpful error where it does not exist."""

from collections.abc import Collection
from difflib import get_close_matches


class UnknownNameError(KeyError, ValueError):
    """A name that is not among the known ones; the message lists them and guesses which was meant."""

    def __str__(self) -> str:
        return str(self.args[0])


def require_name(name: str, known: Collection[str], kind: str) -> str:
    """Returns `name` if it is known.

    Args:
        name: What the user wrote.
        known: The names that exist.
        kind: What the names are names of, for the message: `"task"`, `"scene"`, ...

    Raises:
        UnknownNameError: `name` is not in `known`; the message says "did you mean" and lists the known names.
    """
    if name in known:
        return name
    guesses = get_close_matches(str(name), known, n=1, cutoff=0.5)
    hint = f" Did you mean '{guesses[0]}'?" if guesses else ""
    raise UnknownNameError(f"Unknown {kind} '{name}'.{hint} Known: {', '.join(sorted(known))}.")
