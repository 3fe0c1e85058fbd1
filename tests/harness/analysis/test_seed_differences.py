"""Methods with several training seeds, compared: against numbers worked out by hand and known variances."""

import numpy as np
import pytest
from scipy.stats import t

from calvinbench.harness.analysis.paired_statistics import mcnemar_p_value, paired_difference, tango_interval
from calvinbench.harness.analysis.seed_differences import (
    METHOD,
    WIDEST,
    crossed_error,
    seed_difference,
    seed_rates,
)
from calvinbench.harness.analysis.statistics import bootstrap_generator
from calvinbench.harness.analysis.training_seeds import crossed_interval


def test_two_seeds_against_two_seeds_by_hand():
    # The first: seed means 1.5 and 4, variance 3.125, over 2 seeds 1.5625; the rest is +-0.25, 0.25 / 1 / 4 = 0.0625.
    # The second: seed means are equal, and there is no rest.
    # Chains: means 2 and 3.5 minus 0 and 1 are 2 and 2.5, variance 0.125, over 2 chains 0.0625.
    found = crossed_error(np.array([[1, 2], [3, 5]]), np.array([[0, 1], [0, 1]]))
    assert found.standard_error**2 == pytest.approx(1.5625 + 0.0625 - 0.0625)
    assert found.degrees == pytest.approx(1.5625**2 / (1.5625**2 + 0.0625**2 + 0.0625**2))


def test_the_variance_over_clusters_by_hand():
    # Differences 2, 0, 1, 1 with mean 1; clusters {2, 0} and {1, 1}: sums of deviations 0 and 0. Clusters {2, 1} and
    # {0, 1}: 1 and -1, so 2 / (2 - 1) * (1 + 1) / 4^2 = 0.25.
    values, nothing = np.array([[2, 0, 1, 1]]), np.zeros((1, 4), dtype=np.int64)
    assert crossed_error(values, nothing, np.array([0, 0, 1, 1])).standard_error == 0
    assert crossed_error(values, nothing, np.array([0, 1, 0, 1])).standard_error ** 2 == pytest.approx(0.25)
    assert crossed_error(values, nothing).standard_error ** 2 == pytest.approx((2 / 3) / 4)


def test_against_nothing_it_is_the_interval_of_the_mean_over_seeds():
    values = np.random.default_rng(0).integers(0, 6, size=(3, 50))
    found = seed_difference(values, np.zeros((1, 50), dtype=np.int64), 5)
    expected = crossed_interval(values.astype(float))
    assert (found.interval.low, found.interval.high) == pytest.approx((expected.low, expected.high))
    assert (found.method, found.num_chains) == (METHOD, 50)


def test_interval_and_p_value_agree():
    generator = np.random.default_rng(1)
    first, second = generator.integers(0, 6, size=(2, 40)), generator.integers(0, 5, size=(3, 40))
    found, error = seed_difference(first, second, 5), crossed_error(first, second)
    assert found.value == pytest.approx(first.mean() - second.mean())
    statistic = abs(found.value) / error.standard_error
    assert found.p_value == pytest.approx(2 * (1 - t.cdf(statistic, error.degrees)))
    assert found.is_distinguishable == (found.p_value < 0.05)


@pytest.mark.parametrize("of_seeds", [0.0, 0.5])
@pytest.mark.parametrize("num_second", [1, 3])
def test_without_a_difference_few_are_significant(of_seeds, num_second):
    # Chains are shared, so that they cancel out; the single seed of a method has no luck here, for it is not covered.
    generator, alarms = np.random.default_rng(2), []
    for _ in range(500):
        chains = generator.normal(0, 2, size=(1, 60))
        of_second = 0.0 if num_second == 1 else of_seeds
        first = chains + generator.normal(0, of_seeds, (3, 1)) + generator.normal(0, 1, (3, 60))
        second = chains + generator.normal(0, of_second, (num_second, 1)) + generator.normal(0, 1, (num_second, 60))
        error = crossed_error(first, second)
        statistic = abs(first.mean() - second.mean()) / error.standard_error
        alarms.append(2 * t.sf(statistic, error.degrees) < 0.05)
    assert np.mean(alarms) < 0.075


def test_seeds_that_differ_make_the_interval_wide():
    chains = np.random.default_rng(3).integers(0, 3, size=40)
    other = np.random.default_rng(4).integers(0, 3, size=(1, 40))
    alike, unlike = np.stack([chains, chains]), np.stack([chains, chains + 2])
    narrow, wide = seed_difference(alike, other, 5), seed_difference(unlike, other, 5)
    assert wide.value == pytest.approx(narrow.value + 1)
    assert wide.interval.high - wide.interval.low > 5 * (narrow.interval.high - narrow.interval.low)
    assert not wide.is_distinguishable


def test_if_hardly_a_chain_differs_the_widest_pair_of_seeds_counts():
    perfect = np.full((2, 30), 5)
    almost = perfect[:1].copy()
    almost[0, 0] = 0
    found = seed_difference(perfect, almost, 5)
    single = paired_difference(perfect[0], almost[0], bootstrap_generator())
    assert (found.method, found.interval, found.p_value) == (WIDEST, single.interval, single.p_value)
    rates = seed_rates(perfect, almost, 5)
    assert rates.difference == pytest.approx(1 / 30)
    assert rates.interval == tango_interval(1, 0, 30)
    assert rates.p_value == mcnemar_p_value(1, 0)


def test_rates_are_means_over_seeds():
    generator = np.random.default_rng(5)
    first, second = generator.integers(0, 6, size=(2, 50)), generator.integers(0, 6, size=(1, 50))
    found = seed_rates(first, second, 3)
    assert found.difference == pytest.approx((first >= 3).mean() - (second >= 3).mean())
    assert found.interval.low < found.difference < found.interval.high


def test_a_difference_that_is_detectable_grows_with_the_power():
    error = crossed_error(np.array([[1, 2], [3, 5]]), np.array([[0, 1], [0, 1]]))
    expected = (t.ppf(0.975, error.degrees) + t.ppf(0.8, error.degrees)) * error.standard_error
    assert error.detectable() == pytest.approx(expected)
    same = np.ones((2, 9), dtype=np.int64)
    assert np.isnan(crossed_error(same, same).detectable())
