"""What a run says of its actions: defects of the expert are named, healthy policies raise no alarm."""

import json
import logging
import re
from dataclasses import replace

import pytest

from calvinbench.envs.chains import published
from calvinbench.harness.analysis.actions.action_watch import findings_of_run
from calvinbench.harness.cli import main
from calvinbench.harness.evaluation.evaluation import evaluate
from calvinbench.harness.policy_check import checking
from calvinbench.harness.progress.action_alarm import ActionAlarm
from calvinbench.harness.records.run_directory import CHAINS_FILE
from calvinbench.harness.records.runs import find_runs, load_run
from calvinbench.harness.report.table_input import TableInput
from calvinbench.harness.report.table_notes import notes
from calvinbench.harness.rollout.workers import WorkerSetup, make_policy_by_spec
from calvinbench.harness.suite.settings import RunSettings
from support import REPOSITORY
from support.defective_policies import Defective

TASKS = ("lift_red_block_table", "open_drawer", "rotate_blue_block_left", "lift_blue_block_slider")
SPEC = "python:support.defective_policies:make,defect="


def run_of(policy, directory, make_policy=make_policy_by_spec, subscribers=(), **settings):
    settings = {"tasks": TASKS, "chains": 1, "max_steps": 100} | settings
    return evaluate(
        WorkerSetup(RunSettings(policy, **settings), make_policy=make_policy), directory, subscribers=subscribers
    )


@pytest.mark.parametrize(
    ("defect", "words"),
    [
        ("forty_times", ["100% of steps have x, y or z beyond [-1, 1]", "they look about 40 times too large"]),
        ("metres", ["the robot hardly moves", "as metres would be: multiply by 50"]),
        ("radians", ["the robot hardly rotates its gripper", "as radians would be: multiply by 20"]),
        ("degrees", ["of steps have an angle beyond [-1, 1]", "as degrees would be: divide by 2.865"]),
        ("never_closes", ["the gripper never closes, though 2 subtasks need a grasp"]),
        ("never_opens", ["the gripper never opens, though 2 subtasks need it open first"]),
        ("toggles", ["the gripper command changes in 99% of steps (the expert's in 2%)"]),
        ("constant", ["the same action at every step"]),
        ("absolute_millimetres", ["100% of steps ask for a position out of the arm's reach"]),
        ("absolute_degrees", ["100% of steps have an angle beyond a full turn"]),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow")
def test_a_defect_is_named_once_below_the_table(tmp_path, defect, words):
    run = run_of(SPEC + defect, tmp_path / "run")
    found = [note for note in notes(TableInput.of([run])) if "look wrong" in note]
    assert len(found) == 1
    for word in words:
        assert word in found[0]


@pytest.mark.parametrize("policy", ["expert", SPEC + "none", SPEC + "absolute", "random"])
def test_healthy_policies_raise_no_alarm(tmp_path, policy):
    run = run_of(policy, tmp_path / "run")
    assert run.records[0].subtasks[0].actions is not None
    assert findings_of_run(run) == ()


def test_a_trained_policy_raises_no_alarm(tmp_path):
    assert findings_of_run(run_of("checkpoint:cnn", tmp_path / "run", tasks=TASKS[:2])) == ()


def test_tasks_without_a_grasp_say_nothing_of_a_gripper_that_stays_closed_or_open(tmp_path):
    tasks = ("turn_on_led", "open_drawer", "move_slider_left", "turn_on_lightbulb")
    for defect in ("never_opens", "never_closes"):
        run = run_of(SPEC + defect, tmp_path / defect, tasks=tasks)
        assert sum(subtask.steps for record in run.records for subtask in record.subtasks) > 100
        assert findings_of_run(run) == ()


def test_few_steps_say_nothing(tmp_path):
    assert findings_of_run(run_of(SPEC + "forty_times", tmp_path / "run", tasks=TASKS[:1], max_steps=99)) == ()


def test_shipped_results_lack_the_field_and_say_nothing():
    runs = find_runs(REPOSITORY / "results" / "baselines")
    assert runs
    assert [findings_of_run(run) for run in runs] == [()] * len(runs)


def test_records_of_several_worlds_keep_the_same(tmp_path):
    alone = run_of("expert", tmp_path / "alone", tasks=TASKS[:2])
    together = evaluate(
        WorkerSetup(RunSettings("expert", tasks=TASKS[:2], chains=1, max_steps=100, batch_size=2)),
        tmp_path / "together",
        worlds=2,
    )
    assert [record.subtasks[0].actions for record in alone.records] == [
        record.subtasks[0].actions for record in together.records
    ]
    lines = (tmp_path / "alone" / CHAINS_FILE).read_text().splitlines()
    assert json.loads(lines[0])["subtasks"][0]["actions"]["translation_beyond"] == 0.0
    assert load_run(tmp_path / "alone").records == alone.records


def test_a_warning_comes_after_the_first_chains_and_once(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "calvinbench"):
        run_of(SPEC + "forty_times", tmp_path / "run", subscribers=[ActionAlarm()], chains=2)
    warnings = [record.getMessage() for record in caplog.records if "look wrong" in record.getMessage()]
    assert len(warnings) == 1
    assert "about 40 times too large" in warnings[0]


def test_a_run_of_fewer_chains_is_warned_of_at_its_end(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "calvinbench"):
        run_of(SPEC + "forty_times", tmp_path / "run", subscribers=[ActionAlarm()], tasks=TASKS[:1], max_steps=100)
    warnings = [record.getMessage() for record in caplog.records if "look wrong" in record.getMessage()]
    assert len(warnings) == 1
    assert "about 40 times too large" in warnings[0]


def test_remedy_the_check_that_the_warning_names_looks_closer(tmp_path, caplog, capsys, monkeypatch):
    chain = published()[4]
    monkeypatch.setattr(checking, "published", lambda: (replace(chain, subtasks=chain.subtasks[:2]),))
    monkeypatch.setattr(checking, "DRIVEN_TASKS", ())
    with caplog.at_level(logging.WARNING, "calvinbench"):
        run_of(SPEC + "forty_times", tmp_path / "run", subscribers=[ActionAlarm()])
    (spec,) = re.findall("For details, run: calvinbench check '(.*)'", caplog.text)
    assert main(["check", spec, "--chains", "1", "--seconds", "20"]) == 1
    assert "size of translation: mean absolute value" in capsys.readouterr().out


@pytest.mark.parametrize(("defect", "columns"), [("metres", 3), ("radians", 6), ("degrees", 6)])
def test_remedy_numbers_in_another_unit_are_multiplied_or_divided(tmp_path, defect, columns):
    (found,) = findings_of_run(run_of(SPEC + defect, tmp_path / "spoilt"))
    how, number = re.findall("(multiply|divide) by ([0-9.]+)", found)[0]
    factor = float(number) if how == "multiply" else 1 / float(number)

    def mend(action, truth):
        action[columns - 3 : columns] *= factor
        return action

    mended = run_of("python:mended", tmp_path / "mended", lambda spec, reset: Defective(defect, mend))
    assert findings_of_run(mended) == ()
    assert mended.completed.tolist() == [1, 1, 1, 1]


def test_the_result_in_json_says_it(tmp_path, capsys):
    command = ["run", "--policy", SPEC + "toggles", "--tasks", *TASKS[:2], "--chains", "1", "--max-steps", "100"]
    assert main([*command, "--out", str(tmp_path), "--json"]) == 0
    (run,) = json.loads(capsys.readouterr().out)["runs"]
    assert run["actions_look_wrong"][0].startswith("the gripper command changes in 9")
