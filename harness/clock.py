"""The only place where the harness reads the time."""

import time
from datetime import UTC, datetime


def seconds() -> float:
    """Seconds since some fixed moment; differences are durations."""
    return time.perf_counter()


def timestamp() -> str:
    """The date and time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
