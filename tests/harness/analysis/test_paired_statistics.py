"""Cross-checked against scipy and robostats, and by hand."""

from itertools import product

import numpy as np
import pytest
from robostats import PairedResult
from robostats import mcnemar as robostats_mcnemar
from robostats import paired_difference as robostats_difference
from scipy.stats import binomtest, bootstrap, permutation_test

from calvinbench.harness.analysis.paired_statistics import (
    mcnemar_p_value,
    paired_difference,
    paired_rates,
    paired_success,
    pearson_correlation,
    sign_flip_p_value,
    tango_interval,
)


def generator():
    return np.random.default_rng(0)


def lengths(seed, num_chains=300, shift=0.0):
    """Two runs whose chains are alike in how hard they are."""
    draw = np.random.default_rng(seed)
    hard = draw.normal(2.0, 1.2, num_chains)
    noisy = [hard + move + draw.normal(0, 0.8, num_chains) for move in (shift, 0.0)]
    return [np.clip(np.rint(run), 0, 5).astype(np.int64) for run in noisy]


@pytest.mark.parametrize(
    ("first", "second", "pairs"),
    [(0, 0, 15), (0, 0, 1), (3, 0, 10), (0, 7, 40), (5, 2, 30), (50, 61, 1000), (4, 0, 4), (0, 4, 4), (20, 20, 40)],
)
def test_rates_agree_with_robostats_and_scipy(first, second, pairs):
    table = PairedResult("a", "b", 0, first, second, pairs - first - second, (), 0, 0, (), (), None)
    expected = robostats_difference(table)
    found = tango_interval(first, second, pairs)
    assert (found.low, found.high) == pytest.approx((expected.lower, expected.upper), abs=1e-6)
    assert mcnemar_p_value(first, second) == pytest.approx(robostats_mcnemar(table).p_value)
    by_binomial = binomtest(first, first + second).pvalue if first + second else 1.0
    assert mcnemar_p_value(first, second) == pytest.approx(by_binomial, rel=0, abs=1e-12)


def test_rates_count_the_chains_in_which_one_alone_succeeded():
    first, second = np.array([1, 1, 1, 0, 0], bool), np.array([1, 0, 0, 1, 0], bool)
    found = paired_rates(first, second)
    assert (found.num_only_first, found.num_only_second, found.num_chains) == (2, 1, 5)
    assert found.difference == pytest.approx(0.2)
    assert found.p_value == 1.0  # 2 of 3 by a fair coin


def test_each_number_of_subtasks_is_compared():
    found = paired_success(np.array([5, 2, 0, 1]), np.array([1, 2, 3, 0]))
    assert [rates.num_only_first for rates in found] == [1, 1, 1, 1, 1]
    assert [rates.num_only_second for rates in found] == [1, 1, 1, 0, 0]


def test_sign_flips_are_counted_to_the_last_one():
    differences = np.array([3, -1, 2, 0, 1])
    sums = [
        sum(sign * size for sign, size in zip(signs, differences, strict=True)) for signs in product((1, -1), repeat=5)
    ]
    by_hand = np.mean([abs(total) >= 5 for total in sums])
    assert sign_flip_p_value(differences) == pytest.approx(by_hand)
    assert sign_flip_p_value(np.zeros(4, dtype=int)) == 1.0
    assert sign_flip_p_value(np.array([2])) == 1.0  # one chain tells nothing


def test_the_sign_flip_is_scipys_permutation_test():
    first, second = lengths(1, 60, shift=0.3)
    expected = permutation_test(
        (first, second),
        lambda a, b, axis: (a - b).mean(axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=20_000,
        rng=generator(),
    ).pvalue
    assert sign_flip_p_value(first - second) == pytest.approx(expected, abs=0.01)


def test_the_difference_has_scipys_bootstrap_interval():
    first, second = lengths(2, shift=0.2)
    found = paired_difference(first, second, generator())
    assert found.value == pytest.approx((first - second).mean())
    expected = bootstrap(((first - second).astype(float),), np.mean, method="percentile", rng=1).confidence_interval
    assert (found.interval.low, found.interval.high) == pytest.approx((expected.low, expected.high), abs=0.012)
    assert found.method == "bootstrap"
    assert found.is_distinguishable == (found.interval.low > 0)


def test_pairing_tells_apart_what_single_intervals_do_not():
    first, second = lengths(3, 400, shift=0.25)
    found = paired_difference(first, second, generator())
    assert found.is_distinguishable
    unpaired = 1.96 * np.sqrt(first.var() / 400 + second.var() / 400)
    assert found.interval.high - found.interval.low < 2 * unpaired * 0.8


def test_runs_that_agree_are_not_told_apart_and_the_interval_is_no_point():
    same = lengths(4)[0]
    found = paired_difference(same, same, generator())
    assert (found.value, found.p_value, found.method) == (0.0, 1.0, "exact bound")
    assert found.interval.low < -0.04 < 0.04 < found.interval.high
    assert not found.is_distinguishable


def test_chains_that_begin_alike_count_less():
    """Each chain four times over tells no more than once; without clusters it seems to."""
    first, second = (np.repeat(run, 4) for run in lengths(5, 80, shift=0.3))
    clusters = np.repeat(np.arange(80), 4)
    plain = paired_difference(first, second, generator())
    clustered = paired_difference(first, second, generator(), clusters)
    widths = [found.interval.high - found.interval.low for found in (plain, clustered)]
    assert widths[1] == pytest.approx(2 * widths[0], rel=0.05)
    single = paired_difference(first[::4], second[::4], generator())
    assert widths[1] == pytest.approx(single.interval.high - single.interval.low, rel=0.03)
    assert clustered.p_value == pytest.approx(single.p_value)
    assert clustered.p_value > plain.p_value


def test_the_interval_covers_as_often_as_it_says():
    draw, covered = np.random.default_rng(6), 0
    for _ in range(300):
        first, second = lengths(int(draw.integers(2**31)), 60, shift=0.0)
        found = paired_difference(first, second, draw, num_resamples=600)
        covered += found.interval.low <= 0 <= found.interval.high
    assert 0.90 < covered / 300 < 0.985


def test_runs_of_unlike_length_are_refused():
    with pytest.raises(ValueError, match="as many chains of both runs, at least one, got 2 and 3"):
        paired_difference(np.array([1, 2]), np.array([1, 2, 3]), generator())
    with pytest.raises(ValueError, match="got 0 and 0"):
        paired_rates(np.array([], bool), np.array([], bool))


def test_correlation_of_chains():
    first, second = lengths(7)
    assert pearson_correlation(first, second) == pytest.approx(np.corrcoef(first, second)[0, 1])
    assert np.isnan(pearson_correlation(first, np.zeros_like(first)))


def test_the_exact_distribution_of_a_thousand_chains_is_at_hand():
    first, second = lengths(8, 1000, shift=0.1)
    assert 0 < paired_difference(first, second, generator(), np.arange(1000) % 192).p_value < 1


def test_of_single_tasks_no_difference_is_beyond_one():
    same = np.ones(400, dtype=np.int64)
    interval = paired_difference(same, same, generator(), max_length=1).interval
    assert interval.high == pytest.approx(1 - 0.025 ** (1 / 400))  # Clopper-Pearson of 400 in 400
    assert interval.low == -interval.high


def test_few_clusters_tell_nothing_of_others():
    first, second = np.full(40, 3), np.arange(40) % 3
    found = paired_difference(first, second, generator(), np.arange(40) % 4)
    assert (found.interval.low, found.interval.high) == (-5.0, 5.0)
    assert not found.is_distinguishable
