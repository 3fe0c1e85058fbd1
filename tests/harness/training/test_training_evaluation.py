"""Chains that are run with a training's checkpoints: on the world of the data, which is seen to work beforehand."""

import shutil
from dataclasses import replace

import pytest

from calvinbench.harness.evaluation import evaluation, suite_evaluation
from calvinbench.harness.records.runs import load_run
from calvinbench.harness.rollout.workers import WorkerSetup
from calvinbench.harness.training.call import TrainingCallError
from calvinbench.harness.training.evaluation import ChainEvaluator, EvaluationWorld, evaluation_world
from calvinbench.policies.policy import PolicyTraits
from calvinbench.policies.training.acceleration import make_accelerator
from calvinbench.policies.training.log import read_log
from calvinbench.policies.training.trainer import Trainer
from support.fakes import CHAINS, make_fake_world
from support.small_training import make_training


@pytest.fixture
def training(data, tmp_path):
    return make_training(data, tmp_path / "out", max_steps=5, save_every=2, log_every=1)


def run(training, *subscribers):
    Trainer(training, make_accelerator("fp32", "cpu"), lambda: 0.0).run(subscribers)


@pytest.fixture
def suites(monkeypatch):
    """Chains run on the fake play table, for three steps each; the suites that were asked for."""
    asked = []

    def on_fake_world(suite):
        asked.append(suite)
        (settings,) = suite.runs
        settings = replace(settings, scene="fake", renderer=None, depth_bits=None, max_steps=3)
        return (evaluation.evaluate(WorkerSetup(settings, make_fake_world), suite.directory(settings), chains=CHAINS),)

    monkeypatch.setattr(suite_evaluation, "evaluate_suite", on_fake_world)
    return asked


def test_chains_are_run_with_the_checkpoint_and_their_average_length_lands_in_the_line(training, suites):
    out = training.settings.out
    run(training, ChainEvaluator(out, 4, num_chains=2, num_worlds=1, world=EvaluationWorld("embedded")))
    found = {told.step: told.average_length for told in read_log(out)}
    assert found == {1: None, 2: None, 3: None, 4: 0.0, 5: 0.0}  # each 4 steps, and at the end
    assert [suite.policy for suite in suites] == [(f"checkpoint:{out / 'checkpoint'}",)] * 2
    assert [(suite.settings.chains, suite.worlds, suite.settings.scene) for suite in suites] == [(2, 1, "embedded")] * 2
    (kept,) = (out / "evaluation" / "step_00000004").iterdir()
    read = load_run(kept)
    assert len(read.records) == 2
    assert read.description.label.startswith("cnn (")


def test_chains_are_run_in_the_world_of_the_data(training, suites):
    world = evaluation_world({"scene": "D", "renderer": "opengl-look", "depth_bits": 16}, calvin_env="checkout")
    run(training, ChainEvaluator(training.settings.out, 2, 1, 1, world))
    last = suites[-1]
    assert (last.settings.scene, last.settings.renderer, last.settings.depth_bits) == ("D", "opengl-look", 16)
    assert last.settings.calvin_env == "checkout"
    # Of data that do not say who drew them, and of a renderer that is not ours, the default.
    assert evaluation_world({"scene": "embedded"}) == EvaluationWorld("embedded")
    assert evaluation_world({"scene": "D", "renderer": "calvin_env", "depth_bits": 16}) == EvaluationWorld("D")


@pytest.mark.parametrize(
    ("scene", "words"), [("ABC", "the data are from ABC"), (None, "the data do not name their scene")]
)
def test_where_the_scene_is_not_known_it_must_be_said(scene, words):
    with pytest.raises(TrainingCallError, match=rf"{words}\. Add --evaluate-scene, one of embedded, A, B, C, D"):
        evaluation_world({"scene": scene})
    assert evaluation_world({"scene": scene}, "D").scene == "D"


def test_more_chains_than_there_are_published_are_refused(tmp_path):
    evaluator = ChainEvaluator(tmp_path, 2, 1001, 1, EvaluationWorld("embedded"))
    with pytest.raises(TrainingCallError, match="evaluate_chains of at most 1000, the published ones, got 1001"):
        evaluator.require_runnable(PolicyTraits("some policy"))


def test_chains_of_a_training_that_was_begun_anew_in_the_folder_are_run_anew(training, suites):
    out = training.settings.out
    run(training, ChainEvaluator(out, 4, num_chains=2, num_worlds=1, world=EvaluationWorld("embedded")))
    first = load_run(next((out / "evaluation" / "step_00000004").iterdir())).description.weights_digest
    shutil.rmtree(out / "state")
    training.model.head.decoder.linear.weight.data.zero_()
    run(training, ChainEvaluator(out, 4, num_chains=2, num_worlds=1, world=EvaluationWorld("embedded")))
    again = load_run(next((out / "evaluation" / "step_00000004").iterdir())).description.weights_digest
    assert first != again
    assert [told.average_length for told in read_log(out)] == [None, None, None, 0.0, 0.0]
