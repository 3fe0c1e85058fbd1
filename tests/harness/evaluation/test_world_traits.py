"""A run needs a world that says what it is."""

import gymnasium
import pytest

from calvinbench.envs.fake_play_table import FakePlayTable
from calvinbench.envs.world import WorldTraitsError
from calvinbench.harness.evaluation.evaluation import evaluate
from calvinbench.harness.rollout.workers import WorkerSetup
from calvinbench.harness.suite.settings import RunSettings
from support.fakes import make_scripted


class Bare(gymnasium.Wrapper):
    """A world without traits."""

    @property
    def unwrapped(self):
        return self


def test_a_world_without_traits_is_refused_before_the_first_chain(tmp_path):
    settings = RunSettings("idle", chains=1, max_steps=2)
    setup = WorkerSetup(settings, lambda settings, traits: Bare(FakePlayTable(())), make_scripted)
    with pytest.raises(WorldTraitsError, match=r"but Bare has none.*check_world"):
        evaluate(setup, tmp_path / "run")
    assert not (tmp_path / "run" / "run.json").exists()
