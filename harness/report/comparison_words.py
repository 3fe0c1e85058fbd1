"""A comparison as text and as a table in Markdown."""

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
    """Notes below the table of pairs: whether any runs differ, and what the columns mean."""
    parts = []
    is_aside = len(comparison.rivals) < len(comparison.runs)
    if comparison.cochrans_q:
        tests = ", ".join(
            f"{k}: Q = {found.statistic:.1f}, p = {found.p_value:.2g}"
            for k, found in enumerate(comparison.cochrans_q, start=1)
        )
        which = "compared policies" if is_aside else "runs"
        parts.append(f"Cochran's Q test of whether any {which} differ, by number of subtasks in a row: {tests}.")
    parts.append(
        f"Differences are first minus second, paired by chain, over the {comparison.num_chains} chains that all runs "
        "have finished. Brackets: 95% confidence intervals. `difference`: bootstrap over chains; `clustered`: "
        "bootstrap over initial states, each with all its chains; columns by number of subtasks: Tango. `p`: exact "
        "sign-flip test over chains (in `clustered`, over initial states), McNemar's test for each number of "
        "subtasks. `p (Holm)`: the larger of the two sign-flip p, corrected over all pairs"
        f"{' of compared policies' if is_aside else ''}{_against(comparison)}. `detectable`: the smallest difference "
        "that this number of chains detects with 80% "
        "power. The intervals do not include training-seed variance."
    )
    if is_aside:
        parts.append(
            f"Compared policies are the {len(comparison.rivals)} that are not privileged. Pairs with a privileged "
            "policy are shown, but are not part of Holm's correction or of the verdict."
        )
    return parts


def _against(comparison: Comparison) -> str:
    return "" if comparison.reference is None else f" (only pairs with {comparison.reference} are tested)"


def in_words(comparison: Comparison) -> str:
    """The verdict, the table of pairs and notes on its columns, in Markdown."""
    return "\n\n".join([comparison.verdict, pair_table(comparison), *explanations(comparison)])
