"""A table as Markdown, as lines of a terminal, and as HTML."""

from collections.abc import Sequence
from html import escape
from itertools import groupby
from textwrap import wrap

from rich.cells import cell_len

from calvinbench.harness.report.tables.fitting import fit
from calvinbench.harness.report.tables.grid import Cell, Grid

_GAP = 2
_RULE = "\u2500"
_BOLD_ON, _BOLD_OFF = "\033[1m", "\033[0m"
_LEAST_WIDTH = 20


def to_markdown(grid: Grid) -> str:
    """A pipe table. Two lines of a cell are separated by `<br>`."""
    titles = [_pipes(title.replace("\n", " ")) for title in grid.titles]
    rows = [[_bold(_pipes("<br>".join(cell.lines)), cell, "**") for cell in row] for row in grid.rows]
    widths = [max(len(text) for text in column) for column in zip(titles, *rows, strict=True)]
    rules = [":" + "-" * (width + 1) for width in widths]
    lines = [_line(titles, widths), f"|{'|'.join(rules)}|"]
    return "\n".join([*lines, *(_line(row, widths) for row in rows)]) + "\n"


def _line(texts: Sequence[str], widths: Sequence[int]) -> str:
    return f"| {' | '.join(text.ljust(width) for text, width in zip(texts, widths, strict=True))} |"


def _pipes(text: str) -> str:
    return text.replace("|", "\\|")


def _bold(text: str, cell: Cell, sign: str) -> str:
    return f"{sign}{text}{sign}" if cell.is_best else text


def to_terminal(grid: Grid, width: int, is_styled: bool = False) -> str:
    """Lines of at most `width` letters. No word is broken, except one that is longer than the whole line.

    Args:
        grid: The table.
        width: Letters of a line.
        is_styled: Whether the best numbers are bold, by control codes.
    """
    fitted = fit(grid, float(max(width, _LEAST_WIDTH)), _letters, float(_GAP))
    blocks = [
        _block(block, [int(each) for each in widths], is_styled)
        for block, widths in zip(fitted.blocks, fitted.widths, strict=True)
    ]
    return "\n".join(blocks)


def _letters(text: str) -> float:
    return float(cell_len(text))


def _block(grid: Grid, widths: Sequence[int], is_styled: bool) -> str:
    lines = [*_group_lines(grid, widths)]
    titles = [_wrapped(column.title, width) for column, width in zip(grid.columns, widths, strict=True)]
    lines += _text_lines([[""] * (max(map(len, titles)) - len(title)) + title for title in titles], widths)
    rule = _RULE * (sum(widths) + _GAP * (len(widths) - 1))
    lines.append(rule)
    for number, row in enumerate(grid.rows):
        if grid.num_published and number == grid.num_rows - grid.num_published:
            lines.append(rule)
        texts = [
            [part for line in cell.lines for part in _wrapped(line, width)]
            for cell, width in zip(row, widths, strict=True)
        ]
        lines += _text_lines(texts, widths, [cell.is_best and is_styled for cell in row])
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _group_lines(grid: Grid, widths: Sequence[int]) -> list[str]:
    """The conditions, each over its columns."""
    if not any(column.group for column in grid.columns):
        return []
    texts, spans = [], []
    for name, same in groupby(zip(grid.columns, widths, strict=True), key=lambda pair: pair[0].group):
        members = [width for _, width in same]
        spans.append(sum(members) + _GAP * (len(members) - 1))
        texts.append(_wrapped(name, spans[-1]))
    return _text_lines([[""] * (max(map(len, texts)) - len(text)) + text for text in texts], spans)


def _wrapped(text: str, width: int) -> list[str]:
    return wrap(text, max(width, 1)) or [""]


def _text_lines(
    texts: Sequence[Sequence[str]], widths: Sequence[int], are_bold: Sequence[bool] | None = None
) -> list[str]:
    """Cells of several lines beside each other."""
    lines = []
    bolds = are_bold or [False] * len(texts)
    for place in range(max(map(len, texts))):
        parts = []
        for text, width, is_bold in zip(texts, widths, bolds, strict=True):
            part = text[place] if place < len(text) else ""
            padding = " " * (width - cell_len(part))
            parts.append((f"{_BOLD_ON}{part}{_BOLD_OFF}" if is_bold and part and not place else part) + padding)
        lines.append((" " * _GAP).join(parts))
    return lines


def to_html(grid: Grid, caption: str, notes: Sequence[str]) -> str:
    """A table for a notebook."""
    groups = [(name, len(list(same))) for name, same in groupby(column.group for column in grid.columns)]
    head = "".join(f'<th colspan="{count}">{escape(name)}</th>' for name, count in groups)
    above = f"<tr>{head}</tr>" if any(name for name, _ in groups) else ""
    titles = "".join(f"<th>{escape(column.title)}</th>" for column in grid.columns)
    rows = "".join(f"<tr>{''.join(f'<td>{_html(cell)}</td>' for cell in row)}</tr>" for row in grid.rows)
    below = "".join(f"<p><small>{escape(note)}</small></p>" for note in notes)
    return (
        f"<table><caption>{escape(caption)}</caption><thead>{above}<tr>{titles}</tr></thead>"
        f"<tbody>{rows}</tbody></table>{below}"
    )


def _html(cell: Cell) -> str:
    text = "<br>".join(escape(line) for line in cell.lines)
    return f"<b>{text}</b>" if cell.is_best else text
