"""Figures as pictures inside the page.

They are SVG in the page itself, not files beside it: a page that is sent by mail or opened from an archive is whole. As
`img` elements they have a size before they are drawn (nothing moves), ids of their own, and do not burden the document.
Rounded and stripped of what only editors need, they take about a third of matplotlib's bytes.
"""

import base64
import io
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from urllib.parse import quote

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from calvinbench.harness.report.html.file_links import FIGURE_SUFFIXES, FileLink, links_to, named_links
from calvinbench.harness.report.plots.style import WIDTH_IN, figure_of, style

_NUMBERS = {
    "survival": ("table.csv",),
    "conditional": ("conditional.csv",),
    "tasks": ("tasks.csv",),
    "pairs": ("pairs.csv",),
    "latency": ("speed.csv",),
    "tradeoff": ("runs.csv", "speed.csv"),
    "memory": ("table.csv",),
    "first-failures": ("first-failures.csv",),
    "conditions": ("table.csv",),
}
"""Files with the numbers of figures, by the beginning of a figure's name."""
_PX_PER_IN = 96
_LARGEST_SVG = 400_000
"""Bytes. A larger figure is in the page as PNG: its numbers of marks make SVG larger and slow."""
_PNG_DPI = 220


@dataclass(frozen=True, slots=True)
class Drawn:
    """A figure for the page.

    Attributes:
        caption: Below it; also said to people who hear the page.
        axes: Its axes, or an array of them.
        is_detail: Whether it is folded where there are several such.
    """

    caption: str
    axes: Axes | np.ndarray
    is_detail: bool = False


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure in the page.

    Attributes:
        name: The name of its files, without suffix.
        caption: Below it.
        source: A `data:` address.
        width_px: Width at which letters have the size that they have in print.
        height_px: The same for the height.
        is_wide: Whether it is wider than a column of a paper.
        is_detail: See `Drawn`.
        files: Its files, and those with its numbers.
    """

    name: str
    caption: str
    source: Markup
    width_px: int
    height_px: int
    is_wide: bool
    is_detail: bool
    files: tuple[FileLink, ...]


def picture(name: str, drawn: Drawn, files: Collection[str]) -> Picture:
    """A figure as a picture.

    Args:
        name: The name of its files, without suffix.
        drawn: The figure.
        files: Names of the files in the report's folder.
    """
    figure = figure_of(drawn.axes)
    svg = small_svg(_saved(figure, "svg").decode())
    width, height = figure.get_size_inches()
    numbers = next((_NUMBERS[known] for known in _NUMBERS if name.startswith(known)), ())
    return Picture(
        name,
        drawn.caption,
        Markup(_svg_source(svg) if len(svg) <= _LARGEST_SVG else _png_source(_saved(figure, "png"))),  # noqa: S704
        round(width * _PX_PER_IN),
        round(height * _PX_PER_IN),
        bool(width > WIDTH_IN),
        drawn.is_detail,
        (*links_to([name], files, FIGURE_SUFFIXES), *named_links(numbers, files)),
    )


def _saved(figure: Figure, form: str) -> bytes:
    written = io.BytesIO()
    metadata = {"Date": None} if form == "svg" else None
    with style({"svg.hashsalt": "calvinbench", "svg.fonttype": "path"}):
        figure.savefig(written, format=form, metadata=metadata, dpi=_PNG_DPI)
    return written.getvalue()


_LONG_NUMBER = re.compile(r"-?\d+\.\d{2,}(?:e-?\d+)?")
_DIGITS = 2
"""Behind the point, in points of 1/72 inch: finer than a printer's dots."""
_GLYPH_DIGITS = 1
"""Of letters' outlines, which are drawn at about a hundredth of their size."""


def small_svg(svg: str) -> str:
    """Matplotlib's SVG with what draws nothing left out, numbers rounded, and short ids."""
    svg = svg[svg.index("<svg") :].strip()
    svg = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<path id="[^"]*" d=")([^"]*)', lambda found: found[1] + _rounded(found[2], _GLYPH_DIGITS), svg)
    svg = re.sub(r'(?<= d=")[^"]*', lambda found: _rounded(found[0], _DIGITS), svg)
    svg = re.sub(r'(?<= (?:x|y)=")[^"]*', lambda found: _rounded(found[0], _DIGITS), svg)
    svg = re.sub(r"translate\([^)]*\)", lambda found: _rounded(found[0], _DIGITS), svg)
    svg = re.sub(r"\s*\n\s*", "\n", svg).replace(">\n<", "><")
    svg = re.sub(r'<use xlink:href="([^"]*)" transform="translate\(([^ )]*) 0\)"/>', _letter, svg)
    used = set(re.findall(r"#([^\")]+)[\")]", svg))
    svg = re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in used else "", svg)
    names = {name: _short(place) for place, name in enumerate(sorted(used))}
    return re.sub(r'(?<=id=")[^"]+|(?<="#)[^"]+|(?<=url\(#)[^)]+', lambda found: names.get(found[0], found[0]), svg)


def _letter(found: re.Match[str]) -> str:
    """A letter of a text, at a place in units of about a hundredth of its size."""
    return f'<use xlink:href="{found[1]}" x="{float(found[2]):.0f}"/>'


def _rounded(text: str, digits: int) -> str:
    def shorter(found: re.Match[str]) -> str:
        number = f"{float(found[0]):.{digits}f}".rstrip("0").rstrip(".")
        return "0" if number == "-0" else number

    return re.sub(r"\s*\n\s*", "", re.sub(r"([MLQCHVz]) ", r"\1", _LONG_NUMBER.sub(shorter, text)))


def _short(place: int) -> str:
    return f"i{place:x}"


def _svg_source(svg: str) -> str:
    """A `data:` address: only what an attribute or an address cannot hold is written in another way."""
    return "data:image/svg+xml," + quote(svg.replace('"', "'"), safe=" !$&'()*+,-./:;=?@_~").replace("&", "&amp;")


def _png_source(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def split_details(pictures: Sequence[Picture], most_shown: int) -> tuple[list[Picture], list[Picture]]:
    """The pictures to show in one grid, and the details to fold: all of them if there are more than `most_shown`."""
    folds = sum(each.is_detail for each in pictures) > most_shown
    return [each for each in pictures if not (folds and each.is_detail)], [
        each for each in pictures if folds and each.is_detail
    ]
