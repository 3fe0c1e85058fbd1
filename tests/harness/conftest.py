"""A small world to evaluate in: chains that the fake play table can do, and policies that do them or go wrong."""

import pytest

from calvinbench.harness.evaluation.evaluation import evaluate
from calvinbench.harness.rollout.workers import WorkerSetup
from calvinbench.harness.suite.settings import RunSettings
from support.fakes import CHAINS, make_fake_world, make_scripted
from support.small_figures import save_small


@pytest.fixture
def rendered_figures():
    """A test that requests this fixture renders its figures. Use it where files or pages of figures are tested."""


@pytest.fixture(autouse=True)
def _no_rendering(request, monkeypatch):
    """Figures are drawn, and their files are empty figures. Session's and module's fixtures render theirs."""
    if "rendered_figures" not in request.fixturenames:
        monkeypatch.setattr("matplotlib.figure.Figure.savefig", save_small)


@pytest.fixture
def fake_setup():
    """Makes a setup over the fake world: `fake_setup("solver", chains=3)`."""

    def make(policy="solver", make_world=make_fake_world, **settings):
        settings = {"scene": "fake", "chains": len(CHAINS), "max_steps": 10} | settings
        return WorkerSetup(RunSettings(policy=policy, **settings), make_world, make_scripted)

    return make


@pytest.fixture
def run_fake(fake_setup, tmp_path):
    """Runs a policy on the fake chains: `run_fake("solver")` gives the `Run`."""

    def run(policy="solver", directory=None, worlds=1, subscribers=(), **settings):
        setup = fake_setup(policy, **settings)
        return evaluate(setup, directory or tmp_path / policy, chains=CHAINS, worlds=worlds, subscribers=subscribers)

    return run
