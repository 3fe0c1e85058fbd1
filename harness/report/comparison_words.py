"""A comparison as text: the table of pairs, and what its columns mean."""

import math
from dataclasses import replace

import pandas as pd

from calvinbench.envs.names import require_name
from calvinbench.harness.analysis.comparison import Comparison
from calvinbench.harness.analysis.paired_statistics import PairedRates
from calvinbench.harness.analysis.run_pairs import RunPair
from calvinbench.harness.analysis.seed_differences import SeedRates
from calvinbench.harness.analysis.statistics import Interval
from calvinbench.harness.report.tables.columns import Estimate
from calvinbench.harness.report.tables.grid import NOT_THERE, Cell, Column, Grid
from calvinbench.harness.report.tables.style import TableStyle

_DIFFERENCE, _HOLM = "difference", "p (Holm)"
_PLAIN_COLUMNS = (_DIFFERENCE, _HOLM)
_ALIASES = {"holm": _HOLM, "avg": _DIFFERENCE}


def pair_rows(comparison: Comparison) -> list[dict[str, str]]:
    """One row a pair, as text by column."""
    return [
        {"first": pair.first, "second": pair.second}
        | {"difference": f"{pair.difference.value:+.2f} {_interval(pair.difference.interval, 1.0, 2)}"}
        | {"clustered": f"{_interval(pair.clustered.interval, 1.0, 2)} (p {pair.clustered.p_value:.2g})"}
        | {"p": f"{pair.difference.p_value:.2g}"}
        | {"p (Holm)": "-" if pair.adjusted_p_value is None else f"{pair.adjusted_p_value:.2g}"}
        | {f"{k}": _rates(rates) for k, rates in enumerate(pair.rates, 1)}
        | {"detectable": "-" if math.isnan(pair.detectable) else f"{pair.detectable:.2f}"}
        for pair in comparison.pairs
    ]


def _rates(rates: PairedRates | SeedRates) -> str:
    return f"{100 * rates.difference:+.1f} {_interval(rates.interval, 100.0, 1)} (p {rates.p_value:.2g})"


def _interval(interval: Interval, scale: float, digits: int) -> str:
    return f"[{scale * interval.low:+.{digits}f}, {scale * interval.high:+.{digits}f}]"


def pair_table(comparison: Comparison) -> str:
    """The pairs in Markdown."""
    return str(pd.DataFrame(pair_rows(comparison)).to_markdown(index=False, disable_numparse=True))


def pair_grid(comparison: Comparison, style: TableStyle | None = None) -> Grid:
    """The pairs for a terminal or a text: difference of average length with its interval, and the corrected p-value.

    Args:
        comparison: The comparison.
        style: `columns` are some of `difference`, `clustered`, `p`, `holm`, `1`, `2`, ... and `detectable`; `order`, if
            it is `success`, sorts the pairs by difference; None for the usual form.

    Raises:
        UnknownNameError: A column does not exist.
    """
    style = style or TableStyle()
    pairs = list(comparison.pairs if style.order == "success" else comparison.shown_pairs)
    if style.order == "success":
        pairs.sort(key=lambda pair: -pair.difference.value)
    num_rates = len(pairs[0].rates)
    known = (_DIFFERENCE, "clustered", "p", _HOLM, *(str(k) for k in range(1, num_rates + 1)), "detectable")
    names = [_ALIASES.get(name, name) for name in style.columns or _PLAIN_COLUMNS]
    columns = [
        Column("First", tuple(Cell(pair.first) for pair in pairs), is_text=True),
        Column("Second", tuple(Cell(pair.second) for pair in pairs), is_text=True),
    ]
    if comparison.reference is not None:
        columns = [Column(f"Minus {comparison.reference}", columns[0].cells, is_text=True)]
    for name in names:
        require_name(name, known, "column")
        cells = tuple(_pair_cell(pair, name, style) for pair in pairs)
        columns.append(Column(name[0].upper() + name[1:], cells, keeps_interval=name == _DIFFERENCE))
    return Grid(tuple(columns))


def _pair_cell(pair: RunPair, name: str, style: TableStyle) -> Cell:
    """A number of a pair; what is significant is in bold."""
    digits = style.precision + 1
    if name == _DIFFERENCE:
        cell = Estimate(pair.difference.value, pair.difference.interval, digits).cell(style, "", pair.is_significant)
        return _signed(cell)
    if name == "clustered":
        return _signed(Estimate(pair.difference.value, pair.clustered.interval, digits).cell(style))
    if name == "p":
        return Cell(f"{pair.difference.p_value:.2g}")
    if name == _HOLM:
        return Cell(NOT_THERE if pair.adjusted_p_value is None else f"{pair.adjusted_p_value:.2g}")
    if name == "detectable":
        return Cell(NOT_THERE if math.isnan(pair.detectable) else f"{pair.detectable:.{digits}f}")
    rates = pair.rates[int(name) - 1]
    scaled = Interval(100 * rates.interval.low, 100 * rates.interval.high)
    is_significant = bool(pair.adjusted_rate_p_values) and pair.is_significant_at(int(name))
    return _signed(Estimate(100 * rates.difference, scaled, style.precision).cell(style, "", is_significant))


def _signed(cell: Cell) -> Cell:
    return cell if cell.text.startswith(("-", NOT_THERE)) else replace(cell, text=f"+{cell.text}")


def short_explanation(comparison: Comparison) -> str:
    """One sentence on the numbers of `pair_grid`."""
    shown, whole = len(comparison.shown_pairs), len(comparison.pairs)
    which = f"{shown} of {whole} pairs: those with the best. " if shown < whole else ""
    return f"{which}Difference of average length, first minus second, with its 95% interval; bold: significant."


def explanations(comparison: Comparison) -> list[str]:
    """Notes below the table of pairs: whether any runs differ, and what the columns mean."""
    parts = []
    is_aside = len(comparison.rivals) < len(comparison.methods)
    if comparison.cochrans_q:
        tests = ", ".join(
            f"{k}: Q = {found.statistic:.1f}, p = {found.p_value:.2g}"
            for k, found in enumerate(comparison.cochrans_q, start=1)
        )
        which = "compared policies" if is_aside else "methods"
        parts.append(f"Cochran's Q test of whether any {which} differ, by number of subtasks in a row: {tests}.")
    parts.append(
        f"Differences are first minus second, paired by chain, over the {comparison.num_chains} chains that all runs "
        "have finished. Brackets: 95% confidence intervals. `difference`: over chains; `clustered`: over initial "
        "states, each with all its chains. `p (Holm)`: the larger of both p-values, corrected over all pairs"
        f"{' of compared policies' if is_aside else ''}{_against(comparison)}. `detectable`: the smallest difference "
        "that this number of chains detects with 80% power."
    )
    if any(not _has_seeds(pair) for pair in comparison.pairs):
        which = "Pairs of single runs" if comparison.has_seeds else "Tests"
        parts.append(
            f"{which}: bootstrap intervals and exact sign-flip tests for average lengths, Tango's intervals and "
            "McNemar's exact test for each number of subtasks. They do not include training-seed variance."
        )
    if comparison.has_seeds:
        parts.append(
            "Pairs in which a method has several training seeds: means over seeds in each chain, with Student's "
            "intervals and tests for crossed seeds and chains. They include the training-seed variance of these "
            "methods; that of a method with a single run is unknown."
        )
    if is_aside:
        parts.append(
            f"Compared policies are the {len(comparison.rivals)} that are not privileged. Pairs with a privileged "
            "policy are shown, but are not part of Holm's correction or of the verdict."
        )
    return parts


def _has_seeds(pair: RunPair) -> bool:
    return isinstance(pair.rates[0], SeedRates)


def _against(comparison: Comparison) -> str:
    return "" if comparison.reference is None else f" (only pairs with {comparison.reference} are tested)"


def in_words(comparison: Comparison) -> str:
    """The verdict, the table of pairs and notes on its columns, in Markdown."""
    return "\n\n".join([comparison.verdict, pair_table(comparison), *explanations(comparison)])
