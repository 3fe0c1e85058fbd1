"""One thing that `doctor` examined, and what came of it."""

from dataclasses import dataclass

OK, MISSING, FAILED = "ok", "missing", "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: What.
        status: `ok`, `missing` or `failed`.
        detail: What was found.
        remedy: What to do about it; empty where nothing need be done.
        is_needed: Whether calvinbench cannot do its main job without it.
    """

    name: str
    status: str
    detail: str
    remedy: str = ""
    is_needed: bool = True

    @property
    def is_trouble(self) -> bool:
        """Whether something needed does not work."""
        return self.is_needed and self.status != OK
