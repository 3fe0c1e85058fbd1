"""Chains of other lengths than CALVIN's five: every number, figure and note is of theirs."""

import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from calvinbench.envs.chains import Chain
from calvinbench.harness import cli
from calvinbench.harness.analysis import statistics
from calvinbench.harness.analysis.comparable import RunsDifferError
from calvinbench.harness.analysis.comparison import compare
from calvinbench.harness.analysis.paired_statistics import paired_difference, paired_success
from calvinbench.harness.analysis.summaries import summarize
from calvinbench.harness.analysis.training_seeds import seed_means
from calvinbench.harness.evaluation.evaluation import evaluate
from calvinbench.harness.progress.progress_table import ProgressRow, progress_table
from calvinbench.harness.progress.running_count import RunningCount
from calvinbench.harness.records.runs import load_run
from calvinbench.harness.report import plots, tables
from calvinbench.harness.report.published_results import published_results
from calvinbench.harness.report.report import gather, write_report
from calvinbench.harness.report.table_input import TableInput
from calvinbench.harness.report.table_notes import notes
from support.fakes import CHAINS, SOLVER_COMPLETES

THREE = [Chain(chain.initial_state, chain.subtasks[:3]) for chain in CHAINS]
COMPLETED = [min(done, 3) for done in SOLVER_COMPLETES]  # 3, 1, 3, 0, 3, 3


@pytest.fixture
def run_chains(fake_setup, tmp_path):
    def run(policy="solver", chains=THREE, folder="runs"):
        setup = fake_setup(policy, chains=len(chains))
        return evaluate(setup, tmp_path / folder / policy, chains=chains)

    return run


def test_the_table_has_a_column_for_each_subtask_and_no_more(run_chains):
    run = run_chains()
    assert run.chain_length == run.description.chain_length == 3
    assert run.completed.tolist() == COMPLETED
    assert tables.of_input(TableInput.of([run])).grid.titles == ("Method", "1", "2", "3", "Avg. Len.")
    numbers = tables.number_table(TableInput.of([run])).iloc[0]
    assert [numbers[k] for k in ("1", "2", "3")] == [5 / 6, 4 / 6, 4 / 6]
    assert "4" not in numbers
    assert numbers["Avg. Len._high"] <= 3
    said = "\n".join(notes(TableInput.of([run])))
    assert "6 chains of 3 subtasks" in said
    assert "Columns 1 to 3:" in said
    assert "\nMethod & 1 & 2 & 3 & Avg. Len. \\\\\n" in tables.of_input(TableInput.of([run])).latex()


def test_intervals_of_a_policy_that_solves_all_hold_its_average_and_end_at_its_length(run_chains):
    run = run_chains(chains=[Chain(CHAINS[0].initial_state, CHAINS[0].subtasks[:3])] * 8)
    summary = summarize(run)
    assert summary.average_length.value == 3.0
    assert (summary.average_length.interval.high, summary.clustered.interval.high) == (3.0, 3.0)
    assert [rate.rate for rate in summary.success] == [1.0, 1.0, 1.0]
    curve = statistics.survival_curve(run.completed, np.random.default_rng(0), chain_length=3)
    assert curve.rates.tolist() == curve.high.tolist() == [1.0, 1.0, 1.0]
    # Clopper-Pearson's lower end for 8 of 8, a third of the error on each of three
    assert curve.low.tolist() == pytest.approx([(0.05 / 3 / 2) ** (1 / 8)] * 3)


@pytest.mark.parametrize("length", [1, 2, 7])
def test_any_length_is_reported(run_chains, length, tmp_path):
    tasks = [*CHAINS[4].subtasks, "turn_on_lightbulb", "turn_off_lightbulb"][:length]
    chains = [Chain(CHAINS[0].initial_state, tuple(tasks))] * 2
    for policy in ("solver", "idle"):
        run = run_chains(policy, chains)
        assert run.completed.tolist() == [length if policy == "solver" else 0] * 2
    report = write_report([tmp_path / "runs"])
    (row, _) = pd.read_csv(report.directory / "table.csv").sort_values("Avg. Len.", ascending=False).to_dict("records")
    assert row["Avg. Len."] == length
    assert row[str(length)] == 1.0
    assert str(length + 1) not in row
    subtasks = "one subtask" if length == 1 else f"{length} subtasks"
    assert f"2 chains of {subtasks}," in report.markdown
    assert set(pd.read_csv(report.directory / "conditional.csv").position) == set(range(1, length + 1))


def test_the_report_of_chains_of_three_names_no_fourth_subtask_anywhere(run_chains, tmp_path):
    for policy in ("solver", "idle"):
        run_chains(policy)
    report = write_report([tmp_path / "runs"])
    conditional = pd.read_csv(report.directory / "conditional.csv")
    solver = conditional[conditional.policy == "solver"]
    assert solver.solved.tolist() == [5, 4, 4]
    assert solver.reached.tolist() == [6, 5, 4]
    assert set(pd.read_csv(report.directory / "first-failures.csv").position) <= {1, 2, 3}
    assert "difference_3" in pd.read_csv(report.directory / "pairs.csv").columns
    assert "difference_4" not in pd.read_csv(report.directory / "pairs.csv").columns
    page = (report.directory / "index.html").read_text()
    titles = re.findall(r"<th[^>]*>(?:<button[^>]*>)?\s*(\d)\s*<", page)
    assert "3" in titles
    assert "4" not in titles


def test_figures_end_at_the_last_subtask(run_chains):
    run = run_chains()
    ax = plots.survival([run])
    assert ax.get_xticks().tolist() == [1, 2, 3]
    (line,) = ax.get_lines()
    assert line.get_ydata().tolist() == pytest.approx([500 / 6, 400 / 6, 400 / 6])
    ax = plots.first_failures(run)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["1", "2", "3"]


def test_a_comparison_is_of_as_many_subtasks(run_chains):
    comparison = compare([run_chains(), run_chains("idle")])
    (pair,) = comparison.pairs
    assert len(pair.rates) == len(pair.adjusted_rate_p_values) == 3
    assert (pair.clustered.interval.low, pair.clustered.interval.high) == (-3.0, 3.0)  # one initial state


def test_a_mean_over_training_seeds_is_of_as_many_subtasks(run_chains):
    seeds = [
        replace(run, description=replace(run.description, label="p", training_seed=seed, training_recipe="r"))
        for seed, run in enumerate([run_chains(), run_chains("idle")])
    ]
    (mean,) = seed_means(seeds)
    assert len(mean.success) == 3
    assert mean.average_length.interval.high <= 3
    assert len(tables.of_input(TableInput.of(seeds)).grid.rows) == 1


def test_calvin_s_file_and_progress_are_of_as_many_subtasks(run_chains, tmp_path):
    run = run_chains()
    assert cli.main(["export", str(run.directory), "--form", "calvin", "--out", str(tmp_path / "results.json")]) == 0
    (result,) = json.loads((tmp_path / "results.json").read_text()).values()
    assert result["chain_sr"] == {"1": 5 / 6, "2": 4 / 6, "3": 4 / 6}
    count = RunningCount(6, run.records, chain_length=run.chain_length)
    assert str(count).startswith("83 67 67 % at 1-3, average 2.17")
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(progress_table([ProgressRow("solver", 6, count)], 120))
    assert console.export_text().split()[:6] == ["Policy", "Chains", "1", "2", "3", "Avg."]


def test_single_tasks_are_chains_of_one(run_fake):
    run = run_fake(tasks=("turn_on_led",), chains=4)
    assert run.chain_length == 1
    assert len(summarize(run).success) == 1
    assert summarize(run).average_length.interval.high == 1.0


def test_chains_of_several_lengths_are_refused_before_anything_is_made(fake_setup, tmp_path):
    def never(*_):
        raise AssertionError("a world was made")

    with pytest.raises(
        ValueError, match=r"one length, got chains of 3 \(first chain 0\), 5 \(first chain 1\) subtasks"
    ):
        evaluate(fake_setup(make_world=never, chains=2), tmp_path / "mixed", chains=[THREE[0], CHAINS[1]])
    assert not (tmp_path / "mixed").exists()


def test_remedy_a_list_shorter_than_the_benchmarks_takes_as_many_chains(fake_setup, tmp_path):
    with pytest.raises(ValueError, match=r"length of the list, got 1000\. Set chains to 2 or less"):
        evaluate(fake_setup(chains=1000), tmp_path / "run", chains=THREE[:2])
    assert evaluate(fake_setup(chains=2), tmp_path / "run", chains=THREE[:2]).num_missing == 0


def test_remedy_chains_of_each_length_are_a_run_of_their_own(run_chains):
    three, five = run_chains(chains=THREE[:1], folder="three"), run_chains(chains=CHAINS[1:2], folder="five")
    assert (three.chain_length, five.chain_length) == (3, 5)


def test_runs_of_unlike_lengths_do_not_stand_in_one_table(run_chains, tmp_path):
    three, five = run_chains(folder="three"), run_chains("idle", list(CHAINS), folder="five")
    for together in (compare, gather, lambda runs: tables.of_input(TableInput.of(runs)), plots.survival):
        with pytest.raises(RunsDifferError, match=r"their chains have 3 and 5 subtasks. Report them separately"):
            together([three, five])


def test_remedy_runs_of_unlike_lengths_are_reported_separately(run_chains, tmp_path):
    run_chains(folder="three")
    run_chains("idle", list(CHAINS), folder="five")
    assert cli.main(["report", str(tmp_path)]) == 2
    assert cli.main(["report", str(tmp_path / "three")]) == cli.main(["report", str(tmp_path / "five")]) == 0


def test_published_rows_stand_below_chains_of_five_alone(run_chains):
    run = run_chains()
    on_d = replace(run, description=replace(run.description, scene="D"))
    published = published_results("ABC->D")[:1]
    for below in (
        lambda: gather([on_d], published=published),
        lambda: tables.of_input(TableInput.of([on_d], published)),
    ):
        with pytest.raises(RunsDifferError, match=r"is of chains of 3: they are not comparable. Leave --published out"):
            below()
    assert gather([on_d])[0].table.published == ()


def test_a_run_of_before_lengths_were_kept_is_read_by_its_solved_chains_and_goes_on(run_chains):
    run = run_chains()
    path = run.directory / "run.json"
    values = json.loads(path.read_text())
    del values["chain_length"]
    path.write_text(json.dumps(values))
    assert load_run(run.directory).chain_length == 3
    assert run_chains().records == run.records


def test_more_subtasks_than_a_chain_has_are_refused():
    seven = np.array([7, 3])
    for counted in (
        lambda: statistics.survivors(seven),
        lambda: statistics.average_length(seven, np.random.default_rng(0)),
        lambda: paired_difference(seven, seven, np.random.default_rng(0)),
    ):
        with pytest.raises(
            ValueError, match=r"from 0 to 5 subtasks completed in each chain, got .*Give the chains' length"
        ):
            counted()


def test_remedy_the_chains_length_is_given():
    seven = np.array([7, 3])
    assert statistics.survivors(seven, chain_length=7).tolist() == [2, 2, 2, 1, 1, 1, 1]
    assert paired_difference(seven, seven, np.random.default_rng(0), max_length=7).value == 0
    assert len(paired_success(seven, seven, max_length=7)) == 7


def test_a_report_before_the_first_chain_has_ended_shows_dashes(run_fake, tmp_path, capsys):
    for policy in ("solver", "idle"):
        run_fake(policy, directory=tmp_path / "runs" / policy)
        (tmp_path / "runs" / policy / "chains.jsonl").write_text("")
    runs = str(tmp_path / "runs")
    assert cli.main(["report", runs]) == 0
    table = capsys.readouterr().out
    cells = [cell.strip() for cell in table.splitlines()[2].strip("| ").split("|")]
    assert cells[1:] == ["-"] * 6
    assert cli.main(["report", runs, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["runs"][0]["average_length"]["value"] is None
    for file in (tmp_path / "runs" / "report").iterdir():
        if file.suffix in (".md", ".tex", ".csv", ".html", ".json"):
            assert "nan" not in file.read_text().lower().replace("'", " ").split(), file


def test_a_pilot_that_tells_no_correlation_is_refused_in_words(run_fake, tmp_path, capsys):
    run_fake("solver", directory=tmp_path / "solver")
    run_fake("idle", directory=tmp_path / "idle")
    pilot = ["--pilot", str(tmp_path / "solver"), str(tmp_path / "idle")]
    assert cli.main(["plan", "--difference", "0.5", *pilot]) == 2
    assert "expected a pilot whose chains differ in length" in capsys.readouterr().err
    # The remedy: what it says may be assumed.
    assumed = ["--correlation", "0.5", "--standard-deviation", "1.75"]
    assert cli.main(["plan", "--difference", "0.5", *pilot, *assumed]) == 0
