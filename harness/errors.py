"""Errors of a run that a user can do something about."""


class RunFailedError(RuntimeError):
    """A run cannot go on; the message says why and what to do, and the traceback adds nothing."""
