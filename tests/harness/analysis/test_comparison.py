"""What is said of runs that are held against each other, and when nothing is."""

import json
from dataclasses import replace

import numpy as np
import pytest

from calvinbench.envs.names import UnknownNameError
from calvinbench.harness import cli
from calvinbench.harness.analysis.comparable import RunsDifferError
from calvinbench.harness.analysis.comparison import compare
from calvinbench.harness.analysis.paired_statistics import tango_interval
from calvinbench.harness.analysis.statistics import average_length
from calvinbench.harness.records.records import ERRORED
from calvinbench.harness.report.comparison_words import in_words, pair_table


@pytest.fixture
def run_of(run_fake, tmp_path):
    """A run with the lengths that are asked for: `run_of("a", [5, 0, 3])`."""
    model = run_fake("idle", directory=tmp_path / "model")

    def make(label, lengths, errored=0, **changes):
        record = model.records[0]
        records = tuple(
            replace(
                record,
                chain=number,
                completed=int(length),
                initial_state=dict(record.initial_state) | {"number": number % 48},
                outcome=ERRORED if number < errored else "timed_out",
            )
            for number, length in enumerate(lengths)
        )
        changes = {"chains": len(records), "privileged": False} | changes
        description = replace(model.description, label=label, policy=label, **changes)
        return replace(model, directory=tmp_path / label, description=description, records=records)

    return make


def lengths_of(*shifts, num_chains=300):
    draw = np.random.default_rng(0)
    hard = draw.normal(2.2, 1.1, num_chains)
    return [np.clip(np.rint(hard + shift + draw.normal(0, 0.7, num_chains)), 0, 5).astype(int) for shift in shifts]


def test_a_better_run_is_named_with_its_interval(run_of):
    good, bad = lengths_of(0.5, 0.0)
    found = compare([run_of("good", good), run_of("bad", bad)])
    assert found.verdict.startswith("good is better than bad in average length: good minus bad is +0.")
    assert "300 chains" in found.verdict
    turned = compare([run_of("bad", bad), run_of("good", good)])
    assert turned.verdict.startswith("good is better than bad in average length: bad minus good is -0.")
    (pair,) = found.pairs
    assert pair.difference.value == pytest.approx(good.mean() - bad.mean())
    assert found.averages == pytest.approx((good.mean(), bad.mean()))
    assert pair.rates[0].difference == pytest.approx((good >= 1).mean() - (bad >= 1).mean())
    assert pair.correlation == pytest.approx(np.corrcoef(good, bad)[0, 1])
    assert found.best == ("good",)


def test_runs_that_differ_little_are_not_distinguishable(run_of):
    one, other = lengths_of(0.0, 0.02)
    found = compare([run_of("one", one), run_of("other", other)])
    assert found.verdict.startswith("one and other are not significantly different in average length: ")
    assert "better" not in found.verdict
    assert found.best == ("one", "other")
    assert abs(found.pairs[0].difference.value) < found.pairs[0].detectable


def test_pairing_is_by_the_chains_number_not_by_its_place(run_of):
    good, bad = lengths_of(0.5, 0.0)
    one, other = run_of("good", good), run_of("bad", bad)
    shuffled = replace(other, records=tuple(reversed(other.records)))
    assert compare([one, shuffled]).verdict == compare([one, other]).verdict


def test_chains_of_one_initial_state_are_drawn_together(run_of):
    good, bad = (np.repeat(lengths, 6) for lengths in lengths_of(0.3, 0.0, num_chains=50))
    grouped = [
        replace(run, records=tuple(replace(one, initial_state={"number": one.chain // 6}) for one in run.records))
        for run in (run_of("good", good), run_of("bad", bad))
    ]
    (pair,) = compare(grouped).pairs
    plain, clustered = (found.interval.high - found.interval.low for found in (pair.difference, pair.clustered))
    assert clustered == pytest.approx(6**0.5 * plain, rel=0.1)


def test_of_several_the_best_and_its_equals_are_named_with_the_smallest_lead_over_the_rest(run_of):
    shifts = (0.0, 0.8, 0.82, 0.3)
    found = compare([run_of(name, lengths) for name, lengths in zip("abcd", lengths_of(*shifts), strict=True)])
    assert len(found.pairs) == 6
    assert set(found.best) == {"b", "c"}
    (closest,) = [pair.difference for pair in found.pairs if (pair.first, pair.second) == ("c", "d")]
    lead = f"{closest.value:+.2f} [{closest.interval.low:+.2f}, {closest.interval.high:+.2f}]"
    assert found.verdict == (
        "c is not significantly different from b, and better than the rest in average length (Holm, 5%): its "
        f"smallest lead over these is {lead}, over d, 300 chains."
    )
    assert [test.degrees_of_freedom for test in found.cochrans_q] == [3] * 5
    assert len(found.frame()) == 6


def test_where_none_is_told_apart_the_largest_lead_is_said_with_its_interval(run_of):
    runs = [run_of(name, lengths) for name, lengths in zip("abc", lengths_of(0.0, 0.02, 0.01), strict=True)]
    found = compare(runs)
    assert set(found.best) == {"a", "b", "c"}
    top = max(zip(found.averages, "abc", strict=True))[1]
    pair = max((pair for pair in found.pairs if top in pair.labels), key=lambda pair: abs(pair.difference.value))
    low, high = pair.difference.interval.low, pair.difference.interval.high
    low, high = (low, high) if pair.first == top else (-high, -low)
    (other,) = pair.labels - {top}
    lead = f"{abs(pair.difference.value):+.2f} [{low:+.2f}, {high:+.2f}], over {other}"
    assert found.verdict == (
        f"None of the 3 methods is significantly different from the best, {top}, in average length (Holm, 5%): its "
        f"largest lead is {lead}, 300 chains."
    )


@pytest.mark.parametrize("num_runs", [2, 3])
def test_no_run_is_better_while_the_interval_of_the_difference_covers_0(run_of, num_runs):
    """Of 9 chains that all differ alike, the sign flip's p is 2 / 2^9, and the exact bound still covers 0."""
    runs = [run_of("one", [1] * 9), *(run_of(f"none{place}", [0] * 9) for place in range(1, num_runs))]
    found = compare(runs)
    pair = found.pairs[0]
    assert pair.difference.p_value == pytest.approx(2 / 2**9)
    assert pair.adjusted_p_value < 0.05
    assert pair.difference.interval.low < 0 < pair.difference.interval.high
    assert len(found.best) == num_runs
    assert "better" not in found.verdict
    assert f"{pair.difference.interval.low:+.2f}, {pair.difference.interval.high:+.2f}" in found.verdict


@pytest.mark.parametrize("num_runs", [2, 3])
def test_no_run_is_better_while_the_interval_over_initial_states_covers_0(run_of, num_runs):
    """Chains of one initial state that go alike: 8 states, good in 6 and worse in 2, 25 chains each."""
    good = np.repeat([3, 3, 3, 3, 3, 3, 1, 1], 25)
    bad = np.full(200, 2)
    runs = [run_of("good", good), run_of("bad", bad), run_of("low", np.minimum(bad, 0))][:num_runs]
    grouped = [
        replace(run, records=tuple(replace(one, initial_state={"number": one.chain // 25}) for one in run.records))
        for run in runs
    ]
    found = compare(grouped)
    pair = found.pairs[0]
    assert pair.difference.interval.low > 0
    assert pair.difference.p_value < 1e-6
    assert pair.clustered.interval.low < 0 < pair.clustered.interval.high
    assert {"good", "bad"} <= set(found.best)
    clustered = f"+0.50 [{pair.clustered.interval.low:+.2f}, {pair.clustered.interval.high:+.2f}], p = 0.29"
    words = {2: f", but {clustered}", 3: "; its lead over bad excludes 0 over chains, but not"}[num_runs]
    assert found.verdict.endswith(f"{words} when the bootstrap draws initial states instead of chains.")
    assert "good is better" not in found.verdict
    assert pair.rates[1].p_value < 1e-6
    assert not pair.is_significant_at(2)


def test_whether_any_differ_and_holm_are_of_rivals_alone(run_of):
    lengths = lengths_of(0.0, 0.3, 0.1)
    rivals = [run_of(name, found) for name, found in zip("abc", lengths, strict=True)]
    alone = compare(rivals)
    beside = compare([*rivals, run_of("expert", [5] * 300, privileged=True)])
    assert beside.cochrans_q == alone.cochrans_q
    among = {pair.labels: pair for pair in beside.pairs if "expert \u2020" not in pair.labels}
    assert len(beside.pairs) == 6
    assert len(among) == 3
    for pair in alone.pairs:
        assert among[pair.labels].adjusted_p_value == pytest.approx(pair.adjusted_p_value, rel=0.05)
        assert among[pair.labels].adjusted_rate_p_values == pair.adjusted_rate_p_values
    outside = [pair for pair in beside.pairs if "expert \u2020" in pair.labels]
    assert [pair.adjusted_p_value for pair in outside] == [None] * 3
    words = in_words(beside)
    assert words.count("| - ") == 3
    assert "Compared policies are the 3 that are not privileged" in words
    assert "Compared policies" not in in_words(alone)
    assert beside.frame()["p_holm"].isna().sum() == 3


def test_tangos_intervals_are_shown_in_words_and_for_programs(run_of):
    good, bad = lengths_of(0.5, 0.0)
    found = compare([run_of("good", good), run_of("bad", bad)])
    row = found.frame().iloc[0]
    assert len(found.pairs[0].rates) == 5
    for k, rates in enumerate(found.pairs[0].rates, start=1):
        expected = tango_interval(rates.num_only_first, rates.num_only_second, 300)
        assert (row[f"low_{k}"], row[f"high_{k}"]) == (expected.low, expected.high)
        cell = f"{100 * rates.difference:+.1f} [{100 * expected.low:+.1f}, {100 * expected.high:+.1f}] (p "
        assert cell in pair_table(found)


def test_seven_runs_of_a_thousand_chains_are_compared(run_of):
    shifts = (0.0, 0.1, 0.2, 0.3, 0.4, 1.0, 1.5)
    runs = [run_of(name, found) for name, found in zip("abcdefg", lengths_of(*shifts, num_chains=1000), strict=True)]
    found = compare(runs)
    assert found.best == ("g",)
    assert found.verdict.startswith("g is better than all others in average length (Holm, 5%): its smallest lead over ")
    assert found.verdict.endswith("over f, 1000 chains.")
    assert len(found.pairs) == 21
    assert [test.degrees_of_freedom for test in found.cochrans_q] == [6] * 5


def test_at_each_number_of_subtasks_the_best_and_its_equals_are_found(run_of):
    """All come as far as two; then one fails often; none comes to the fifth."""
    both = np.arange(300) % 10
    one, other = np.where(both < 1, 0, 4), np.where(both < 5, 2, 4)
    runs = [run_of("one", one), run_of("other", other), run_of("third", one)]
    assert compare(runs).best_rates == (
        ("other",),
        ("other",),
        ("one", "third"),
        ("one", "third"),
        (),
    )


def test_privileged_policies_stand_aside(run_of):
    good, bad = lengths_of(0.5, 0.0)
    found = compare([run_of("good", good), run_of("bad", bad), run_of("expert", [5] * 300, privileged=True)])
    assert found.best == ("good",)
    assert found.verdict.startswith("good is better than bad in average length: good minus bad is +0.")
    assert found.verdict.endswith("300 chains; privileged policies excluded.")
    assert len(found.pairs) == 3
    two = compare([run_of("good", good), run_of("expert", [5] * 300, privileged=True)])
    assert two.verdict.startswith("expert † is better than good")


@pytest.mark.parametrize("num_runs", [2, 3])
def test_no_verdict_where_chains_errored_or_are_missing(run_of, num_runs):
    lengths = lengths_of(*np.linspace(1.0, 0.0, num_runs))
    runs = [run_of(f"run{place}", found) for place, found in enumerate(lengths)]
    errored = compare([run_of("run0", lengths[0], errored=4), *runs[1:]])
    assert errored.verdict == "No verdict: 4 of 300 chains of run0 errored, more than 1%."
    assert errored.best == ()
    assert compare([run_of("run0", lengths[0], errored=3), *runs[1:]]).refusals == ()
    short = replace(runs[0], records=runs[0].records[:200])
    found = compare([short, *runs[1:]])
    assert found.verdict == "No verdict: run0 has finished 200 of 300 chains."
    assert found.num_chains == 200


def test_runs_on_other_terms_are_refused_and_what_differs_is_shown(run_of):
    one, other = run_of("one", [1, 2, 3]), run_of("other", [1, 2, 3], max_steps=99)
    with pytest.raises(RunsDifferError, match=r"max_steps: 10 and 99"):
        compare([one, other])
    with pytest.raises(ValueError, match="at least two runs to compare, got 1"):
        compare([one])
    with pytest.raises(ValueError, match="that all the runs have finished, found none"):
        compare([replace(one, records=one.records[:1]), replace(run_of("b", [1, 2, 3]), records=())])


def test_the_same_records_give_the_same_words(run_of):
    runs = [run_of(name, lengths) for name, lengths in zip("ab", lengths_of(0.0, 0.1), strict=True)]
    assert pair_table(compare(runs)) == pair_table(compare(runs))
    assert compare(runs).frame().equals(compare(runs).frame())


def test_averages_are_those_of_the_table(run_of):
    one, other = lengths_of(0.0, 0.4)
    found = compare([run_of("one", one), run_of("other", other)])
    assert found.averages[0] == average_length(one, np.random.default_rng(0)).value


def test_the_command_says_it_in_words_and_as_json(run_fake, tmp_path, capsys):
    run_fake("idle", directory=tmp_path / "runs" / "idle")
    run_fake("solver", directory=tmp_path / "runs" / "solver")
    assert cli.main(["compare", str(tmp_path / "runs")]) == 0
    words = capsys.readouterr().out
    assert "in average length: " in words
    assert "| idle" in words
    assert cli.main(["compare", str(tmp_path / "runs"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["verdict"] in words
    assert found["chains"] == 6
    assert len(found["pairs"][0]["rates"]) == 5
    # All these chains begin alike, and one initial state tells nothing of others.
    assert [run["clustered_average_length"]["interval"] for run in found["runs"]] == [{"low": 0.0, "high": 5.0}] * 2
    assert cli.main(["compare", str(tmp_path / "runs" / "idle")]) == 2
    assert "at least two runs" in capsys.readouterr().err


def test_the_plan_is_that_of_the_literature(capsys):
    assert cli.main(["plan", "--difference", "0.2"]) == 0
    assert capsys.readouterr().out.startswith("601 chains, run by both policies, detect a difference of 0.2 subtasks")
    assert cli.main(["plan", "--chains", "601", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["difference"] == pytest.approx(0.2, abs=1e-3)
    assert cli.main(["plan"]) == 2
    assert cli.main(["plan", "--chains", "5", "--difference", "1"]) == 2
    assert "either --difference or --chains" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--power", "1.0"), "expected a power above 0.05, the chance of a false alarm, and below 1, got 1.0"),
        (("--power", "2"), "got 2.0"),
        (("--power", "0.01"), "got 0.01"),
        (("--power", "nan"), "expected --power to be a number, got 'nan'"),
        (("--standard-deviation", "-1"), "expected a standard deviation of the chains' lengths above 0, got -1.0"),
        (("--standard-deviation", "0"), "got 0.0"),
        (("--standard-deviation", "2.6"), "at most 2.5, which lengths from 0 to 5 have at most, got 2.6"),
        (("--standard-deviation", "inf"), "expected --standard-deviation to be a number, got 'inf'"),
        (("--correlation", "1.5"), "expected a correlation between two runs from -1 to below 1, got 1.5"),
        (("--correlation", "nan"), "expected --correlation to be a number, got 'nan'"),
    ],
)
@pytest.mark.parametrize("asked", [("--chains", "100"), ("--difference", "0.2")])
def test_a_plan_of_impossible_numbers_is_refused_in_words(asked, flags, words, capsys):
    assert cli.main(["plan", *asked, *flags]) == 2
    said = capsys.readouterr()
    assert words in said.err
    assert said.out == ""


@pytest.mark.parametrize(
    ("difference", "words"),
    [
        ("0", "expected --difference above 0 and at most 5, the length of a chain, got 0"),
        ("nan", "expected --difference to be a number, got 'nan'"),
        ("inf", "expected --difference to be a number, got 'inf'"),
    ],
)
def test_a_difference_that_is_none_is_refused(difference, words, capsys):
    assert cli.main(["plan", "--difference", difference]) == 2
    assert words in capsys.readouterr().err


def test_a_pilot_with_too_many_errors_is_refused(run_fake, tmp_path, capsys):
    run_fake("solver", directory=tmp_path / "solver")
    run_fake("raises", directory=tmp_path / "raises")
    pilot = ["--pilot", str(tmp_path / "solver"), str(tmp_path / "raises")]
    assert cli.main(["plan", "--difference", "0.5", *pilot]) == 2
    assert "at most 1% errored, got 3 of 6 chains" in capsys.readouterr().err


def test_the_plan_takes_its_numbers_from_a_pilot(run_fake, tmp_path, capsys):
    solver = run_fake("solver", directory=tmp_path / "solver")
    idle = run_fake("idle", directory=tmp_path / "idle")
    pilot = ["--pilot", str(tmp_path / "solver"), str(tmp_path / "idle"), "--correlation", "0.25", "--json"]
    assert cli.main(["plan", "--difference", "0.5", *pilot]) == 0
    found = json.loads(capsys.readouterr().out)
    pooled = (solver.completed.var(ddof=1) + idle.completed.var(ddof=1)) / 2
    assert found["standard_deviation"] == pytest.approx(pooled**0.5)
    assert found["correlation"] == 0.25


# --- held against one run ---------------------------------------------------------------------------------------------


def test_runs_are_held_against_a_reference_alone(run_of):
    base, better, same, worse = lengths_of(0.0, 0.5, 0.02, -0.5)
    runs = [run_of("better", better), run_of("base", base), run_of("same", same), run_of("worse", worse)]
    found = compare(runs, reference="base")
    assert found.reference == "base"
    assert [(pair.first, pair.second) for pair in found.pairs] == [
        (name, "base") for name in ("better", "same", "worse")
    ]
    assert found.pairs[0].difference.value == pytest.approx(better.mean() - base.mean())
    assert found.verdict.startswith(
        "Against base in average length (3 tests, Holm, 5%), 300 chains. Better: better +0."
    )
    assert " Worse: worse -0." in found.verdict
    assert " Not significantly different: same " in found.verdict
    assert (found.best, found.best_rates) == ((), ())
    assert "corrected over all pairs (only pairs with base are tested)" in in_words(found)


def test_fewer_tests_lose_less_to_the_correction(run_of):
    runs = [run_of(name, lengths) for name, lengths in zip("abcde", lengths_of(0.0, 0.1, 0.0, 0.0, 0.0), strict=True)]
    against = {pair.labels: pair for pair in compare(runs, reference="a").pairs}
    each_two = {pair.labels: pair for pair in compare(runs).pairs}
    assert len(against) == 4
    assert len(each_two) == 10
    hardest = min(against.values(), key=lambda pair: pair.difference.p_value)
    p_value = max(hardest.difference.p_value, hardest.clustered.p_value)
    assert hardest.adjusted_p_value == pytest.approx(min(1.0, 4 * p_value))
    assert each_two[hardest.labels].adjusted_p_value >= hardest.adjusted_p_value


def test_a_reference_is_named_by_label_policy_or_folder(run_of):
    first, second = lengths_of(0.5, 0.0)
    runs = [run_of("a", first), run_of("b", second)]
    runs[0] = replace(runs[0], description=replace(runs[0].description, policy="checkpoint:x", label="a policy"))
    for reference in ("a policy", "checkpoint:x", "a"):
        assert compare(runs, reference=reference).reference == "a policy"
    with pytest.raises(UnknownNameError, match=r"Unknown reference.* 'a polcy'\. Did you mean 'a policy'"):
        compare(runs, reference="a polcy")


def test_privileged_runs_stand_aside_from_a_reference_too(run_of):
    base, better, top = lengths_of(0.0, 0.5, 2.0)
    runs = [run_of("base", base), run_of("better", better), run_of("top", top, privileged=True)]
    found = compare(runs, reference="base")
    assert found.rivals == ("base", "better")
    assert "(5%), privileged policies excluded, 300 chains. Better: better +0." in found.verdict
    assert "top" not in found.verdict


def test_no_verdict_against_a_reference_where_chains_are_missing(run_of):
    first, second = lengths_of(0.5, 0.0)
    found = compare([run_of("a", first), run_of("b", second[:200], chains=300)], reference="a")
    assert found.verdict == "No verdict: b has finished 200 of 300 chains."


def test_the_reference_is_a_flag(run_fake, tmp_path, capsys):
    for policy in ("solver", "idle"):
        run_fake(policy, directory=tmp_path / policy)
    assert cli.main(["compare", str(tmp_path), "--reference", "idle", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["reference"] == "idle"
    assert [(pair["first"], pair["second"]) for pair in said["pairs"]] == [("solver \u2020", "idle")]
    assert cli.main(["compare", str(tmp_path), "--reference", "idel"]) == 2
    assert "Did you mean 'idle'?" in capsys.readouterr().err
