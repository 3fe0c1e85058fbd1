import multiprocessing
import os
import subprocess
import sys
import time
import weakref
from dataclasses import replace
from functools import partial

import pytest

from calvinbench.harness.evaluation.evaluation import evaluate
from calvinbench.harness.evaluation.suite_evaluation import require_runnable
from calvinbench.harness.execution.executors import WorkerDiedError
from calvinbench.harness.records.runs import find_runs, load_run
from calvinbench.harness.rollout.workers import Worker
from support.fakes import CHAINS, SOLVER_COMPLETES, Solver, make_fake_world


def without_times(run):
    return [record.without_times() for record in run.records]


def test_records_are_the_same_for_one_world_and_for_two(run_fake, tmp_path):
    one = run_fake("solver", directory=tmp_path / "one", worlds=1)
    two = run_fake("solver", directory=tmp_path / "two", worlds=2)
    assert without_times(one) == without_times(two)
    assert two.description.sessions[0].worlds == 2


def test_a_worker_that_dies_costs_its_own_chain_alone(run_fake):
    run = run_fake("killer", worlds=2)
    assert run.completed.tolist() == [5, 1, 3, 0, 5, 0]  # what a dead process knew is lost
    assert [record.chain for record in run.records if record.outcome == "errored"] == [3, 5]
    assert run.records[3].error.startswith(
        "calvinbench.harness.execution.executors.WorkerDiedError: the process that ran"
    )


def test_a_worker_that_dies_once_is_tried_again(run_fake, tmp_path):
    run = run_fake(f"killer:{tmp_path / 'marker'}", directory=tmp_path / "run", worlds=2)
    assert run.completed.tolist() == SOLVER_COMPLETES
    assert run.num_errored == 0


def test_a_single_world_may_have_a_process_of_its_own_which_costs_its_own_chain_alone(fake_setup, tmp_path):
    run = evaluate(fake_setup("killer"), tmp_path, chains=CHAINS, isolated=True)
    assert [record.chain for record in run.records if record.outcome == "errored"] == [3, 5]
    assert [run.completed[chain] for chain in (0, 1, 2, 4)] == [5, 1, 3, 5]


@pytest.mark.slow
def test_the_command_outlives_a_policy_that_kills_its_process(tmp_path):
    (tmp_path / "deadly.py").write_text(DEADLY)
    command = [sys.executable, "-m", "calvinbench.harness.cli", "run", "--policy", "python:deadly:Deadly"]
    paths = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    ended = subprocess.run(
        [*command, "--chains", "2", "--out", str(tmp_path / "runs")],
        env=os.environ | {"PYTHONPATH": paths},
        check=False,
    )
    assert ended.returncode == 1
    (run,) = find_runs(tmp_path / "runs")
    assert [record.outcome for record in run.records] == ["errored", "errored"]


DEADLY = """
import os
from calvinbench.policies.baselines.random import RandomPolicy

class Deadly(RandomPolicy):
    def act(self, *given):
        os._exit(9)
"""


def test_before_worlds_get_processes_the_driver_lets_go_of_its_policy(fake_setup, tmp_path):
    made = []

    def make(spec, reset):
        policy = Solver()
        made.append(weakref.ref(policy))
        return policy

    require_runnable(replace(fake_setup(), make_policy=make), tmp_path)
    assert [policy() for policy in made] == [None]
    worker = Worker(replace(fake_setup(), make_policy=make))
    worker.release()
    assert made[1]() is None


def test_workers_that_cannot_start_end_the_run_before_it_is_begun(fake_setup, tmp_path):
    setup = replace(fake_setup(), make_world=make_world_in_driver_only)
    with pytest.raises(WorkerDiedError, match="die as they start"):
        evaluate(setup, tmp_path, chains=CHAINS, worlds=2)
    assert not list(tmp_path.iterdir())


def make_world_in_driver_only(settings, traits):
    if multiprocessing.parent_process() is not None:
        os._exit(9)
    return make_fake_world(settings, traits)


def test_workers_that_can_no_longer_start_end_the_run_and_blame_no_chain(fake_setup, tmp_path):
    make_world = partial(make_world_for_first_process, tmp_path / "first")
    setup = replace(fake_setup("killer"), make_world=make_world)
    with pytest.raises(WorkerDiedError, match="die as they start"):
        evaluate(setup, tmp_path / "run", chains=CHAINS, isolated=True)
    run = load_run(tmp_path / "run")
    assert [record.chain for record in run.records] == [0, 1, 2, 3]  # chain 3 killed the first process
    assert [record.chain for record in run.records if record.outcome == "errored"] == [3]


def make_world_for_first_process(place, settings, traits):
    place.touch()
    if place.read_text() not in ("", str(os.getpid())):
        os._exit(9)
    place.write_text(str(os.getpid()))
    return make_fake_world(settings, traits)


def test_in_a_worker_torch_has_one_thread(fake_setup, tmp_path):
    # Sums depend on the number of threads, and records must not.
    torch = pytest.importorskip("torch")
    seen = []

    class Watched(Solver):
        def act(self, observations, instructions, state, privileged=None):
            seen.append(torch.get_num_threads())
            return super().act(observations, instructions, state, privileged)

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        evaluate(replace(fake_setup(), make_policy=lambda spec, reset: Watched()), tmp_path, chains=CHAINS)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert set(seen) == {1}


def test_stopping_leaves_no_process_behind(run_fake):
    class Stop:
        def run_began(self, description, finished): ...

        def chain_finished(self, record):
            raise KeyboardInterrupt

        def run_ended(self): ...

    before = set(multiprocessing.active_children())
    with pytest.raises(KeyboardInterrupt):
        run_fake("slow", worlds=2, subscribers=[Stop()])
    # Not join(): the pool's own thread waits for the same processes, and of two that wait only one is told of the end.
    deadline = time.monotonic() + 60
    while (left := set(multiprocessing.active_children()) - before) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not left
