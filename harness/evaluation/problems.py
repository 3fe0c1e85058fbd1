"""Collects all problems of a call, to report them together."""

from collections.abc import Iterator
from contextlib import contextmanager

from calvinbench.harness.errors import RunFailedError


class ProblemsError(ValueError):
    """A call has several problems; the message has a line for each."""


class FailedProblemsError(RunFailedError):
    """There are several problems, all of them with this machine and none with the call."""


class Problems:
    """Errors that were raised while a call was checked."""

    def __init__(self) -> None:
        self._errors: list[tuple[str | None, Exception]] = []

    @property
    def count(self) -> int:
        """The number of errors so far."""
        return len(self._errors)

    @contextmanager
    def collected(self, about: str | None = None) -> Iterator[None]:
        """Keeps an error of the block for later, if the user can do something about it.

        Args:
            about: What the block checks. It stands before the error if there are several.
        """
        try:
            yield
        except (ValueError, RunFailedError, OSError) as error:
            self._errors.append((about, error))

    def require_none(self) -> None:
        """Raises the collected errors: a single one unchanged, several as one error.

        Raises:
            ProblemsError: There are several, and at least one is a problem of the call.
            FailedProblemsError: There are several, and all are problems of the machine.
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
