import re
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import calvinbench.harness
from calvinbench.harness import evaluate
from calvinbench.harness.rollout.workers import WorkerSetup
from calvinbench.harness.suite.settings import RunSettings
from support import REPOSITORY
from support.fakes import CHAINS, SOLVER_COMPLETES, Crowded, Idle, Solver, make_fake_world


def run_script(folder, text):
    (folder / "script.py").write_text(text)
    return subprocess.run(
        [sys.executable, "script.py"], cwd=folder, capture_output=True, text=True, check=False, timeout=300
    )


def page_example():
    page = (REPOSITORY / "docs" / "evaluate.md").read_text("utf-8")
    return re.search(r"## From Python\n.*?```python\n(.*?)```", page, re.DOTALL)[1]


def docstring_example():
    text = calvinbench.harness.__doc__
    return re.search(r"\n\n((?:    .*\n|\n)+)\n`RunSettings` has", text)[1]


@pytest.mark.slow
@pytest.mark.parametrize("example", [page_example, docstring_example])
def test_the_examples_of_the_documents_run(tmp_path, example):
    text = (
        textwrap.dedent(example())
        .replace("checkpoint:cnn", "random")
        .replace("chains=20", "chains=2")
        .replace("=360", "=3")
    )
    assert "evaluate(" in text
    done = run_script(tmp_path, text)
    assert done.returncode == 0, done.stderr
    (run,) = calvinbench.harness.find_runs(tmp_path / "runs")
    assert run.num_missing == 0
    assert done.stdout.splitlines()[0] == "0.0"


def test_the_names_for_scripts_are_exported_and_import_nothing_heavy_by_themselves():
    for name in ("evaluate", "RunSettings", "WorkerSetup", "load_run"):
        assert name in calvinbench.harness.__all__
        assert hasattr(calvinbench.harness, name)
    code = "import sys, calvinbench.harness; from calvinbench.harness import RunSettings; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "pandas", "pybullet", "matplotlib"} & set(modules)


LIVE = """
from calvinbench.harness import evaluate
from calvinbench.policies.baselines.random import RandomPolicy

run = evaluate(RandomPolicy(), chains=1, max_steps=2, label="mine")
print(run.name, run.num_missing, run.description.policy)
"""


class Still:
    """A model with CALVIN's interface that keeps the robot still."""

    def reset(self):
        pass

    def step(self, obs, goal):
        return np.array([0, 0, 0, 0, 0, 0, 1.0])


@pytest.mark.slow
def test_a_policy_object_runs_in_the_play_table_in_one_line(tmp_path):
    done = run_script(tmp_path, LIVE)
    assert done.stdout.split() == ["mine", "0", "object:calvinbench.policies.baselines.random:RandomPolicy"], (
        done.stderr
    )


def on_fakes(policy, directory=None, chains=CHAINS, **settings):
    """`evaluate` in the fake world."""
    settings = {"scene": "fake", "max_steps": 10, "progress": False} | settings
    return evaluate(policy, directory, chains=chains, make_world=make_fake_world, **settings)


def test_an_object_gives_the_records_that_its_factory_gives(run_fake):
    run = on_fakes(Solver())
    assert run.completed.tolist() == SOLVER_COMPLETES
    assert [a.without_times() for a in run.records] == [b.without_times() for b in run_fake("solver").records]
    assert (run.name, run.description.policy) == ("solver", "object:support.fakes:Solver")


def test_a_model_with_calvins_interface_runs_as_an_object():
    run = on_fakes(Still(), chains=CHAINS[:2], label="still")
    assert (run.completed.tolist(), run.name, run.description.may_read) == ([0, 0], "still", ("robot_obs",))
    assert run.description.memory.reset == "subtask"


def test_several_worlds_ask_an_object_for_a_batch():
    run = on_fakes(Crowded("subtask"), worlds=2)
    assert (run.description.batch_size, run.num_missing, run.num_errored) == (2, 0, 0)
    with pytest.raises(ValueError, match="put_state"):
        on_fakes(Idle(), worlds=2)


def test_an_object_never_continues_a_run(tmp_path):
    on_fakes(Solver(), tmp_path / "mine")
    before = (tmp_path / "mine" / "chains.jsonl").read_bytes()
    with pytest.raises(FileExistsError, match="overwrite=True"):
        on_fakes(Idle(), tmp_path / "mine")
    assert (tmp_path / "mine" / "chains.jsonl").read_bytes() == before
    assert on_fakes(Idle(), tmp_path / "mine", overwrite=True).completed.tolist() == [0] * 6
    (old,) = [folder for folder in tmp_path.iterdir() if folder.name != "mine"]
    assert (old / "chains.jsonl").read_bytes() == before


def test_a_spec_runs_and_continues(tmp_path):
    assert evaluate("random", tmp_path / "r", chains=1, max_steps=2, label="mine").name == "mine"
    assert evaluate("random,label=mine", tmp_path / "r", chains=2, max_steps=2, progress=False).num_missing == 0


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: evaluate(Solver, chains=1), TypeError, r"got the class Solver. Make an object of it: Solver\(\)"),
        (lambda: evaluate(3, chains=1), TypeError, "a policy spec or a WorkerSetup, got int"),
        (lambda: evaluate(Idle(), chans=1), ValueError, "Did you mean 'chains'"),
        (lambda: evaluate(Idle(), chains=1, ray=object()), TypeError, "ray cannot be used with a policy object"),
        (lambda: evaluate(Idle(), chains=1, memory_reset="chain"), ValueError, "expected memory_reset='subtask'"),
        (lambda: evaluate(WorkerSetup(RunSettings("random")), chains=1), TypeError, "expected no chains beside"),
        (lambda: evaluate(Idle(), chains=0), ValueError, "chains"),
        (lambda: evaluate("rndom", chains=1), ValueError, "Did you mean 'random'"),
    ],
)
def test_what_cannot_be_run_is_refused_with_a_remedy(call, error, said):
    with pytest.raises(error, match=said):
        call()


def test_settings_take_the_names_of_the_flags():
    settings = RunSettings("random", chains=2, max_steps=3, seed=1)
    assert (settings.chains, settings.max_steps, settings.seed, settings.slug) == (2, 3, 1, "random")
