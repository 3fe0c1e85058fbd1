"""On a local cluster of several nodes, one of which is lost on the way."""

import os
import sys
import threading
from pathlib import Path

import pytest
import ray
from fakes import CHAINS, SOLVER_COMPLETES
from ray.cluster_utils import Cluster

from calvinbench.harness import cli
from calvinbench.harness.evaluation import evaluate
from calvinbench.harness.ray_execution import RayOptions
from calvinbench.harness.suite import Suite
from calvinbench.harness.suite_checks import ray_options

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster():
    """A head without processors for replicas, and nodes with one each."""
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    made.nodes = [made.add_node(num_cpus=1) for _ in range(3)]
    paths = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    variables = {"PYTHONPATH": paths, "CUDA_VISIBLE_DEVICES": ""}
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
    run = evaluate(fake_setup("killer"), tmp_path, chains=CHAINS, worlds=1, ray=RayOptions())
    assert [record.chain for record in run.records if record.outcome == "errored"] == [3, 5]
    assert [run.completed[chain] for chain in (0, 1, 2, 4)] == [5, 1, 3, 5]
    assert "was lost 3 times" in run.records[3].error


def test_a_chain_that_kills_a_batched_replica_takes_no_other_with_it(cluster, fake_setup, tmp_path):
    setup = fake_setup("crowded-kills", batch_size=2)
    run = evaluate(setup, tmp_path, chains=CHAINS, worlds=2, ray=RayOptions())
    assert [record.chain for record in run.records if record.outcome == "errored"] == [3, 5]
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
        ray_options(Suite(policy=("random",), **changes))


def test_without_ray_it_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert cli.main(["run", "--policy", "random", "--chains", "1", "--executor", "ray"]) == 1
    assert "pip install 'calvinbench[ray]'" in capsys.readouterr().err
