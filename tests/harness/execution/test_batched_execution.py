"""One policy, many worlds: the same records for any number of them, and each accident costs its own chain alone."""

import json
import multiprocessing
import os
import re
from dataclasses import replace

import pytest

from calvinbench.harness.evaluation.evaluation import evaluate
from calvinbench.harness.execution.batched_execution import NotBatchedError
from calvinbench.harness.execution.executors import WorkerDiedError
from calvinbench.harness.records.run_directory import RunMismatchError
from calvinbench.harness.records.runs import load_run
from calvinbench.harness.rollout.workers import WorkerSetup
from calvinbench.harness.suite.settings import RunSettings
from support.fakes import (
    CHAINS,
    SOLVER_COMPLETES,
    Crowded,
    make_broken_world,
    make_deadly_world,
    make_fake_world,
)


def without_times(run):
    return [record.without_times() for record in run.records]


@pytest.mark.parametrize("batch_size", [2, 4])
@pytest.mark.parametrize("worlds", [1, 2, 4, 5])
def test_records_are_the_same_for_any_number_of_worlds(run_fake, fake_setup, tmp_path, batch_size, worlds):
    single = run_fake("solver", directory=tmp_path / "single")
    policy = Crowded()
    setup = replace(fake_setup("crowded", batch_size=batch_size), make_policy=lambda spec, reset: policy)
    setup = replace(setup, make_world=make_fake_world)
    many = evaluate(setup, tmp_path / "many", chains=CHAINS, worlds=worlds)
    assert without_times(many) == without_times(single)
    assert policy.batch_sizes == {batch_size}
    assert len(policy.expected) == 34
    assert many.description.batch_size == batch_size
    assert all(subtask.policy_ms is not None for record in many.records for subtask in record.subtasks)


def test_each_row_has_its_own_worlds_pictures(run_fake, tmp_path):
    """The action, and with it the change of action that is recorded, depends on the row's picture."""
    one = run_fake("crowded-looks", directory=tmp_path / "one", batch_size=3, worlds=1)
    four = run_fake("crowded-looks", directory=tmp_path / "four", batch_size=3, worlds=4)
    assert without_times(one) == without_times(four)
    assert one.completed.tolist() == SOLVER_COMPLETES


def test_memory_is_cleared_for_the_world_whose_subtask_ended(fake_setup, tmp_path):
    for reset, expected in (("subtask", sum(min(done, 4) for done in SOLVER_COMPLETES)), ("chain", 0)):
        policy = Crowded(reset)
        setup = replace(fake_setup("crowded", batch_size=3), make_policy=lambda spec, reset, made=policy: made)
        evaluate(setup, tmp_path / reset, chains=CHAINS, worlds=3)
        assert policy.num_forgotten == expected


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ("crowded-raises", "RuntimeError: the arm fell off"),
        ("crowded-nan", "ValueError: expected finite numbers in an action"),
        ("crowded-shape", r"ValueError: expected act to return actions of shape \(4, 7\) for 4 worlds"),
    ],
)
def test_what_the_policy_cannot_answer_costs_those_chains_alone(run_fake, policy, words):
    run = run_fake(policy, batch_size=4, worlds=4)
    assert [record.chain for record in run.records if record.outcome == "errored"] == [3, 5]
    assert run.completed.tolist() == SOLVER_COMPLETES
    for chain in (3, 5):
        assert re.search(words, run.records[chain].error)
        assert "Traceback" in run.records[chain].traceback


def test_a_world_that_dies_costs_its_own_chain_alone(run_fake):
    run = run_fake("crowded", make_world=make_deadly_world, batch_size=2, worlds=3)
    errored = [record.chain for record in run.records if record.outcome == "errored"]
    assert errored == [1, 2, 3, 5]  # all with a task that the solver turns the fifth axis for
    assert [run.completed[chain] for chain in (0, 4)] == [5, 5]
    assert "WorldDiedError: the process of a world died (exit code 7)" in run.records[3].error


def test_a_world_that_dies_once_is_tried_again(run_fake, tmp_path):
    spec = f"crowded:{tmp_path / 'marker'}"
    run = run_fake(spec, directory=tmp_path / "run", make_world=make_deadly_world, batch_size=2, worlds=3)
    assert (tmp_path / "marker").exists()
    assert run.completed.tolist() == SOLVER_COMPLETES
    assert run.num_errored == 0


def test_a_world_that_raises_is_made_anew(run_fake):
    run = run_fake("crowded", make_world=make_broken_world, batch_size=2, worlds=2)
    assert [record.chain for record in run.records if record.outcome == "errored"] == [1, 2, 3, 5]
    assert [run.completed[chain] for chain in (0, 4)] == [5, 5]
    assert run.records[1].error == "RuntimeError: the table broke"
    assert "fakes.py" in run.records[1].traceback


def test_worlds_that_cannot_start_end_the_run_and_blame_no_chain(fake_setup, tmp_path):
    setup = replace(fake_setup("crowded", batch_size=2), make_world=make_world_in_driver_only)
    with pytest.raises(WorkerDiedError, match="die as they start"):
        evaluate(setup, tmp_path, chains=CHAINS, worlds=2)
    assert load_run(tmp_path).records == ()


def make_world_in_driver_only(settings, traits):
    if multiprocessing.parent_process() is not None:
        os._exit(9)
    return make_fake_world(settings, traits)


def test_a_policy_that_answers_one_world_is_refused(run_fake, fake_setup, tmp_path):
    with pytest.raises(NotBatchedError, match=r"'solver' lacks them .* Leave --batch-size out"):
        run_fake("solver", batch_size=2)
    shy = Crowded()
    shy.traits = replace(shy.traits, max_batch_size=1)
    setup = replace(fake_setup("crowded", batch_size=2), make_policy=lambda spec, reset: shy)
    with pytest.raises(NotBatchedError, match="answers 2 worlds at once, but 'crowded' answers at most 1"):
        evaluate(setup, tmp_path / "shy", chains=CHAINS)
    assert not (tmp_path / "shy").exists()


def test_a_run_goes_on_with_its_own_batch_size_alone(run_fake, tmp_path):
    run_fake("crowded", directory=tmp_path / "run", chains=2, batch_size=2)
    with pytest.raises(RunMismatchError, match="batch_size was 2 and is now 3"):
        run_fake("crowded", directory=tmp_path / "run", batch_size=3)
    again = run_fake("crowded", directory=tmp_path / "run", batch_size=2, worlds=2)
    assert again.completed.tolist() == SOLVER_COMPLETES
    older = json.loads((tmp_path / "run" / "run.json").read_text())
    assert older.pop("batch_size") == 2
    (tmp_path / "run" / "run.json").write_text(json.dumps(older))
    assert load_run(tmp_path / "run").description.batch_size == 1  # before there was one


def test_a_complete_run_has_nothing_left_to_do(run_fake):
    first = run_fake("crowded", batch_size=2)
    assert run_fake("crowded", batch_size=2).records == first.records


def test_stopping_leaves_no_process_behind(run_fake):
    class Stop:
        def run_began(self, description, finished): ...

        def chain_finished(self, record):
            raise KeyboardInterrupt

        def run_ended(self): ...

    before = set(multiprocessing.active_children())
    with pytest.raises(KeyboardInterrupt):
        run_fake("crowded", batch_size=2, worlds=3, subscribers=[Stop()])
    assert set(multiprocessing.active_children()) <= before


@pytest.mark.slow
def test_a_learned_policy_in_the_real_world_has_the_same_records_for_one_two_and_four_worlds(tmp_path):
    """Bit for bit: what changes an action's last digit changes where a chain ends."""
    spec = "untrained:cnn,memory_span=window:3,chunk_rule=first:2,chunk_length=3,proprioception=true"
    setup = WorkerSetup(RunSettings(policy=spec, chains=4, max_steps=25, batch_size=4))
    runs = [evaluate(setup, tmp_path / str(worlds), worlds=worlds) for worlds in (1, 2, 4)]
    assert without_times(runs[0]) == without_times(runs[1]) == without_times(runs[2])
    changes = [record.subtasks[0].action_change for record in runs[0].records]
    assert len(set(changes)) == 4
