"""Chains that errored are run again where that is asked for, and a run that only errs is stopped."""

import errno
import json
from dataclasses import replace

import pytest

from calvinbench.harness import cli
from calvinbench.harness.evaluation.evaluation import evaluate
from calvinbench.harness.evaluation.suite_evaluation import evaluate_suite
from calvinbench.harness.records import run_directory
from calvinbench.harness.records.errored_chains import MAX_ERRORS_IN_A_ROW, ErrorsInARow, OnlyErrorsError, replace_line
from calvinbench.harness.records.runs import load_run
from calvinbench.harness.records.shards import Shard, merge
from calvinbench.harness.suite.suite import Suite
from support.fakes import CHAINS, Idle, Solver


class Mendable(Solver):
    """The solver; as long as it is broken, it raises an error in every second chain, at its first step."""

    is_broken = True

    def __init__(self):
        self._num_chains = 0

    def initial_state(self, batch_size, seeds=None):
        self._num_chains += 1
        return super().initial_state(batch_size, seeds)

    def act(self, observations, instructions, state, privileged=None):
        if self.is_broken and self._num_chains % 2 == 0:
            raise RuntimeError("the server is gone")
        return super().act(observations, instructions, state, privileged)


class Failing(Idle):
    """Raises at every step, and says which chain it is."""

    def __init__(self, words):
        self._words, self._num_chains = words, 0

    def act(self, observations, instructions, state, privileged=None):
        self._num_chains += 1
        raise RuntimeError(self._words(self._num_chains))


@pytest.fixture
def broken(fake_setup, tmp_path):
    """A run with chains 1, 3 and 5 errored, and what runs it again with its policy mended."""
    policy = Mendable()
    setup = replace(fake_setup(), make_policy=lambda spec, reset: policy)
    run = evaluate(setup, tmp_path / "run", chains=CHAINS)
    assert [record.chain for record in run.records if record.outcome == "errored"] == [1, 3, 5]
    policy.is_broken = False

    def again(**given):
        return evaluate(setup, tmp_path / "run", chains=CHAINS, **given)

    return run, again


def lines(run, name="chains.jsonl"):
    return (run.directory / name).read_text().splitlines()


def test_errored_chains_stay_as_they_are_unless_they_are_to_be_run_again(broken):
    run, again = broken
    assert again().records == run.records


def test_errored_chains_are_run_again_in_their_places(broken, run_fake, tmp_path):
    run, again = broken
    before = lines(run)
    sound = run_fake("solver", directory=tmp_path / "sound")
    told = []

    class Listener:
        def run_began(self, description, finished):
            told.extend(record.chain for record in finished)

        def chain_finished(self, record): ...

        def run_ended(self): ...

    mended = again(retry_errored=True, subscribers=[Listener()])
    assert [record.without_times() for record in mended.records] == [record.without_times() for record in sound.records]
    assert told == [0, 2, 4]
    assert [json.loads(line)["chain"] for line in lines(run)] == [0, 1, 2, 3, 4, 5]
    assert lines(run)[::2] == before[::2]
    assert lines(run, "replaced.jsonl") == before[1::2]
    assert len(mended.description.sessions) == 2


def test_a_chain_that_cannot_be_replaced_is_there_as_it_was(broken, monkeypatch):
    run, again = broken
    before = lines(run)

    def full(path, content):
        if path.name == "chains.jsonl":
            raise OSError(errno.ENOSPC, "No space left on device")
        path.write_bytes(content)

    with monkeypatch.context() as patched:
        patched.setattr(run_directory, "write_atomically", full)
        with pytest.raises(OSError, match=r"cannot write chain 1 .*No space left"):
            again(retry_errored=True)
    assert lines(run) == before
    assert again(retry_errored=True).num_errored == 0


def test_a_stopped_retry_goes_on_with_those_that_are_left(broken):
    run, again = broken

    class Stop:
        def run_began(self, description, finished): ...

        def chain_finished(self, record):
            raise KeyboardInterrupt

        def run_ended(self): ...

    with pytest.raises(KeyboardInterrupt):
        again(retry_errored=True, subscribers=[Stop()])
    assert [record.chain for record in load_run(run.directory).records if record.outcome == "errored"] == [3, 5]
    assert again(retry_errored=True).num_errored == 0


def test_a_line_is_replaced_where_it_counts_and_others_stay_byte_for_byte():
    content = b'{"chain": 2, "x": 1}\n{"chain": 0}\n{"chain":  2}\n{"chain":3}\n'
    found = replace_line(content, 2, b"new\n")
    assert found.content == b'new\n{"chain": 0}\n{"chain":3}\n'
    assert found.replaced == b'{"chain": 2, "x": 1}\n'
    with pytest.raises(ValueError, match="line of chain 1"):
        replace_line(content, 1, b"new\n")


def test_what_was_run_again_in_a_part_counts_in_the_whole(fake_setup, tmp_path):
    policy = Mendable()
    setup = replace(fake_setup(chains=4), make_policy=lambda spec, reset: policy)
    for part in ("1/2", "2/2"):
        shard = Shard.parse(part)
        evaluate(setup, shard.folder(tmp_path / "run"), chains=CHAINS, shard=shard)
    assert merge(tmp_path)[0].run.num_errored == 2
    policy.is_broken = False
    for part in ("1/2", "2/2"):
        shard = Shard.parse(part)
        evaluate(setup, shard.folder(tmp_path / "run"), chains=CHAINS, shard=shard, retry_errored=True)
    assert merge(tmp_path)[0].run.num_errored == 0


@pytest.fixture
def fail(fake_setup, tmp_path):
    def run(words, chains):
        setup = replace(fake_setup(chains=chains), make_policy=lambda spec, reset: Failing(words))
        return evaluate(setup, tmp_path / "run", chains=CHAINS * 4)

    return run


def test_a_run_that_only_errs_is_stopped_and_goes_on_when_it_is_asked_to(fail, tmp_path):
    words = r"10 chains in a row errored .* RuntimeError: no server at port 10\nKept: 10 chains in .*--retry-errored"
    with pytest.raises(OnlyErrorsError, match=words):
        fail(lambda count: f"no server at port {count}", chains=18)
    assert [record.chain for record in load_run(tmp_path / "run").records] == list(range(10))
    assert fail(lambda count: "no server", chains=18).num_errored == 18


def test_chains_that_err_for_different_reasons_do_not_stop_a_run(fail):
    assert fail(lambda count: ("no server", "bad answer")[count % 2], chains=14).num_errored == 14


def test_the_last_chains_of_a_run_are_no_reason_to_stop_it(fail):
    assert fail(lambda count: "no server", chains=MAX_ERRORS_IN_A_ROW).num_errored == MAX_ERRORS_IN_A_ROW


def test_a_chain_that_ends_well_begins_the_count_anew(run_fake):
    errored = replace(run_fake().records[0], outcome="errored", error="no server")
    solved = replace(errored, outcome="solved", error=None)
    errors = ErrorsInARow()
    for record in (*[errored] * 9, solved, *[errored] * 9):
        assert not errors.add(record)
    assert errors.add(errored)


FAILS = """
from pathlib import Path
from calvinbench.policies.baselines.random import RandomPolicy

class Fails(RandomPolicy):
    def act(self, *given):
        if not Path("mended").exists():
            raise RuntimeError("never works")
        return super().act(*given)
"""


def test_a_policy_that_only_errs_does_not_keep_a_suites_others_from_being_run(in_tmp, monkeypatch):
    (in_tmp / "fails.py").write_text(FAILS)
    monkeypatch.syspath_prepend(in_tmp)
    suite = Suite.of(policy=("python:fails:Fails", "random"), chains=11, max_steps=1)
    with pytest.raises(OnlyErrorsError, match="never works"):
        evaluate_suite(suite)
    failed, random = (load_run(suite.directory(run)) for run in suite.runs)
    assert (len(failed.records), len(random.records), random.num_errored) == (10, 11, 0)


def test_the_command_tells_of_errored_chains_and_runs_them_again(in_tmp, monkeypatch, capsys):
    (in_tmp / "fails.py").write_text(FAILS)
    monkeypatch.syspath_prepend(in_tmp)
    words = ["run", "--policy", "python:fails:Fails", "--chains", "2", "--max-steps", "2"]
    assert cli.main(words) == 1
    assert "Chains that errored: 2. Add --retry-errored to the same command" in capsys.readouterr().err
    (in_tmp / "mended").touch()
    assert cli.main(words) == 1
    capsys.readouterr()
    assert cli.main([*words, "--retry-errored"]) == 0
    assert "Chains that errored" not in capsys.readouterr().err


@pytest.fixture
def in_tmp(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path
