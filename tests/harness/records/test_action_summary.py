from dataclasses import asdict

import numpy as np
import pytest

from calvinbench.envs.observation import ActionConvention
from calvinbench.harness.records.action_summary import ActionSummary
from calvinbench.harness.records.records import SubtaskRecord

REL, ABS = ActionConvention.REL_ACTIONS, ActionConvention.ABS_ACTIONS


def rows(*actions):
    return [np.array(action, dtype=np.float64) for action in actions]


def test_relative_actions_are_summed_up():
    actions = rows(
        [0.3, 0, 0, 0, 0, 0.6, 1], [1.5, 0, 0, 0, 0, 0, -1], [0, 0, 0.04, 0, 0, 0, -1], [0, 0, 0, 0, -2, 0, -1]
    )
    summary = ActionSummary.of(actions, REL)
    assert summary.translation == pytest.approx((0.3 + 1.5 + 0.04) / 12, rel=1e-4)
    assert summary.rotation == pytest.approx(2.6 / 12, rel=1e-4)
    assert (summary.largest_translation, summary.largest_rotation) == (1.5, 2.0)
    assert (summary.translation_beyond, summary.rotation_beyond) == (0.25, 0.25)
    assert (summary.still, summary.closed) == (0.25, 0.75)


def test_one_is_not_beyond_one():
    assert ActionSummary.of(rows([1, -1, 1, 1, -1, 1, 1]), REL).translation_beyond == 0.0


def test_absolute_actions_are_measured_by_their_change_and_reach():
    away = [0.0, -0.1, 0.5, np.pi - 0.01, 0, 1.5, 1]
    back = [0.02, -0.1, 0.5, -np.pi + 0.04, 0, 1.5, 1]  # turned by 0.05 across the half turn
    summary = ActionSummary.of(rows(away, back), ABS)
    assert summary.largest_translation == pytest.approx(1.0)
    assert summary.largest_rotation == pytest.approx(1.0)
    assert (summary.translation_beyond, summary.rotation_beyond) == (0.0, 0.0)
    far = ActionSummary.of(rows([200, 0, 500, 170, 0, 90, 1]), ABS)
    assert (far.translation_beyond, far.rotation_beyond) == (1.0, 1.0)


def test_a_quaternion_must_have_length_one():
    good, bad = [0, 0, 0.5, 1, 0, 0, 0, 1], [0, 0, 0.5, 1, 1, 0, 0, 1]
    assert ActionSummary.of(rows(good, bad), ABS).rotation_beyond == 0.5


def test_joints_say_only_what_the_gripper_does():
    summary = ActionSummary.of(rows(np.ones(8)), ActionConvention.ABS_JOINTS)
    assert (summary.translation, summary.still, summary.closed) == (None, None, 0.0)


def test_numbers_that_overflow_leave_finite_ones():
    summary = ActionSummary.of(rows([1e308] * 6 + [1.0], [1e308] * 6 + [1.0]), REL)
    assert np.isfinite(list(asdict(summary).values())).all()


def test_a_record_keeps_it_and_an_older_one_lacks_it():
    record = SubtaskRecord("open_drawer", "open it", "solved", 1, 0.1, 1.0, 1.0, None, None, 0)
    kept = SubtaskRecord.from_json(asdict(record) | {"actions": asdict(ActionSummary.of(rows(np.zeros(7)), REL))})
    assert kept.actions == ActionSummary.of(rows(np.zeros(7)), REL)
    older = asdict(record)
    del older["actions"]
    assert SubtaskRecord.from_json(older).actions is None
