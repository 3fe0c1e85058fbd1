"""`calvinbench check`: the expert with a defect is named by what is wrong with it, and healthy policies are not."""

import json
import re
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from calvinbench.envs.chains import published
from calvinbench.harness.cli import main
from calvinbench.harness.policy_check import checking
from calvinbench.harness.policy_check.agreement import agreement
from calvinbench.harness.policy_check.answering import judge_answers
from calvinbench.harness.policy_check.checking import check_by_stepping
from calvinbench.harness.policy_check.shadow import shadow
from calvinbench.harness.rollout.jobs import make_job
from calvinbench.harness.rollout.workers import Worker, WorkerSetup, make_policy_by_spec, open_chain_env
from calvinbench.harness.suite.settings import RunSettings
from calvinbench.policies.image_facts import ImageFacts
from calvinbench.policies.policy import Decision
from support.defective_policies import Defective
from support.recorded_world import RecordedWorlds

SPEC = "python:support.defective_policies:make,defect="
MODEL = "calvin:support.defective_policies:"
LONG = 600.0
"""Seconds: the chains are over first, on a slow machine too."""


@pytest.fixture(scope="module")
def worlds():
    """The expert's chain is simulated and drawn once for all policies."""
    with RecordedWorlds() as worlds:
        yield worlds


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """The expert does three subtasks, in 114 steps; the policy tries one task."""
    chain = published()[4]
    monkeypatch.setattr(checking, "published", lambda: (replace(chain, subtasks=chain.subtasks[:3]),))
    monkeypatch.setattr(checking, "DRIVEN_TASKS", ("open_drawer",))


@pytest.fixture(scope="module")
def check(worlds):
    """Checks a policy, each spec once. Only if it `drives`, it also acts by itself."""

    @cache
    def check(policy, make_policy=make_policy_by_spec, drives=False):
        setup = WorkerSetup(RunSettings(policy, max_steps=100), worlds.make, make_policy)
        with pytest.MonkeyPatch.context() as patch:
            if not drives:
                patch.setattr(checking, "DRIVEN_TASKS", ())
            return check_by_stepping(setup, LONG, 1)

    return check


def words_of(found, status="wrong"):
    return {finding.topic: finding.words for finding in getattr(found, "findings", found) if finding.status == status}


@pytest.mark.parametrize(
    ("defect", "topic", "words"),
    [
        ("forty_times", "size of translation", "about 40 times too large"),
        ("fiftieth", "size of translation", "about 50 times too small, as metres would be: multiply by 50"),
        ("metres", "size of translation", "about 50 times too small, as metres would be: multiply by 50"),
        ("radians", "size of rotation", "about 20 times too small, as radians would be: multiply by 20"),
        ("degrees", "size of rotation", "about 2.9 times too large, as degrees would be: divide by 2.865"),
        ("inverted", "gripper", "inverted: "),
        ("never_closes", "gripper", "never closes (open in 100% of steps"),
        ("never_opens", "gripper", "never opens (open in 0% of steps"),
        ("toggles", "gripper", "opens or closes anew in 9"),
        ("constant", "actions", "the same action in all"),
        ("tool_frame", "direction of translation", "1.00 if they are rotated from the tool frame"),
        ("tool_frame", "direction of rotation", "these look like actions in the end-effector frame"),
        ("swapped", "direction of translation", "1.00 if the axes are read as (y, x, z)"),
        ("mirrored", "direction of translation", "1.00 if the axes are read as (x, -y, z)"),
        ("absolute_millimetres", "absolute position", "100% of steps out of the arm's reach"),
        ("absolute_degrees", "absolute rotation", "100% of steps with an angle beyond a full turn"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow")
def test_a_defect_is_named(check, defect, topic, words):
    found = check(SPEC + defect)
    assert found.looks_wrong
    assert words in words_of(found)[topic]


@pytest.mark.parametrize("policy", ["expert", SPEC + "none", SPEC + "absolute"])
def test_a_healthy_policy_raises_no_alarm(check, policy):
    found = check(policy, drives=True)
    assert words_of(found) == {}
    assert found.solved == ("open_drawer",)
    assert "direction of translation" in words_of(found, "right")
    assert "gripper" in words_of(found, "right")


def test_a_trained_policy_raises_no_alarm_and_is_said_to_look_and_listen(check):
    found = check("checkpoint:cnn")
    assert words_of(found) == {}
    assert {"images", "instruction", "repeatability", "batch"} < set(words_of(found, "right"))
    assert "images of the training" not in {finding.topic for finding in found.findings}  # an older checkpoint
    assert {"robot's state", "speed"} <= set(words_of(found, "note"))


def test_images_unlike_those_of_the_training_are_named(worlds):
    policy = make_policy_by_spec("checkpoint:cnn", None)
    subtasks = subtasks_shown_to(policy, worlds)

    def found(size, high):
        images = (ImageFacts("static", size, size, 0, high, 100),)
        policy._traits = replace(policy.traits, trained_on=replace(policy.traits.trained_on, images=images))
        return list(judge_answers(policy, subtasks))

    topic = "images of the training"
    words = words_of(found(40, 1))[topic]
    assert "static images of 40 x 40 pixels in training, 200 x 200 here, which show more detail" in words
    assert "values of static images from 0 to 1 in training, from " in words
    assert topic in words_of(found(128, 255), "right")


def subtasks_shown_to(policy, worlds):
    """What a policy is shown in the expert's states. It is not asked there, which would take seconds."""

    class Still:
        traits = policy.traits
        initial_state, reset_state = policy.initial_state, policy.reset_state

        def act(self, observations, instructions, state, privileged=None):
            return Decision(np.zeros((1, 7)), state)

    setup = WorkerSetup(RunSettings("still", max_steps=100), worlds.make, lambda spec, reset: Still())
    worker, subtasks = Worker(setup), []
    env = open_chain_env(setup, worker.world, worker.instructions)
    shadow(env, worker.policy, [make_job(0, checking.published()[0], 0)], lambda: False, subtasks)
    return subtasks


def test_the_table_holds_the_policys_numbers_beside_the_experts(check):
    rows = {row.name: row for row in check(SPEC + "forty_times").numbers}
    assert list(rows) == ["x", "y", "z", "rotation x", "rotation y", "rotation z", "gripper"]
    assert rows["x"].mean == pytest.approx(40 * rows["x"].expert_mean)
    assert (rows["x"].largest, rows["x"].expert_largest) == (40.0, 1.0)
    assert rows["gripper"].beyond == 0.0


@pytest.mark.parametrize(
    ("model", "topic", "words"),
    [
        ("BlindModel", "images", "the actions do not depend on the images"),
        ("DeafModel", "instruction", "they do not depend on the sentence"),
        ("ForgetfulModel", "repeatability", "the memory is not cleared at the start"),
    ],
)
def test_what_a_model_does_not_look_at_or_forget_is_named(check, model, topic, words):
    assert words in words_of(check(MODEL + model))[topic]


def test_remedy_images_divided_by_255(check):
    found = check(MODEL + "FloatImagesModel")
    assert "the model seems to expect those" in words_of(found)["images"]
    assert "divide by 255 in the policy" in words_of(found)["images"]
    mended = check(MODEL + "MendedImagesModel")
    assert {"images", "instruction", "repeatability"} <= set(words_of(mended, "right"))


@pytest.mark.parametrize("defect", ["metres", "radians", "degrees"])
def test_remedy_numbers_in_another_unit_are_multiplied_or_divided(check, defect):
    ((topic, words),) = words_of(check(SPEC + defect)).items()
    how, number = re.findall("(multiply|divide) by ([0-9.]+)", words)[0]
    factor = float(number) if how == "multiply" else 1 / float(number)
    factors = np.repeat([factor if topic == "size of translation" else 1.0, 1.0, 1.0], [3, 3, 1])
    if topic == "size of rotation":
        factors[3:6] = factor
    mended = check("python:mended", lambda spec, reset: Defective(defect, lambda action, truth: action * factors))
    assert words_of(mended) == {}


def test_remedy_end_effector_actions_are_rotated_by_the_tools_orientation(check):
    found = words_of(check(SPEC + "tool_frame"))["direction of translation"]
    assert "rotate them by the tool's orientation (robot_obs[3:6], euler xyz)" in found

    def mend(action, truth):
        tool = Rotation.from_euler("xyz", truth.robot_obs[3:6])
        return np.array([*tool.apply(action[:3]), *tool.apply(action[3:6]), action[6]])

    assert words_of(check("python:mended", lambda spec, reset: Defective("tool_frame", mend))) == {}


def test_remedy_the_gripper_is_minus_one_to_close_and_one_to_open(check):
    assert "-1 to close and 1 to open" in words_of(check(SPEC + "inverted"))["gripper"]
    turned = np.array([1.0] * 6 + [-1.0])
    mended = check("python:mended", lambda spec, reset: Defective("inverted", lambda action, truth: action * turned))
    assert words_of(mended) == {}


def test_remedy_more_seconds(check):
    short = check_by_stepping(WorkerSetup(RunSettings("expert")), 0.001, 1)
    assert "use more --seconds" in words_of(short, "unknown")["actions"]
    assert "use more --seconds" in words_of(short, "unknown")["acting itself"]
    assert words_of(check("expert", drives=True), "unknown") == {}


def test_an_error_shows_the_users_own_line_and_what_was_seen_before_it(check):
    found = check(MODEL + "RaisingModel")
    assert found.num_steps == 2
    error = words_of(found)["error"]
    assert error.startswith("RuntimeError: the model fell over\n")
    assert re.search(r'defective_policies\.py:\d+, in step: raise RuntimeError\("the model fell over"\)', error)
    assert "rollout.py" not in error
    assert "expected finite numbers in an action" in words_of(check(SPEC + "nan"))["error"]


def test_random_actions_agree_in_no_frame(check):
    found = check("random")
    assert "too little agreement with the expert in any frame" in words_of(found, "unknown")["direction of translation"]


def test_a_frame_is_not_guessed_from_few_steps_or_from_noise():
    generator = np.random.default_rng(0)
    expert, tool = generator.normal(size=(200, 3)), generator.uniform(-3, 3, (200, 3))
    in_tool = Rotation.from_euler("xyz", tool).inv().apply(expert)
    assert agreement(in_tool, expert, tool, generator).is_misread
    assert not agreement(in_tool[:50], expert[:50], tool[:50], generator).is_misread
    assert not agreement(generator.normal(size=(200, 3)), expert, tool, generator).is_misread
    noisy = expert + 1.5 * generator.normal(size=(200, 3))
    assert agreement(noisy, expert, tool, generator).is_good


def test_the_verb_fails_where_something_looks_wrong(capsys):
    assert main(["check", SPEC + "toggles", "--chains", "1", "--seconds", "20"]) == 1
    out = capsys.readouterr().out
    assert "WRONG  gripper: opens or closes anew in" in out
    assert out.endswith("Looks wrong: 1.\n")


def test_the_verb_prints_one_json_object(capsys):
    assert main(["check", "expert", "--chains", "1", "--seconds", "20", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert (content["looks_wrong"], content["label"], len(content["numbers"])) == (False, "expert", 7)


@pytest.mark.parametrize(
    "arguments", [["expertt"], ["expert", "--scene", "Z"], ["expert", "--seconds", "0"], ["expert", "--chains", "0"]]
)
def test_a_wrong_call_is_refused(arguments, capsys):
    assert main(["check", *arguments]) == 2
    assert capsys.readouterr().err.startswith("calvinbench: ")
