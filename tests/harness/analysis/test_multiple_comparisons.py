"""Cross-checked against robostats, and by hand."""

import numpy as np
import pytest
from robostats import Alignment
from robostats import cochran_q as robostats_q
from scipy.stats import chi2
from statsmodels.stats.power import NormalIndPower

from calvinbench.harness.analysis.multiple_comparisons import (
    cochrans_q,
    detectable_difference,
    holm,
    not_different_from_best,
    num_chains_needed,
)


def runs_of(averages, num_chains=400):
    draw = np.random.default_rng(0)
    hard = draw.normal(0, 1.0, num_chains)
    noisy = [average + hard + draw.normal(0, 0.7, num_chains) for average in averages]
    return [np.clip(np.rint(run), 0, 5).astype(np.int64) for run in noisy]


@pytest.mark.parametrize("averages", [[1.8, 2.0, 2.3, 2.0], [2.0, 2.0, 2.0], [1.0, 3.0]])
def test_cochrans_q_is_its_formula(averages):
    for k in range(1, 6):
        successes = np.array(runs_of(averages)) >= k
        found = cochrans_q(successes)
        assert (found.statistic, found.p_value) == pytest.approx(cochrans_q_by_hand(successes), rel=1e-12, abs=1e-12)
        assert found.degrees_of_freedom == len(averages) - 1


@pytest.mark.parametrize("averages", [[1.8, 2.0, 2.3, 2.0], [2.0, 2.0, 2.0], [1.0, 3.0]])
def test_cochrans_q_is_robostats(averages):
    successes = np.array(runs_of(averages)) >= 2
    names = [tuple(str(place) for place in range(count)) for count in successes.shape]
    expected = robostats_q(Alignment(*names, successes.copy(), np.ones_like(successes)))
    found = cochrans_q(successes)
    assert (found.statistic, found.p_value) == pytest.approx((expected.q_statistic, expected.p_value))
    assert found.degrees_of_freedom == expected.degrees_of_freedom


def test_cochrans_q_of_runs_that_agree_tells_nothing():
    found = cochrans_q(np.array([[True, False, True]] * 3))
    assert (found.statistic, found.p_value) == (0.0, 1.0)
    with pytest.raises(ValueError, match="at least two runs, got 1"):
        cochrans_q(np.array([[True, False]]))


def test_cochrans_q_can_be_done_by_hand():
    """Three runs, chains solved by (1), (1, 2), (1): Q = 2 (3 (9 + 1) - 16) / (12 - 6)."""
    successes = np.array([[True, True, True], [False, True, False], [False, False, False]])
    assert cochrans_q(successes).statistic == pytest.approx(2 * (3 * 10 - 16) / (3 * 4 - 6))


def holm_by_hand(p_values):
    """The implementation before statsmodels was used."""
    adjusted, largest = {}, 0.0
    for rank, key in enumerate(sorted(p_values, key=lambda key: p_values[key])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[key]))
        adjusted[key] = largest
    return {key: adjusted[key] for key in p_values}


def cochrans_q_by_hand(successes):
    """The implementation before statsmodels was used."""
    num_runs, by_run, by_chain = len(successes), successes.sum(axis=1), successes.sum(axis=0)
    total = int(by_run.sum())
    spread = num_runs * total - int((by_chain**2).sum())
    statistic = (num_runs - 1) * (num_runs * int((by_run**2).sum()) - total**2) / spread
    return statistic, chi2.sf(statistic, num_runs - 1)


def test_holm_is_the_step_down_adjustment_and_keeps_the_keys():
    values = {"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005, "e": 0.9}
    draws = np.random.default_rng(0).random((20, 7)) ** 3
    for p_values in (values, {"a": 0.5}, {"a": 0.0, "b": 0.0, "c": 1.0}, *(dict(enumerate(draw)) for draw in draws)):
        found, expected = holm(p_values), holm_by_hand(p_values)
        assert list(found) == list(p_values)
        assert found == pytest.approx(expected, rel=0, abs=1e-12)
    assert holm({}) == {}


def test_the_best_and_what_is_not_told_from_it():
    values = {"a": 1.0, "b": 2.42, "c": 2.45, "d": 1.9}
    different = {frozenset("ab"), frozenset("ac"), frozenset("cd"), frozenset("bd")}
    assert not_different_from_best(values, different) == ("b", "c")
    assert not_different_from_best(values, different - {frozenset("cd")}) == ("b", "c", "d")
    assert not_different_from_best({"a": 1.0}, set()) == ("a",)


def test_numbers_of_chains_are_those_of_the_literature():
    """`evaluation.md`: standard deviation 1.75, power 80%, pairing at a correlation of .5, and without pairing."""
    needed = [num_chains_needed(difference, 1.75, 0.5) for difference in (0.1, 0.2, 0.3)]
    assert needed == [2404, 601, 268]
    assert [num_chains_needed(difference, 1.75, 0.0) for difference in (0.1, 0.2, 0.3)] == [4808, 1202, 535]
    per_arm = NormalIndPower().solve_power(effect_size=0.2 / 1.75, power=0.8, alpha=0.05)
    assert num_chains_needed(0.2, 1.75, 0.0) == pytest.approx(per_arm, abs=1)


def test_what_is_needed_is_what_is_found():
    for difference in (0.1, 0.25, 0.7):
        num_chains = num_chains_needed(difference, 1.6, 0.3, power=0.9)
        assert detectable_difference(num_chains, 1.6, 0.3, power=0.9) <= difference
        assert detectable_difference(num_chains - 1, 1.6, 0.3, power=0.9) > difference


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"difference": 0.0}, "a difference other than 0"),
        ({"standard_deviation": 0.0}, "a standard deviation of the chains' lengths above 0"),
        ({"correlation": 1.0}, "a correlation between two runs from -1 to below 1"),
        ({"power": 1.0}, "a power above 0.05"),
    ],
)
def test_numbers_out_of_range_are_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        num_chains_needed(**{"difference": 0.1, "standard_deviation": 1.7, "correlation": 0.5} | changes)
    with pytest.raises(ValueError, match="at least one chain, got 0"):
        detectable_difference(0, 1.7, 0.5)
