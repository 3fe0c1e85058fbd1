"""A table in LaTeX, for the package booktabs, as wide as a column (3.4 in) or a text (7 in) at most."""

from collections.abc import Sequence
from itertools import groupby

from calvinbench.harness.report.latex import escape, notes_below
from calvinbench.harness.report.tables.fitting import fit
from calvinbench.harness.report.tables.grid import Cell, Column, Grid

POINTS_PER_INCH = 72.27
COLUMN_IN, TEXT_IN = 3.4, 7.0
"""Widths of a column and of the text of a paper in two columns."""
_SPAN_FROM_IN = 4.5
"""From this width on the table stands over both columns (`table*`)."""
_COLSEP_PT = 3.0
_MARGIN_PT = 2.0
_BOLD = 1.16
"""How much wider bold letters are."""
_WIDTHS = {
    **dict.fromkeys("0123456789", 4.26),
    **dict.fromkeys(".,;:'|!il", 2.4),
    **dict.fromkeys("jI[]()-fr t", 3.4),
    **dict.fromkeys("mwMW%", 8.1),
    **dict.fromkeys("\u00b1\u2248\u2020\u2021*+", 7.0),
}
"""Widths in points of letters of Computer Modern at 8 points, rounded up."""
_OTHER_LETTER, _CAPITAL = 4.75, 6.7


def letters_width(text: str) -> float:
    """The width of a line in points at 8 points, at least as wide as LaTeX sets it in bold."""
    return _BOLD * sum(_WIDTHS.get(sign, _CAPITAL if sign.isupper() else _OTHER_LETTER) for sign in text)


def to_latex(grid: Grid, caption: str, notes: Sequence[str], width_in: float, label: str) -> str:
    r"""A float with caption, table and notes. Only booktabs is needed.

    Args:
        grid: The table.
        caption: Above it.
        notes: Below it, in small letters.
        width_in: Inches that there are.
        label: For `\ref`.
    """
    width = width_in * POINTS_PER_INCH - _MARGIN_PT
    fitted = fit(grid, width, letters_width, 2 * _COLSEP_PT)
    name = "table*" if width_in >= _SPAN_FROM_IN else "table"
    blocks = [_tabular(block, widths) for block, widths in zip(fitted.blocks, fitted.widths, strict=True)]
    lines = [
        "% needs \\usepackage{booktabs}",
        f"\\begin{{{name}}}[t]",
        "\\centering",
        f"\\caption{{{_text(caption)}}}",
        f"\\label{{{label}}}",
        f"\\footnotesize\\setlength{{\\tabcolsep}}{{{_COLSEP_PT:g}pt}}",
        "\n\\par\\medskip\n".join(blocks),
    ]
    below = notes_below(notes) if notes else ""
    return "\n".join(lines) + f"\n{below}\\end{{{name}}}\n"


def _tabular(grid: Grid, widths: Sequence[float]) -> str:
    is_broken = [
        column.is_text and letters_width(_longest(column)) > width + 0.01
        for column, width in zip(grid.columns, widths, strict=True)
    ]
    forms = "".join(
        f"p{{{width:.1f}pt}}" if broken else "l" if column.is_text else "c"
        for column, width, broken in zip(grid.columns, widths, is_broken, strict=True)
    )
    lines = [f"\\begin{{tabular}}{{@{{}}{forms}@{{}}}}", "\\toprule", *_groups(grid, widths)]
    lines += [
        _row([_broken(_text(column.title), broken) for column, broken in zip(grid.columns, is_broken, strict=True)])
    ]
    lines.append("\\midrule")
    for number, row in enumerate(grid.rows):
        if grid.num_published and number == grid.num_rows - grid.num_published:
            lines.append("\\midrule")
        first = [_broken(_bold(cell, 0), broken) for cell, broken in zip(row, is_broken, strict=True)]
        lines.append(_row(first))
        if any(len(cell.lines) > 1 for cell in row):
            lines.append(_row([_bold(cell, 1) for cell in row]))
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}"])


def _longest(column: Column) -> str:
    texts = [column.title, *(line for cell in column.cells for line in cell.lines)]
    return max(texts, key=letters_width)


def _groups(grid: Grid, widths: Sequence[float]) -> list[str]:
    """A row with the conditions, and a rule below each."""
    if not any(column.group for column in grid.columns):
        return []
    parts, rules, place = [], [], 1
    for name, same in groupby(zip(grid.columns, widths, strict=True), key=lambda pair: pair[0].group):
        members = [width for _, width in same]
        count, width = len(members), sum(members) + 2 * _COLSEP_PT * (len(members) - 1)
        box = f"\\parbox[b]{{{width:.1f}pt}}{{\\centering {_text(name)}}}"
        parts.append(f"\\multicolumn{{{count}}}{{c}}{{{box}}}" if name else " & ".join([""] * count))
        rules += [f"\\cmidrule(lr){{{place}-{place + count - 1}}}"] if name else []
        place += count
    return [_row(parts), "".join(rules)]


def _row(cells: Sequence[str]) -> str:
    return f"{' & '.join(cells)} \\\\"


def _broken(text: str, is_broken: bool) -> str:
    """Text that may be broken between words, without being spread over the line."""
    return f"{{\\raggedright {text}\\par}}" if is_broken else text


def _bold(cell: Cell, line: int) -> str:
    if line >= len(cell.lines):
        return ""
    text = cell.lines[line]
    shown = _text(text)
    if text.startswith(("[", "*")):  # \\ would take [...] or * as its argument
        shown = f"{{{shown}}}"
    return f"\\textbf{{{shown}}}" if cell.is_best and not line else shown


def _text(text: str) -> str:
    return escape(text.replace("\n", " "))
