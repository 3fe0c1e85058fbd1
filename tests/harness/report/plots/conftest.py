"""Methods to draw, from chains whose numbers are made up here; the same for every test, for reading only."""

from dataclasses import replace

import numpy as np
import pytest

from calvinbench.envs.tasks import TASKS
from calvinbench.harness.analysis.methods import Method
from calvinbench.harness.evaluation.evaluation import evaluate
from calvinbench.harness.rollout.workers import WorkerSetup
from calvinbench.harness.suite.settings import RunSettings
from calvinbench.policies.policy import Memory
from support.fakes import CHAINS, make_fake_world, make_scripted
from support.method_names import NAMES

NUM_CHAINS = 60
SPANS = ("none", "window:1", "window:8", "window:16", "unbounded")


@pytest.fixture(scope="session")
def fake_run(tmp_path_factory):
    """A finished run of the fake world, whose records tests replace."""
    settings = RunSettings(policy="solver", scene="fake", chains=len(CHAINS), max_steps=10)
    setup = WorkerSetup(settings, make_fake_world, make_scripted)
    return evaluate(setup, tmp_path_factory.mktemp("runs") / "solver", chains=CHAINS)


@pytest.fixture(scope="session")
def make_run(fake_run):
    """Makes a run: `make_run(0.7, seed=1)` solves each subtask with a chance of 0.7."""

    def make(chance, seed=0, **changes):
        generator = np.random.default_rng(seed)
        pattern = fake_run.records[0]
        records = []
        for number in range(NUM_CHAINS):
            # The same tasks for each run, as on the same chains.
            names = np.random.default_rng(number).choice(TASKS, 5, replace=False)
            completed = int(np.argmin([*(generator.random(5) < chance), False]))
            took = 5.0 + 2 * chance
            subtasks = tuple(
                replace(
                    pattern.subtasks[0],
                    task=str(name),
                    outcome="solved" if place < completed else "timed_out",
                    policy_ms=took,
                    policy_ms_counts={f"{took:.2g}": 90, f"{3 * took:.2g}": 10},
                )
                for place, name in enumerate(names[: completed + 1])
            )
            outcome = "solved" if completed == 5 else "timed_out"
            records.append(
                replace(
                    pattern,
                    chain=number,
                    completed=completed,
                    outcome=outcome,
                    subtasks=subtasks,
                    lead_in=(),
                    initial_state={"led": number},
                )
            )
        description = replace(
            fake_run.description, chains=NUM_CHAINS, privileged=False, **{"label": "policy", **changes}
        )
        return replace(fake_run, description=description, records=tuple(records))

    return make


@pytest.fixture(scope="session")
def make_methods(make_run):
    """Makes methods: `make_methods(7, NAMES)`. Their runs have several lengths of memory."""
    runs = [
        make_run(0.95 - 0.05 * number, seed=number, memory=Memory(span=SPANS[number % 5], reset="subtask"))
        for number in range(len(NAMES))
    ]

    def make(number, names=NAMES):
        return tuple(Method(name, (run,), {}) for name, run in zip(names[:number], runs, strict=False))

    return make
