"""Images unlike those of the training are said once: in the run's record, and below its table."""

import json

from calvinbench.harness.evaluation.evaluation import evaluate
from calvinbench.harness.report.report import write_report
from calvinbench.harness.rollout.workers import WorkerSetup
from calvinbench.harness.suite.settings import RunSettings
from calvinbench.policies.baselines.random import RandomPolicy
from calvinbench.policies.image_facts import ImageFacts
from calvinbench.policies.policy import PolicyTraits, TrainedOn


class Trained(RandomPolicy):
    """A policy that was trained on wide static images and on gripper images of the world's own size."""

    traits = PolicyTraits(
        label="mine",
        observation_keys=("rgb_static", "rgb_gripper"),
        trained_on=TrainedOn(
            images=(ImageFacts("static", 60, 80, 0, 1), ImageFacts("gripper", 84, 84, 0, 255)),
        ),
    )


def test_images_unlike_those_of_the_training_are_in_the_record_and_below_the_table(tmp_path, caplog):
    settings = RunSettings("python:mine", chains=1, max_steps=2)
    setup = WorkerSetup(settings, make_policy=lambda spec, reset: Trained())
    run = evaluate(setup, tmp_path / "run")
    squeezed, values = run.description.unlike_training
    assert squeezed == "static images of 80 x 60 pixels in training, 200 x 200 here, which are squeezed otherwise"
    assert values.startswith("values of static images from 0 to 1 in training, from ")
    assert json.loads((tmp_path / "run" / "run.json").read_text())["unlike_training"] == [squeezed, values]
    assert caplog.text.count(squeezed) == 1
    write_report([tmp_path / "run"], tmp_path / "report", formats=(), has_page=False)
    assert (tmp_path / "report" / "table.md").read_text().count(squeezed) == 1
