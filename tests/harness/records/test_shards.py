"""A run in parts, put together, is the run."""

import json

import pytest

from calvinbench.harness import cli
from calvinbench.harness.evaluation.evaluation import evaluate
from calvinbench.harness.evaluation.suite_evaluation import evaluate_suite
from calvinbench.harness.records.folders import RunLockedError, locked_folder
from calvinbench.harness.records.run_directory import RunMismatchError
from calvinbench.harness.records.runs import find_runs, load_run
from calvinbench.harness.records.shards import Shard, merge
from calvinbench.harness.suite.suite import Suite
from support.fakes import CHAINS, SOLVER_COMPLETES


def run_shard(fake_setup, folder, text, policy="solver", **settings):
    shard = Shard.parse(text)
    return evaluate(fake_setup(policy, **settings), shard.folder(folder), chains=CHAINS, shard=shard)


def without_times(run):
    return [record.without_times() for record in run.records]


def test_the_parts_of_a_run_put_together_are_the_run(fake_setup, run_fake, tmp_path):
    whole = run_fake("solver", directory=tmp_path / "whole")
    parts = [run_shard(fake_setup, tmp_path / "cut", f"{index}/4") for index in (1, 2, 3, 4)]
    assert [[record.chain for record in part.records] for part in parts] == [[0, 4], [1, 5], [2], [3]]
    (merged,) = merge(tmp_path)
    assert merged.num_shards == 4
    assert without_times(load_run(tmp_path / "cut")) == without_times(whole)
    assert merged.run.num_missing == 0
    assert len(merged.run.description.sessions) == 4


def test_parts_may_be_merged_before_all_are_done_and_again(fake_setup, run_fake, tmp_path):
    run_shard(fake_setup, tmp_path / "run", "1/2")
    (first,) = merge(tmp_path)
    assert first.run.num_missing == 3
    run_shard(fake_setup, tmp_path / "run", "2/2")
    (second,) = merge(tmp_path)
    assert second.run.completed.tolist() == SOLVER_COMPLETES
    assert merge(tmp_path)[0].run.records == second.run.records
    assert len(second.run.description.sessions) == 2
    assert run_fake("solver", directory=tmp_path / "run").records == second.run.records  # nothing is left to do


def test_what_is_missing_of_merged_parts_is_run_by_the_plain_command(fake_setup, run_fake, tmp_path):
    run_shard(fake_setup, tmp_path / "run", "2/3")
    merge(tmp_path)
    assert run_fake("solver", directory=tmp_path / "run").completed.tolist() == SOLVER_COMPLETES


def test_a_report_counts_a_merged_run_once(fake_setup, tmp_path):
    run_shard(fake_setup, tmp_path / "suite" / "solver", "1/2")
    assert len(find_runs(tmp_path / "suite")) == 1
    merge(tmp_path)
    (run,) = find_runs(tmp_path / "suite")
    assert run.directory == tmp_path / "suite" / "solver"


def test_a_merged_run_is_counted_once_however_deep_it_lies(fake_setup, run_fake, tmp_path):
    for index in (1, 2):
        run_shard(fake_setup, tmp_path / "suite" / "scene-A" / "solver", f"{index}/2")
    run_fake("idle", directory=tmp_path / "suite" / "scene-A" / "idle")
    merge(tmp_path)
    folders = {run.directory for run in find_runs(tmp_path / "suite")}
    assert folders == {tmp_path / "suite" / "scene-A" / name for name in ("solver", "idle")}
    part = tmp_path / "suite" / "scene-A" / "solver" / "shards" / "1-of-2"
    assert [run.directory for run in find_runs(part)] == [part]  # who names a shard gets it
    assert len(find_runs(part.parent)) == 2


def test_before_merging_each_part_is_a_run_with_chains_missing(fake_setup, run_fake, tmp_path):
    for index in (1, 2):
        run_shard(fake_setup, tmp_path / "suite" / "solver", f"{index}/2")
    run_fake("idle", directory=tmp_path / "suite" / "idle")
    found = {run.directory.name: run.num_missing for run in find_runs(tmp_path / "suite")}
    assert found == {"1-of-2": 3, "2-of-2": 3, "idle": 0}
    assert len(find_runs(tmp_path / "suite" / "solver")) == 2


def test_parts_of_unlike_runs_are_refused_and_nothing_is_written(fake_setup, tmp_path):
    run_shard(fake_setup, tmp_path / "run", "1/2")
    run_shard(fake_setup, tmp_path / "run", "2/2", max_steps=9)
    with pytest.raises(RunMismatchError, match="differ in\n  max_steps was 10 and is now 9"):
        merge(tmp_path)
    assert not (tmp_path / "run" / "run.json").exists()
    run_shard(fake_setup, tmp_path / "other", "1/2")
    run_shard(fake_setup, tmp_path / "other", "2/2", chains=4)
    with pytest.raises(RunMismatchError, match="chains were 6 and are now 4"):
        merge(tmp_path / "other")


def test_remedy_the_wrong_part_is_run_again(fake_setup, tmp_path):
    run_shard(fake_setup, tmp_path / "run", "1/2")
    run_shard(fake_setup, tmp_path / "run", "2/2", max_steps=9)
    with pytest.raises(RunMismatchError, match=r"2-of-2' differ in(.|\n)*Run the wrong one again\."):
        merge(tmp_path)
    shard = Shard.parse("2/2")
    evaluate(fake_setup("solver"), shard.folder(tmp_path / "run"), chains=CHAINS, shard=shard, overwrite=True)
    (merged,) = merge(tmp_path)
    assert merged.run.completed.tolist() == SOLVER_COMPLETES


def test_remedy_a_merge_waits_until_the_other_process_is_done(fake_setup, tmp_path):
    run_shard(fake_setup, tmp_path / "run", "1/1")
    with locked_folder(tmp_path / "run"), pytest.raises(RunLockedError, match="Wait until it is done"):
        merge(tmp_path)
    assert merge(tmp_path)[0].run.num_missing == 0


def test_remedy_a_folder_without_parts_gets_one(fake_setup, run_fake, tmp_path):
    run_fake("solver", directory=tmp_path / "run")
    with pytest.raises(ValueError, match="run --shard i/n"):
        merge(tmp_path)
    with pytest.raises(ValueError, match="such as 2/8") as refused:
        Shard.parse("8/2")
    assert str(Shard.parse(str(refused.value).split("such as ")[1].split(",")[0])) == "2/8"
    run_shard(fake_setup, tmp_path / "cut", "1/2")
    assert merge(tmp_path)[0].num_shards == 1


def test_a_run_that_somebody_writes_to_is_left_alone(fake_setup, tmp_path):
    run_shard(fake_setup, tmp_path / "run", "1/2")
    with locked_folder(tmp_path / "run"), pytest.raises(RunLockedError):
        merge(tmp_path)


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "a/b", "1/0", "-1/2"])
def test_what_is_no_part_is_refused(text):
    with pytest.raises(ValueError, match="expected a shard i/n with i from 1 to n"):
        Shard.parse(text)


def test_the_command_runs_a_part_and_puts_parts_together(tmp_path, capsys):
    out = str(tmp_path / "runs")
    for index in (1, 2):
        words = [
            "run",
            "--policy",
            "random",
            "--chains",
            "3",
            "--max-steps",
            "2",
            "--out",
            out,
            "--shard",
            f"{index}/2",
        ]
        assert cli.main([*words, "--json"]) == 0
    capsys.readouterr()
    assert cli.main(["merge", out]) == 0
    assert capsys.readouterr().out == f"{out}/random: 3 of 3 chains of 2 shards.\n"
    assert cli.main(["merge", out, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["runs"][0]["shards"] == 2
    assert cli.main(["merge", str(tmp_path / "nowhere")]) == 2
    assert "found none below" in capsys.readouterr().err


def test_a_suite_runs_the_same_part_of_all_its_policies(tmp_path):
    suite = Suite.of(policy=("random",), chains=2, max_steps=1, out=tmp_path, shard="2/2")
    (run,) = evaluate_suite(suite)
    assert run.directory == tmp_path / "random" / "shards" / "2-of-2"
    assert [record.chain for record in run.records] == [1]
