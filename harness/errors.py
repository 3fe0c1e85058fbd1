"""Errors of a run that the user can fix."""


class RunFailedError(RuntimeError):
    """A run cannot go on. The message says why and what to do, so that no traceback is needed."""
