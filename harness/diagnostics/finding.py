"""The result of one check of `doctor`."""

from dataclasses import dataclass

OK, MISSING, FAILED = "ok", "missing", "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check.

    Attributes:
        name: What was checked.
        status: `ok`, `missing` or `failed`.
        detail: What was found.
        remedy: How to fix it; empty if there is nothing to fix.
        is_needed: Whether calvinbench needs it for its main job.
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
