"""Means over training seeds, against a table worked out by hand and against what is drawn from known variances."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import t

from calvinbench.harness.analysis.seed_differences import METHOD
from calvinbench.harness.analysis.statistics import average_length
from calvinbench.harness.analysis.training_seeds import (
    completed_by_seed,
    crossed_interval,
    seed_means,
    seed_table,
)


def test_a_table_of_two_by_two_by_hand():
    # Sums of squares: seeds 6.25, chains 2.25, both 0.25, each with one degree of freedom.
    values = np.array([[1.0, 2.0], [3.0, 5.0]])
    variance, freedom = (6.25 + 2.25 - 0.25) / 4, 8.25**2 / (6.25**2 + 2.25**2 + 0.25**2)
    reach = t.ppf(0.975, freedom) * variance**0.5
    found = crossed_interval(values)
    assert (found.low, found.high) == pytest.approx((2.75 - reach, 2.75 + reach))


def test_without_luck_of_training_the_interval_is_that_of_chains():
    column = np.random.default_rng(0).integers(0, 6, size=400)
    found = crossed_interval(np.stack([column, column]).astype(float))
    usual = 1.966 * column.std(ddof=1) / 20  # t of 399
    assert found.high - column.mean() == pytest.approx(usual, rel=1e-3)


@pytest.mark.parametrize(("of_seeds", "of_chains"), [(0.5, 1.0), (0.02, 1.0), (0.3, 0.1)])
def test_the_interval_covers_what_it_should(of_seeds, of_chains):
    generator = np.random.default_rng(1)
    covered = []
    for _ in range(600):
        values = (
            generator.normal(0, of_seeds, (3, 1))
            + generator.normal(0, of_chains, (1, 60))
            + generator.normal(0, 1, (3, 60))
        )
        found = crossed_interval(values)
        covered.append(found.low <= 0 <= found.high)
    assert 0.93 <= np.mean(covered) <= 0.995  # a bit too much, where the seeds hardly differ


@pytest.mark.parametrize("values", [np.ones((1, 5)), np.ones((3, 1)), np.full((2, 4), 3.0)])
def test_what_tells_nothing_of_variance_is_refused(values):
    with pytest.raises(ValueError, match=r"expected (at least two seeds|values that vary)"):
        crossed_interval(values)


def of_seed(run, seed, **changes):
    said = {"label": "vlm", "training_recipe": "r", "training_seed": seed} | changes
    return replace(run, description=replace(run.description, **said))


def with_lengths(run, lengths):
    record = run.records[0]
    records = tuple(replace(record, chain=number, completed=int(length)) for number, length in enumerate(lengths))
    return replace(run, records=records)


@pytest.fixture
def solver(run_fake):
    return run_fake("solver")


def test_runs_of_one_recipe_are_taken_together_and_no_others(solver):
    alike = [of_seed(solver, 0), of_seed(solver, 1)]
    others = [
        of_seed(solver, 2, training_recipe="another"),
        of_seed(solver, 3, memory=replace(solver.description.memory, reset="chain")),
        of_seed(solver, 4, chunk_rule="ensemble"),
        of_seed(solver, 5, label="vlm, blind"),
        of_seed(solver, None),
        of_seed(solver, 1, policy="checkpoint:copy"),
        solver,
    ]
    (group,) = seed_means([*others, *alike])
    assert [run.description.training_seed for run in group.runs] == [0, 1]
    assert seed_means(others) == ()


def test_seeds_that_a_user_declares_are_taken_together(run_fake, tmp_path):
    runs = [
        run_fake("idle", directory=tmp_path / str(seed), training_seed=seed, training_recipe="plain") for seed in (1, 2)
    ]
    (group,) = seed_means(runs)
    assert [run.description.training_seed for run in group.runs] == [1, 2]


def test_the_mean_is_over_seeds_and_chains(solver):
    generator = np.random.default_rng(0)
    lengths = generator.integers(0, 6, size=(2, 100))
    (group,) = seed_means([with_lengths(of_seed(solver, seed), row) for seed, row in enumerate(lengths)])
    assert group.average_length.value == pytest.approx(lengths.mean())
    assert group.average_length.method == METHOD
    assert group.average_length.interval == crossed_interval(lengths.astype(float))
    assert [rate.value for rate in group.success] == pytest.approx([(lengths >= k).mean() for k in range(1, 6)])
    row = seed_table([group]).iloc[0]
    assert (row["seeds"], row["chains"], row["Avg. Len."]) == ("0 1", 100, pytest.approx(lengths.mean()))


def test_chains_that_one_seed_has_not_finished_do_not_count(solver):
    generator = np.random.default_rng(0)
    whole, part = (with_lengths(of_seed(solver, s), generator.integers(0, 6, size=n)) for s, n in ((0, 100), (1, 60)))
    (group,) = seed_means([whole, part])
    assert group.num_chains == 60
    assert group.average_length.value == pytest.approx((whole.completed[:60].mean() + part.completed.mean()) / 2)


def test_where_all_chains_agree_the_bound_of_the_single_runs_is_kept(solver):
    perfect = [with_lengths(of_seed(solver, seed), [5] * 50) for seed in (0, 1)]
    (group,) = seed_means(perfect)
    single = average_length(perfect[0].completed, np.random.default_rng(0)).interval
    assert group.average_length.interval == single
    assert single.low < 5
    assert group.success[4].interval.low < 1


def test_seeds_are_paired_by_the_chains_number_not_by_its_place(solver):
    first, second = (with_lengths(of_seed(solver, seed), [5, 0, 3]) for seed in (0, 1))
    turned = replace(second, records=second.records[::-1])
    assert completed_by_seed([first, turned]).tolist() == [[5, 0, 3], [5, 0, 3]]
    assert completed_by_seed([first, turned], [2, 0]).tolist() == [[5, 3], [5, 3]]
