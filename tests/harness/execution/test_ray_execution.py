"""On a local cluster of several nodes, one of which is lost on the way."""

import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading

import pytest
import ray
from ray.cluster_utils import Cluster

from calvinbench.harness import cli
from calvinbench.harness.errors import RunFailedError
from calvinbench.harness.evaluation.evaluation import evaluate
from calvinbench.harness.evaluation.suite_checks import ray_options
from calvinbench.harness.execution import ray_execution
from calvinbench.harness.execution.ray_cluster import RayOptions, require_answer
from calvinbench.harness.records.errored_chains import FirstErrorError
from calvinbench.harness.records.runs import load_run
from calvinbench.harness.rollout.jobs import make_job
from calvinbench.harness.suite.suite import Suite
from support import TESTS
from support.fakes import CHAINS, SOLVER_COMPLETES

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster():
    """A head without processors for replicas, and nodes with one each."""
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    made.nodes = [made.add_node(num_cpus=1) for _ in range(3)]
    paths = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
    variables = {"PYTHONPATH": paths}
    ray.init(address=made.address, runtime_env={"env_vars": variables}, log_to_driver=False)
    yield made
    ray.shutdown()
    made.shutdown()


def without_times(run):
    return [record.without_times() for record in run.records]


def test_records_are_those_of_one_machine(cluster, fake_setup, run_fake, tmp_path):
    here = run_fake("solver", directory=tmp_path / "here")
    there = evaluate(fake_setup("solver"), tmp_path / "there", chains=CHAINS, worlds=2, ray=RayOptions())
    assert without_times(there) == without_times(here)


def test_replicas_may_be_batched(cluster, fake_setup, run_fake, tmp_path):
    here = run_fake("crowded", directory=tmp_path / "here", batch_size=2, worlds=1)
    setup = fake_setup("crowded", batch_size=2)
    there = evaluate(setup, tmp_path / "there", chains=CHAINS, worlds=2, ray=RayOptions())
    assert without_times(there) == without_times(here)


def test_a_chain_that_kills_its_replica_costs_itself_alone(cluster, fake_setup, tmp_path):
    run = evaluate(fake_setup("killer", chains=5), tmp_path, chains=CHAINS, worlds=1, ray=RayOptions())
    assert [record.chain for record in run.records if record.outcome == "errored"] == [3]
    assert [run.completed[chain] for chain in (0, 1, 2, 4)] == [5, 1, 3, 5]
    assert "was lost 3 times" in run.records[3].error


def test_the_first_error_on_a_cluster_shows_its_traceback_and_fail_fast_stops_there(
    cluster, fake_setup, tmp_path, caplog
):
    with pytest.raises(FirstErrorError, match="in chain 1: RuntimeError: the arm fell off"):
        evaluate(fake_setup("raises"), tmp_path, chains=CHAINS, worlds=1, ray=RayOptions(), fail_fast=True)
    (shown,) = (message for message in caplog.messages if message.startswith("The first error"))
    assert 'fakes.py", line' in shown.splitlines()[2]
    assert [record.chain for record in load_run(tmp_path).records] == [0, 1]


def test_replicas_that_ask_for_gpus_share_those_of_the_node_that_has_one(cluster, fake_setup, tmp_path):
    with_gpu = cluster.add_node(num_cpus=2, num_gpus=1)
    try:
        options = RayOptions(gpus_per_replica=0.5)
        run = evaluate(fake_setup("placed"), tmp_path, chains=[CHAINS[3]] * 6, worlds=2, ray=options)
    finally:
        cluster.remove_node(with_gpu)
    errors = [record.error for record in run.records]
    assert len({re.sub(r"in \d+ ", "", error) for error in errors}) == 1
    assert errors[0].endswith(f"on {with_gpu.node_id} with GPUs ['0']")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            RayOptions(gpus_per_replica=1.0),
            r"a node with 1 processors and 1 GPUs for a replica, .* 3 with 1 processors and 0 GPUs",
        ),
        (RayOptions(cpus_per_replica=2.0), "Lower --cpus-per-replica or --gpus-per-replica"),
    ],
)
def test_what_no_node_has_is_refused_and_not_waited_for(cluster, fake_setup, tmp_path, options, words):
    with pytest.raises(RunFailedError, match=words):
        evaluate(fake_setup("solver"), tmp_path, chains=CHAINS, worlds=1, ray=options)


def test_waiting_is_not_silent(cluster, fake_setup, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(ray_execution, "WARN_SECONDS", 0.01)
    run = evaluate(fake_setup("solver"), tmp_path, chains=CHAINS, worlds=5, ray=RayOptions())
    assert run.completed.tolist() == SOLVER_COMPLETES
    said = "\n".join(caplog.messages)
    assert "5 replicas were asked for, and the cluster (3 with 1 processors and 0 GPUs) has room for 3" in said
    assert "no replica has sent a chain yet: each takes 1 processors and 0 GPUs" in said


DRIVER = """
import os, signal, sys
import ray
from support.fakes import CHAINS, make_fake_world, make_scripted
from calvinbench.harness.evaluation.evaluation import evaluate
from calvinbench.harness.execution.ray_cluster import RayOptions
from calvinbench.harness.suite.settings import RunSettings
from calvinbench.harness.rollout.workers import WorkerSetup

class Kill:
    num_finished = 0
    def run_began(self, description, finished): ...
    def chain_finished(self, record):
        self.num_finished += 1
        if self.num_finished == 2:
            os.kill(os.getpid(), signal.SIGKILL)
    def run_ended(self): ...

ray.init(address=sys.argv[1], runtime_env={"env_vars": {"PYTHONPATH": os.environ["PYTHONPATH"]}}, log_to_driver=False)
setup = WorkerSetup(RunSettings("slow", scene="fake", chains=6, max_steps=10), make_fake_world, make_scripted)
evaluate(setup, sys.argv[2], chains=CHAINS, worlds=2, ray=RayOptions(), subscribers=[Kill()])
"""


def test_a_killed_driver_loses_no_finished_chain_and_the_same_run_goes_on(cluster, fake_setup, run_fake, tmp_path):
    expected = run_fake("slow", directory=tmp_path / "here")
    paths = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
    out = tmp_path / "there"
    command = [sys.executable, "-c", DRIVER.replace("sys.argv[2]", f"__import__('pathlib').Path({str(out)!r})")]
    done = subprocess.run([*command, cluster.address], env=os.environ | {"PYTHONPATH": paths}, check=False)
    assert done.returncode == -signal.SIGKILL
    kept = [json.loads(line) for line in (out / "chains.jsonl").read_text().splitlines()]
    assert len(kept) == 2
    run = evaluate(fake_setup("slow"), out, chains=CHAINS, worlds=2, ray=RayOptions())
    assert without_times(run) == without_times(expected)
    again = [json.loads(line) for line in (out / "chains.jsonl").read_text().splitlines()]
    assert again[:2] == kept
    assert len(again) == 6


@pytest.mark.parametrize(
    ("worlds", "batch_size", "chains", "sizes"),
    [
        (10, 8, 100, (5, 5)),
        (20, 8, 100, (7, 7, 6)),
        (16, 8, 100, (8, 8)),
        (3, 8, 100, (3,)),
        (4, 1, 100, (1, 1, 1, 1)),
        (64, 8, 2, (8, 8)),
        (5, 1, 2, (1, 1)),
    ],
)
def test_all_worlds_that_were_asked_for_are_used(worlds, batch_size, chains, sizes):
    assert ray_execution.replica_sizes(worlds, batch_size, chains) == sizes


def test_a_batched_replica_keeps_its_worlds_from_one_list_of_chains_to_the_next(fake_setup):
    before = set(multiprocessing.active_children())
    jobs = [make_job(number, chain, 0) for number, chain in enumerate(CHAINS)]
    replica = ray_execution._ReplicaActor(fake_setup("crowded", batch_size=2), 2)
    records = list(replica.run(jobs[:3]))
    worlds = {process.pid for process in set(multiprocessing.active_children()) - before}
    records += list(replica.run(jobs[3:]))
    assert {process.pid for process in set(multiprocessing.active_children()) - before} == worlds
    assert len(worlds) == 2
    replica.close()
    completed = {record.chain: record.completed for record in records}
    assert [completed[number] for number in range(6)] == SOLVER_COMPLETES


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "nowhere.invalid:6379", "127.0.0.1:99999"])
def test_an_address_where_nothing_answers_is_named_before_anything_is_made(address, tmp_path, capsys):
    words = ["run", "--policy", "random", "--executor", "ray", "--ray-address", address, "--out", str(tmp_path / "r")]
    assert cli.main(words) == 1
    said = capsys.readouterr().err
    assert f"expected a Ray cluster at '{address}'" in said
    assert "ray start --head" in said
    assert not (tmp_path / "r").exists()


def test_the_address_in_the_environment_is_looked_at_too(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(RunFailedError, match=r"at '127.0.0.1:1'"):
        require_answer(RayOptions())
    require_answer(RayOptions("auto"))


def test_a_chain_that_kills_a_batched_replica_takes_no_other_with_it(cluster, fake_setup, tmp_path):
    setup = fake_setup("crowded-kills", batch_size=2, chains=5)
    run = evaluate(setup, tmp_path, chains=CHAINS, worlds=2, ray=RayOptions())
    assert [record.chain for record in run.records if record.outcome == "errored"] == [3]
    assert [run.completed[chain] for chain in (0, 1, 2, 4)] == [5, 1, 3, 5]


def test_native_code_that_hangs_in_a_replica_costs_its_own_chain_alone(cluster, fake_setup, tmp_path):
    setup = fake_setup("hangs-native", chains=4, step_timeout=0.3)
    run = evaluate(setup, tmp_path, chains=CHAINS, worlds=2, ray=RayOptions())
    assert [record.chain for record in run.records if record.outcome == "errored"] == [3]
    assert "was lost 3 times" in run.records[3].error


def test_a_lost_node_loses_no_finished_chain_and_its_own_are_run_elsewhere(cluster, fake_setup, run_fake, tmp_path):
    """The last test: the node is gone afterwards."""
    expected = run_fake("solver", directory=tmp_path / "here")
    setup = fake_setup("slow")
    seen = []

    class Watch:
        def run_began(self, description, finished): ...

        def chain_finished(self, record):
            seen.append(record.chain)
            if len(seen) == 1:
                threading.Thread(target=cluster.remove_node, args=(cluster.nodes.pop(),)).start()

        def run_ended(self): ...

    run = evaluate(setup, tmp_path / "run", chains=CHAINS, worlds=3, ray=RayOptions(), subscribers=[Watch()])
    assert sorted(seen) == [0, 1, 2, 3, 4, 5]
    assert run.completed.tolist() == SOLVER_COMPLETES
    assert run.num_errored == 0
    assert [record.completed for record in run.records] == [record.completed for record in expected.records]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cpus_per_replica": 2.0}, "expected executor ray beside cpus_per_replica"),
        ({"executor": "ray", "videos": "all"}, "no videos with executor ray"),
        ({"executor": "rya"}, "Did you mean 'ray'"),
        ({"executor": "ray", "cpus_per_replica": 0.0}, "processors above 0"),
    ],
)
def test_what_does_not_fit_together_is_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        ray_options(Suite.of(policy=("random",), **changes))


def test_without_ray_it_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert cli.main(["run", "--policy", "random", "--chains", "1", "--executor", "ray"]) == 1
    assert "pip install 'calvinbench[ray]'" in capsys.readouterr().err
