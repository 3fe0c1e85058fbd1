"""A comparison in words and as a table in Markdown."""

import math

import pandas as pd

from calvinbench.harness.analysis.comparison import Comparison
from calvinbench.harness.analysis.paired_statistics import PairedRates
from calvinbench.harness.analysis.statistics import Interval


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


def _rates(rates: PairedRates) -> str:
    return f"{100 * rates.difference:+.1f} {_interval(rates.interval, 100.0, 1)} (p {rates.p_value:.2g})"


def _interval(interval: Interval, scale: float, digits: int) -> str:
    return f"[{scale * interval.low:+.{digits}f}, {scale * interval.high:+.{digits}f}]"


def pair_table(comparison: Comparison) -> str:
    """The pairs in Markdown."""
    return str(pd.DataFrame(pair_rows(comparison)).to_markdown(index=False, disable_numparse=True))


def explanations(comparison: Comparison) -> list[str]:
    """What stands below the pairs: whether any differ, and what the columns mean."""
    parts = []
    is_aside = len(comparison.rivals) < len(comparison.runs)
    if comparison.cochrans_q:
        tests = ", ".join(
            f"{k}: Q = {found.statistic:.1f}, p = {found.p_value:.2g}"
            for k, found in enumerate(comparison.cochrans_q, start=1)
        )
        whether = f"Whether any {'rivals ' if is_aside else ''}differ"
        parts.append(f"{whether}, by Cochran's Q at so many subtasks in a row: {tests}.")
    parts.append(
        f"First minus second, over the {comparison.num_chains} chains that all have finished, paired by chain; in "
        "brackets 95% intervals: of the difference by bootstrap over chains, and over initial states, whose chains are "
        "drawn together (clustered), at each number of subtasks by Tango; p by exact sign flips of chains and of "
        "initial states, by McNemar at each number of subtasks; p (Holm) is the larger of the first two, over all "
        f"pairs{' of rivals' if is_aside else ''}{_against(comparison)}; the last column is the smallest difference "
        "that so many chains find with a chance of 80%. Intervals over chains do not cover what another training seed "
        "would change."
    )
    if is_aside:
        parts.append(
            f"Rivals are the {len(comparison.rivals)} policies that are not privileged; pairs with a privileged one "
            "are shown, but stand outside of Holm's correction and of the verdict."
        )
    return parts


def _against(comparison: Comparison) -> str:
    return "" if comparison.reference is None else f", which are those with {comparison.reference} alone"


def in_words(comparison: Comparison) -> str:
    """The verdict, the pairs and what their columns mean, in Markdown."""
    return "\n\n".join([comparison.verdict, pair_table(comparison), *explanations(comparison)])
