"""Figures that are drawn but not rendered: rendering takes nine tenths of the time of a report."""

import io
from functools import cache
from pathlib import Path

from matplotlib.figure import Figure

_render = Figure.savefig


def save_small(figure: Figure, target, *, format: str | None = None, **_: object) -> None:  # noqa: A002
    """Takes the place of `Figure.savefig`: writes an empty figure in the format asked for."""
    content = _empty(format or Path(target).suffix.removeprefix("."))
    if isinstance(target, io.TextIOBase):
        target.write(content.decode())
    elif hasattr(target, "write"):
        target.write(content)
    else:
        Path(target).write_bytes(content)


@cache
def _empty(suffix: str) -> bytes:
    written = io.BytesIO()
    _render(Figure(figsize=(1, 1)), written, format=suffix, dpi=10)
    return written.getvalue()
