"""Several methods on the same chains: whether any differ, which do, and how many chains are needed to see it.

The methods are those of Cochran (1950) and Holm (1979), as statsmodels implements them.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from string import ascii_letters
from typing import TypeVar

import numpy as np
from jaxtyping import Bool
from scipy.stats import norm

from calvinbench.harness.analysis.statistics import CONFIDENCE

_Key = TypeVar("_Key")


@dataclass(frozen=True, slots=True)
class CochransQ:
    """Whether any of several paired success rates differ.

    Attributes:
        statistic: Q; 0 if all runs agree in each chain.
        degrees_of_freedom: Runs less one.
        p_value: By the chi-square distribution, an approximation for many chains.
    """

    statistic: float
    degrees_of_freedom: int
    p_value: float


def cochrans_q(successes: Bool[np.ndarray, "runs chains"]) -> CochransQ:
    """Cochran's Q over runs of the same chains.

    Raises:
        ValueError: There are fewer than two runs.
    """
    num_runs = len(successes)
    if num_runs < 2:
        raise ValueError(f"expected at least two runs, got {num_runs}.")
    if (successes == successes[0]).all():  # Q would be 0 / 0
        return CochransQ(0.0, num_runs - 1, 1.0)
    from statsmodels.stats.contingency_tables import cochrans_q as test

    found = test(successes.T.astype(np.int64))
    return CochransQ(float(found.statistic), num_runs - 1, float(found.pvalue))


def holm(p_values: Mapping[_Key, float]) -> dict[_Key, float]:
    """Holm's step-down adjustment: the chance that any adjusted p below alpha is a false alarm is at most alpha."""
    if not p_values:
        return {}
    from statsmodels.stats.multitest import multipletests

    adjusted = multipletests(list(p_values.values()), method="holm")[1]
    return dict(zip(p_values, map(float, adjusted), strict=True))


def not_different_from_best(values: Mapping[_Key, float], different: Collection[frozenset[_Key]]) -> tuple[_Key, ...]:
    """The best (the first of several), and all that are not significantly different from it.

    Args:
        values: By key; larger is better.
        different: The pairs of keys that are significantly different.
    """
    best = max(values, key=lambda key: values[key])
    return tuple(key for key in values if frozenset((key, best)) not in different)


def num_chains_needed(
    difference: float,
    standard_deviation: float,
    correlation: float,
    power: float = 0.8,
    confidence: float = CONFIDENCE,
) -> int:
    """Number of chains that a paired comparison of average lengths needs.

    Args:
        difference: The difference to detect, in subtasks.
        standard_deviation: Of the chains' lengths, the same in both runs.
        correlation: Between the two runs' lengths of a chain, from -1 to 1; 0 for runs that are not paired.
        power: The probability of detecting it.
        confidence: Of the test, two-sided.

    Raises:
        ValueError: A number is out of its range.
    """
    if difference == 0 or not math.isfinite(difference):
        raise ValueError(f"expected a difference other than 0, got {difference}.")
    _require_design(standard_deviation, correlation, power, confidence)
    quantiles = norm.ppf((1 + confidence) / 2) + norm.ppf(power)
    variance = 2 * standard_deviation**2 * (1 - correlation)
    return math.ceil(variance * (quantiles / difference) ** 2)


def detectable_difference(
    num_chains: int,
    standard_deviation: float,
    correlation: float,
    power: float = 0.8,
    confidence: float = CONFIDENCE,
) -> float:
    """The smallest difference of average lengths that this number of chains detects; see `num_chains_needed`.

    Raises:
        ValueError: There is no chain, or a number is out of its range.
    """
    if num_chains < 1:
        raise ValueError(f"expected at least one chain, got {num_chains}.")
    _require_design(standard_deviation, correlation, power, confidence)
    quantiles = float(norm.ppf((1 + confidence) / 2) + norm.ppf(power))
    return quantiles * math.sqrt(2 * standard_deviation**2 * (1 - correlation) / num_chains)


def _require_design(standard_deviation: float, correlation: float, power: float, confidence: float) -> None:
    """Checks the numbers of a plan; the smallest power is the probability of a false alarm."""
    known = {
        "standard deviation of the chains' lengths": standard_deviation,
        "correlation between two runs": correlation,
    }
    for name, value in known.items():
        if math.isnan(value):
            raise ValueError(
                f"expected a {name}, got nan: it is not known. Two runs tell it only if each has chains of different "
                "lengths; a run that solved nothing, or of one chain, does not. Take other runs, or assume a standard "
                "deviation of 1.75 and a correlation of 0.5."
            )
    if not 0 < standard_deviation < math.inf:
        raise ValueError(
            f"expected a standard deviation of the chains' lengths above 0, got {standard_deviation}. "
            "Lengths from 0 to 5 have at most 2.5."
        )
    if not -1 <= correlation < 1:
        raise ValueError(
            f"expected a correlation between two runs from -1 to below 1, got {correlation}. Unlike chains have 0."
        )
    if not 0 < confidence < 1:
        raise ValueError(f"expected a confidence between 0 and 1, got {confidence}.")
    if not 1 - confidence < power < 1:
        raise ValueError(
            f"expected a power above {1 - confidence:.2g}, the chance of a false alarm, and below 1, got {power}. "
            "0.8 is usual."
        )


def compact_letters(names: Sequence[str], different: Collection[frozenset[str]]) -> Mapping[str, str]:
    """The letters of each method: two methods share a letter exactly if they are not significantly different.

    The algorithm is insert and absorb (Piepho 2004, Journal of Computational and Graphical Statistics 13:456-466). It
    starts with one group of all methods. Each significant pair splits the groups that hold both. Groups inside another
    are dropped.

    Args:
        names: The methods, the best first. It has the letter `a`.
        different: The pairs that are significantly different.
    """
    groups = [frozenset(names)] if names else []
    for pair in (pair for pair in different if pair <= set(names)):
        split = [part for group in groups for part in ([group - {one} for one in pair] if pair <= group else [group])]
        groups = [
            group
            for place, group in enumerate(split)
            if not any(group < other or (group == other and earlier < place) for earlier, other in enumerate(split))
        ]
    order = {name: place for place, name in enumerate(names)}
    groups.sort(key=lambda group: sorted(order[name] for name in group))
    letters = [_letter(number) for number in range(len(groups))]
    return {
        name: "".join(letter for letter, group in zip(letters, groups, strict=True) if name in group) for name in names
    }


def _letter(number: int) -> str:
    """A to z, then A to Z."""
    return ascii_letters[number] if number < len(ascii_letters) else f"({number})"
