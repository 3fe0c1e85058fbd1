import re
import shlex

import pytest

from calvinbench.harness import cli
from calvinbench.harness.evaluation.evaluation import evaluate
from calvinbench.harness.records.description import Difference
from calvinbench.harness.records.folders import RunLockedError, locked_folder
from calvinbench.harness.records.old_runs import move_aside
from calvinbench.harness.records.run_directory import RunMismatchError
from calvinbench.harness.records.runs import find_runs, load_run
from calvinbench.harness.records.shards import Shard, merge
from calvinbench.harness.suite.suite import Suite
from support.fakes import CHAINS

RANDOM = ["run", "--policy", "random", "--chains", "1", "--max-steps"]


@pytest.fixture
def in_tmp(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def refused(in_tmp, capsys):
    """The error of a run whose settings changed."""
    assert cli.main([*RANDOM, "3"]) == 0
    capsys.readouterr()
    assert cli.main([*RANDOM, "4"]) == 2
    return capsys.readouterr().err


def test_remedy_name_gives_the_changed_run_a_folder_of_its_own(in_tmp, refused):
    (flag,) = re.findall(r"--name \S+", refused)
    assert flag == "--name random-2"
    assert cli.main([*RANDOM, "4", *shlex.split(flag)]) == 0
    assert load_run(in_tmp / "runs/random").description.max_steps == 3
    assert load_run(in_tmp / "runs/random-2").description.max_steps == 4


def test_remedy_out_gives_the_changed_run_another_parent(in_tmp, refused):
    assert "--out DIR, another folder" in refused
    assert cli.main([*RANDOM, "4", "--out", "other"]) == 0
    assert load_run(in_tmp / "other/random").description.max_steps == 4


def test_remedy_overwrite_begins_anew_and_keeps_the_old_run_beside_it(in_tmp, refused, caplog):
    old = (in_tmp / "runs/random/chains.jsonl").read_bytes()
    assert "add --overwrite: the old run is moved to 'random.old-<time>'" in refused
    assert cli.main([*RANDOM, "4", "--overwrite"]) == 0
    assert load_run(in_tmp / "runs/random").description.max_steps == 4
    (moved,) = (in_tmp / "runs").glob("random.old-*")
    assert f"The run that was in 'runs/random' is now in 'runs/{moved.name}'" in caplog.text
    assert (moved / "chains.jsonl").read_bytes() == old
    # Reports leave it out, unless it is asked for by its own name.
    assert [run.directory.name for run in find_runs(in_tmp / "runs")] == ["random"]
    assert [run.directory.name for run in find_runs(in_tmp)] == ["random"]
    assert find_runs(moved)[0].description.max_steps == 3


def test_remedy_after_a_stop_the_command_without_overwrite_goes_on(fake_setup, tmp_path):
    class Stop:
        def run_began(self, description, finished): ...

        def chain_finished(self, record):
            if record.chain == 2:
                raise KeyboardInterrupt

        def run_ended(self): ...

    evaluate(fake_setup("idle"), tmp_path / "run", chains=CHAINS)
    with pytest.raises(KeyboardInterrupt):
        evaluate(fake_setup("solver"), tmp_path / "run", chains=CHAINS, overwrite=True, subscribers=[Stop()])
    assert len(load_run(tmp_path / "run").records) == 3
    assert evaluate(fake_setup("solver"), tmp_path / "run", chains=CHAINS).num_missing == 0


def test_the_same_run_is_begun_anew_too_and_two_in_a_second_get_two_names(run_fake, fake_setup, tmp_path):
    run_fake("solver", directory=tmp_path / "run")
    for _ in range(2):
        evaluate(fake_setup("solver"), tmp_path / "run", chains=CHAINS, overwrite=True)
    assert len(list(tmp_path.glob("run.old-*"))) == 2
    assert len(load_run(tmp_path / "run").description.sessions) == 1


def test_nothing_is_moved_where_there_is_no_run_or_another_process_writes(run_fake, tmp_path):
    assert move_aside(tmp_path / "nothing") is None
    run = run_fake("solver")
    with locked_folder(run.directory), pytest.raises(RunLockedError):
        move_aside(run.directory)
    assert load_run(run.directory).num_missing == 0


def test_nothing_is_moved_if_another_policy_of_the_call_cannot_run(in_tmp, refused, capsys):
    arguments = [*RANDOM, "4", "--policy", "untrained:kosmos2,sede=1", "--overwrite"]
    assert cli.main(arguments) == 2
    assert load_run(in_tmp / "runs/random").description.max_steps == 3


def test_a_shard_that_was_moved_aside_is_not_merged(fake_setup, tmp_path):
    for index in (1, 2):
        shard = Shard(index, 2)
        evaluate(fake_setup("idle"), shard.folder(tmp_path / "run"), chains=CHAINS, shard=shard)
    for index in (1, 2):
        shard = Shard(index, 2)
        evaluate(fake_setup("solver"), shard.folder(tmp_path / "run"), chains=CHAINS, shard=shard, overwrite=True)
    (merged,) = merge(tmp_path)
    assert merged.num_shards == 2
    assert merged.run.description.policy == "solver"


def test_remedy_chains_without_a_run_file_are_moved_aside(run_fake, fake_setup, tmp_path):
    run = run_fake("solver", directory=tmp_path / "run")
    (run.directory / "run.json").unlink()
    with pytest.raises(RunMismatchError, match="add --overwrite"):
        run_fake("solver", directory=tmp_path / "run")
    assert evaluate(fake_setup("solver"), tmp_path / "run", chains=CHAINS, overwrite=True).num_missing == 0


def test_digests_are_shown_by_their_first_digits():
    difference = Difference("weights_digest", "0123456789abcdef" * 4, "f" * 64)
    assert str(difference) == "weights_digest was '0123456789ab...' and is now 'ffffffffffff...'"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"policy": ("random", "expert"), "run_name": "mine"}, "expected one policy beside --name 'mine'.*got 2"),
        ({"policy": ("random",), "run_name": "a/b"}, "expected --name to be the name of a folder.*'a/b'"),
        ({"policy": ("random",), "run_name": ".."}, "expected --name to be the name of a folder"),
        ({"policy": ("random",), "run_name": ""}, "expected --name to be the name of a folder"),
    ],
)
def test_a_name_is_for_one_policy_and_a_folder(settings, words):
    with pytest.raises(ValueError, match=words):
        Suite.of(**settings)


def test_a_named_run_of_several_seeds_has_a_folder_for_each(tmp_path):
    suite = Suite.of(policy=("random",), run_name="mine", seed=(0, 1), out=tmp_path)
    assert [suite.directory(run).name for run in suite.runs] == ["mine--seed-0", "mine--seed-1"]
