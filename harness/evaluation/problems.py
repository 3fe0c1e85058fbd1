"""All that is wrong with a call, collected and said at once."""

from collections.abc import Iterator
from contextlib import contextmanager

from calvinbench.harness.errors import RunFailedError


class ProblemsError(ValueError):
    """Several things are wrong with a call; each has a line of the message."""


class FailedProblemsError(RunFailedError):
    """Several things are wrong, none of them with the call: they lie with this machine."""


class Problems:
    """Errors that were raised while a call was looked at."""

    def __init__(self) -> None:
        self._errors: list[tuple[str | None, Exception]] = []

    @property
    def count(self) -> int:
        """How many were collected so far."""
        return len(self._errors)

    @contextmanager
    def collected(self, about: str | None = None) -> Iterator[None]:
        """Keeps an error that the block raises for later, if it is one that a user can do something about.

        Args:
            about: What the block looks at, which stands before its error among others.
        """
        try:
            yield
        except (ValueError, RunFailedError, OSError) as error:
            self._errors.append((about, error))

    def require_none(self) -> None:
        """Raises what was collected: a single error as it is, several as one.

        Raises:
            ProblemsError: There are several, and at least one lies with the call.
            FailedProblemsError: There are several, and all lie with the machine.
        """
        listed: dict[str, Exception] = {}
        for about, error in self._errors:
            is_named = about is None or about in str(error)
            listed.setdefault(str(error) if is_named else f"{about}: {error}", error)
        if len({str(error) for error in listed.values()}) == 1:
            raise next(iter(listed.values()))
        if not listed:
            return
        lines = "".join(f"\n  - {line.replace(chr(10), f'{chr(10)}    ')}" for line in listed)
        kind = ProblemsError if any(isinstance(error, ValueError) for error in listed.values()) else FailedProblemsError
        raise kind(f"{len(listed)} problems, before anything was run:{lines}")
