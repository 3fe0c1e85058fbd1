"""A comparison in words and as a table in Markdown."""

import math

import pandas as pd

from calvinbench.harness.comparison import Comparison
from calvinbench.harness.paired_statistics import PairedDifference


def pair_rows(comparison: Comparison) -> list[dict[str, str]]:
    """One row a pair, as text by column."""

    def interval(difference: PairedDifference) -> str:
        return f"[{difference.interval.low:+.2f}, {difference.interval.high:+.2f}]"

    return [
        {"first": pair.first, "second": pair.second}
        | {"difference": f"{pair.difference.value:+.2f} {interval(pair.difference)}"}
        | {"clustered": interval(pair.clustered)}
        | {"p": f"{pair.difference.p_value:.2g}", "p (Holm)": f"{pair.adjusted_p_value:.2g}"}
        | {f"{k}": f"{100 * rates.difference:+.1f} (p {rates.p_value:.2g})" for k, rates in enumerate(pair.rates, 1)}
        | {"detectable": "-" if math.isnan(pair.detectable) else f"{pair.detectable:.2f}"}
        for pair in comparison.pairs
    ]


def pair_table(comparison: Comparison) -> str:
    """The pairs in Markdown."""
    return str(pd.DataFrame(pair_rows(comparison)).to_markdown(index=False, disable_numparse=True))


def explanations(comparison: Comparison) -> list[str]:
    """What stands below the pairs: whether any differ, and what the columns mean."""
    parts = []
    if comparison.cochrans_q:
        tests = ", ".join(
            f"{k}: Q = {found.statistic:.1f}, p = {found.p_value:.2g}"
            for k, found in enumerate(comparison.cochrans_q, start=1)
        )
        parts.append(f"Whether any differ, by Cochran's Q at so many subtasks in a row: {tests}.")
    parts.append(
        f"First minus second, over the {comparison.num_chains} chains that all have finished, paired by chain; in "
        "brackets 95% intervals by bootstrap over chains, and over initial states (clustered); p by exact sign flips, "
        "and by Holm over all pairs; the last column is the smallest difference that so many chains find with a chance "
        "of 80%. Intervals over chains do not cover what another training seed would change."
    )
    return parts


def in_words(comparison: Comparison) -> str:
    """The verdict, the pairs and what their columns mean, in Markdown."""
    return "\n\n".join([comparison.verdict, pair_table(comparison), *explanations(comparison)])
