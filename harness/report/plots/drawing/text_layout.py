"""Text that fits: its width before it is drawn, line breaks by width, and positions without overlap."""

import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from matplotlib import rcParams
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

POINTS_PER_INCH = 72
LINE_HEIGHT = 1.25
"""Distance of lines, in units of the size of the text."""
_PART = re.compile(r"[^\s\-_/,:]*[\-_/,:]*\s*")
"""A piece of a name after which a line may end."""


def width_in(text: str, size_pt: float, weight: str = "normal") -> float:
    """Width of one line of text in inches, in the font in force."""
    return _width_pt(text, size_pt, weight, tuple(rcParams["font.family"])) / POINTS_PER_INCH


@lru_cache(maxsize=4096)
def _width_pt(text: str, size_pt: float, weight: str, _family: tuple[str, ...]) -> float:
    font = FontProperties(size=size_pt, weight=weight)
    width, _, _ = text_to_path.get_text_width_height_descent(text, font, ismath=False)
    return float(width)


def widest_in(texts: Sequence[str], size_pt: float) -> float:
    """Width of the widest line in inches; 0 without text."""
    return max((width_in(line, size_pt) for text in texts for line in text.split("\n")), default=0.0)


def height_in(text: str, size_pt: float) -> float:
    """Height of text of one or several lines, in inches."""
    return (text.count("\n") + 1) * LINE_HEIGHT * size_pt / POINTS_PER_INCH


def wrap(text: str, max_width_in: float, size_pt: float) -> str:
    """The text in lines no wider than `max_width_in`. A line ends after a space, a comma or a hyphen if it can."""
    lines = [""]
    for part in filter(None, _PART.findall(text)):
        if width_in((lines[-1] + part).rstrip(), size_pt) <= max_width_in or not lines[-1]:
            lines[-1] += part
        else:
            lines.append(part)
        while width_in(lines[-1].rstrip(), size_pt) > max_width_in and len(lines[-1]) > 1:
            end = _longest_start(lines[-1], max_width_in, size_pt)
            lines[-1:] = [lines[-1][:end], lines[-1][end:]]
    return "\n".join(line.rstrip() for line in lines)


def breaks_no_word(text: str, max_width_in: float, size_pt: float) -> bool:
    """Whether lines of this width need no break inside a word."""
    return all(width_in(part.rstrip(), size_pt) <= max_width_in for part in _PART.findall(text))


def _longest_start(text: str, max_width_in: float, size_pt: float) -> int:
    end = len(text) - 1
    while end > 1 and width_in(text[:end], size_pt) > max_width_in:
        end -= 1
    return end


def shorten(text: str, max_width_in: float, size_pt: float) -> str:
    """The text on one line, its middle left out if it is too wide: beginnings and ends of names differ most."""
    if width_in(text, size_pt) <= max_width_in:
        return text
    kept = len(text) - 1
    while kept > 2:
        kept -= 1
        short = f"{text[: (kept + 1) // 2].rstrip()}…{text[len(text) - kept // 2 :].lstrip()}"
        if width_in(short, size_pt) <= max_width_in:
            return short
    return text[:1] + "…"


def spread(wanted: Sequence[float], sizes: Sequence[float], low: float, high: float) -> np.ndarray:
    """Centres that do not overlap, as near to the wanted ones as possible, between `low` and `high` if there is room.

    Args:
        wanted: Wanted centres.
        sizes: Sizes, as many.
        low: Lowest edge.
        high: Highest edge.
    """
    if not len(wanted):
        return np.zeros(0)
    order = np.argsort(np.asarray(wanted), kind="stable")
    size = np.asarray(sizes, dtype=float)[order]
    offsets = np.concatenate([[0.0], np.cumsum((size[1:] + size[:-1]) / 2)])
    shifted = _rising(np.asarray(wanted, dtype=float)[order] - offsets)
    first, last = low + size[0] / 2, high - size[-1] / 2 - offsets[-1]
    shifted = np.clip(shifted, first, last) if first <= last else np.full(len(shifted), (first + last) / 2)
    centres = np.empty(len(size))
    centres[order] = shifted + offsets
    return centres


def _rising(values: np.ndarray) -> np.ndarray:
    """The nearest values that never fall: isotonic regression by pooling adjacent violators."""
    pools: list[tuple[float, int]] = []
    for value in values:
        mean, count = float(value), 1
        while pools and pools[-1][0] > mean:
            other, other_count = pools.pop()
            mean, count = (mean * count + other * other_count) / (count + other_count), count + other_count
        pools.append((mean, count))
    return np.concatenate([np.full(count, mean) for mean, count in pools])
