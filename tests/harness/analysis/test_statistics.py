import numpy as np
import pytest
from scipy.stats import bootstrap
from statsmodels.stats.proportion import proportion_confint

from calvinbench.harness.analysis import statistics
from calvinbench.harness.records.records import ChainRecord, SubtaskRecord


def generator():
    return np.random.default_rng(0)


@pytest.mark.parametrize(("successes", "trials"), [(0, 20), (1, 20), (10, 20), (20, 20), (37, 1000), (993, 1000)])
def test_intervals_agree_with_statsmodels(successes, trials):
    for ours, method in ((statistics.wilson, "wilson"), (statistics.clopper_pearson, "beta")):
        low, high = proportion_confint(successes, trials, alpha=0.05, method=method)
        found = ours(successes, trials)
        assert found.low == pytest.approx(np.nan_to_num(low), abs=1e-6)
        assert found.high == pytest.approx(np.nan_to_num(high, nan=1.0), abs=1e-6)


def test_clopper_pearson_of_no_success_can_be_done_by_hand():
    assert statistics.clopper_pearson(0, 20).high == pytest.approx(1 - 0.025 ** (1 / 20))
    assert statistics.clopper_pearson(0, 20).low == 0.0


@pytest.mark.parametrize(
    ("successes", "trials", "method"),
    [
        (100, 199, "clopper-pearson"),
        (100, 200, "wilson"),
        (4, 1000, "clopper-pearson"),
        (5, 1000, "wilson"),
        (996, 1000, "clopper-pearson"),
    ],
)
def test_the_interval_is_exact_for_few_trials_and_near_the_edges(successes, trials, method):
    assert statistics.proportion(successes, trials).method == method


def test_without_a_trial_nothing_is_known():
    nothing = statistics.proportion(0, 0)
    assert np.isnan(nothing.rate)
    assert (nothing.interval.low, nothing.interval.high) == (0.0, 1.0)


def test_more_successes_than_trials_are_refused():
    with pytest.raises(ValueError, match="successes <= trials"):
        statistics.proportion(3, 2)


def test_success_rates_can_be_counted_by_hand():
    completed = np.array([0, 1, 1, 3, 5])
    assert statistics.survivors(completed).tolist() == [4, 2, 2, 1, 1]
    assert [rate.rate for rate in statistics.success_rates(completed)] == [0.8, 0.4, 0.4, 0.2, 0.2]


def test_the_average_length_is_the_sum_of_the_rates():
    completed = np.array([0, 1, 1, 3, 5])
    mean = statistics.average_length(completed, generator())
    assert mean.value == 2.0
    assert mean.value == pytest.approx(sum(rate.rate for rate in statistics.success_rates(completed)))


def test_the_bootstrap_agrees_with_scipy():
    completed = np.random.default_rng(5).integers(0, 6, size=200)
    ours = statistics.average_length(completed, generator(), num_resamples=40_000)
    theirs = bootstrap((completed,), np.mean, method="percentile", n_resamples=9_999, random_state=1)
    assert ours.method == "bootstrap"
    assert ours.interval.low == pytest.approx(theirs.confidence_interval.low, abs=0.02)
    assert ours.interval.high == pytest.approx(theirs.confidence_interval.high, abs=0.02)


@pytest.mark.parametrize(("value", "low", "high"), [(0, 0.0, 0.84217), (5, 4.15783, 5.0), (2, 1.66313, 2.50530)])
def test_where_all_chains_agree_the_average_length_keeps_an_exact_bound(value, low, high):
    """With n = 20, the least probability is 0.025 ** (1 / 20) = 0.83157."""
    mean = statistics.average_length(np.full(20, value), generator())
    assert mean.method == "exact bound"
    assert mean.interval.low == pytest.approx(low, abs=1e-5)
    assert mean.interval.high == pytest.approx(high, abs=1e-5)


def test_where_nearly_all_chains_agree_the_bound_stays():
    """19 of 20 at 0: the least probability is 0.75127; a bootstrap would say [0, 0.15]."""
    mean = statistics.average_length(np.array([0] * 19 + [1]), generator())
    assert mean.value == 0.05
    assert (mean.interval.low, mean.method) == (0.0, "exact bound")
    assert mean.interval.high == pytest.approx(5 * (1 - 0.75127), abs=1e-4)


def test_the_same_generator_gives_the_same_interval():
    completed = np.array([0, 1, 1, 3, 5, 0, 2, 4])
    assert statistics.average_length(completed, generator()).method == "bootstrap"
    assert statistics.average_length(completed, generator()) == statistics.average_length(completed, generator())


def test_the_band_holds_the_curve_and_never_rises():
    completed = np.random.default_rng(1).integers(0, 6, size=60)
    curve = statistics.survival_curve(completed, generator())
    assert (curve.low <= curve.rates).all()
    assert (curve.rates <= curve.high).all()
    assert (np.diff(curve.low) <= 0).all()
    assert (np.diff(curve.high) <= 0).all()


def test_the_band_is_wider_than_the_single_intervals():
    completed = np.random.default_rng(1).integers(0, 6, size=400)
    curve = statistics.survival_curve(completed, generator())
    single = statistics.wilson(int((completed >= 3).sum()), 400)
    assert curve.high[2] - curve.low[2] > single.high - single.low


def test_the_band_keeps_a_width_where_no_chain_succeeds():
    curve = statistics.survival_curve(np.zeros(20, dtype=np.int64), generator())
    assert curve.low.tolist() == [0.0] * 5
    assert curve.high == pytest.approx([1 - 0.005 ** (1 / 20)] * 5)


def test_near_the_edge_the_band_is_clopper_pearson_s():
    curve = statistics.survival_curve(np.array([0] * 19 + [1]), generator())
    assert curve.high[0] == pytest.approx(statistics.clopper_pearson(1, 20, 0.99).high)
    assert curve.high[1] == pytest.approx(statistics.clopper_pearson(0, 20, 0.99).high)


def test_the_band_covers_the_true_curve_about_as_often_as_it_says():
    truth = np.array([0.15, 0.2, 0.2, 0.15, 0.15, 0.15])
    rates = truth[::-1].cumsum()[::-1][1:]
    draws = np.random.default_rng(3)
    held = 0
    for _ in range(200):
        completed = draws.choice(6, size=300, p=truth)
        curve = statistics.survival_curve(completed, draws, num_resamples=500)
        held += bool(((curve.low <= rates) & (rates <= curve.high)).all())
    assert held / 200 > 0.9


def test_task_success_counts_solved_of_reached_and_errors_as_failures():
    def subtask(task, outcome):
        return SubtaskRecord(task, "do it", outcome, 1, 0.0, None, None, None)

    records = [
        ChainRecord(0, {}, (subtask("open_drawer", "solved"), subtask("turn_on_led", "timed_out")), 1, "timed_out"),
        ChainRecord(1, {}, (subtask("open_drawer", "errored"),), 0, "errored", "E"),
    ]
    success = statistics.task_success(records)
    counts = {task: (rate.num_successes, rate.num_trials) for task, rate in success.items()}
    assert counts == {"open_drawer": (1, 2), "turn_on_led": (0, 1)}


def test_chains_that_begin_alike_are_drawn_together():
    """Each chain five times over tells no more than once."""
    draw = np.random.default_rng(4)
    single = draw.integers(0, 6, 200)
    repeated, clusters = np.repeat(single, 5), np.repeat(np.arange(200), 5)
    alone = statistics.average_length(single, generator())
    found = statistics.clustered_average_length(repeated, clusters, generator())
    assert (found.value, found.method) == (pytest.approx(alone.value), "cluster bootstrap")
    ends = pytest.approx((alone.interval.low, alone.interval.high), abs=0.03)
    assert (found.interval.low, found.interval.high) == ends
    naive = statistics.average_length(repeated, generator()).interval
    assert naive.high - naive.low < 0.55 * (found.interval.high - found.interval.low)


def test_clusters_of_unlike_size_are_drawn_whole():
    """Two clusters, of 1 chain and of 3: a resample is both, or one of them twice."""
    means = statistics.resampled_cluster_means(np.array([4, 0, 1, 2]), np.array([7, 9, 9, 9]), generator(), 1000)
    assert set(np.unique(means)) == {4.0, 1.0, 7 / 4}
    assert np.mean(means == 7 / 4) == pytest.approx(0.5, abs=0.06)


def test_where_all_chains_agree_clusters_do_not_make_it_certain():
    completed = np.full(100, 5)
    found = statistics.clustered_average_length(completed, np.arange(100) % 10, generator())
    assert found.method == "exact bound"
    assert found.interval.low < 4.9


def test_few_clusters_tell_nothing_of_others():
    completed = np.random.default_rng(0).integers(0, 6, 400)
    found = statistics.clustered_average_length(completed, np.arange(400) % 4, generator())
    assert (found.interval.low, found.interval.high, found.method) == (0.0, 5.0, "exact bound")
