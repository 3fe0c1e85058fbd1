"""The gripper's number is read by a rule, and an error advises the rule that suits the numbers seen."""

import logging
import re

import pytest

from calvinbench.envs.names import UnknownNameError
from calvinbench.policies.adapters.gripper import GripperReader, GripperRule, advice


def read(rule, *numbers):
    reader = GripperReader(GripperRule.parse(rule))
    return [reader.read(float(number)) for number in numbers]


@pytest.mark.parametrize(
    ("rule", "numbers", "expected"),
    [
        ("exact", [1, -1], [1, -1]),
        ("-exact", [1, -1], [-1, 1]),
        ("sign", [0.2, -0.1, 0.0], [1, -1, -1]),
        ("-sign", [0.2, -0.1, 0.0], [-1, 1, 1]),
        ("unit", [0.004, 0.02, 0.4, 0.6, 1.02, -0.01], [-1, -1, -1, 1, 1, -1]),
        ("-unit", [0.02, 0.98], [1, -1]),
        ("threshold:0.04", [0.0, 0.039, 0.041, 0.08], [-1, -1, 1, 1]),
        ("-threshold:127.5", [0, 255], [1, -1]),
        ("threshold:-0.5", [-0.6, 0], [-1, 1]),
    ],
)
def test_each_rule_reads_its_numbers_and_is_written_back_the_same(rule, numbers, expected):
    assert read(rule, *numbers) == expected
    assert str(GripperRule.parse(rule)) == rule


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("threshold", "with a finite number T, got 'threshold'"),
        ("threshold:half", "got 'threshold:half'"),
        ("threshold:nan", "got 'threshold:nan'"),
        ("unit:0.3", "For a threshold of your own write 'threshold:0.3'"),
        ("", "Unknown setting gripper ''"),
        ("sgin", "Did you mean 'sign'"),
    ],
)
def test_what_is_no_rule_is_refused(text, words):
    with pytest.raises((ValueError, UnknownNameError), match=words):
        GripperRule.parse(text)


@pytest.mark.parametrize("text", ["threshold", "unit:0.3"])
def test_remedy_the_rule_that_the_error_writes_is_read(text):
    with pytest.raises(ValueError, match="rule") as caught:
        GripperRule.parse(text)
    shown = re.search(r"rite (?:for example )?'(threshold:[\d.]+)'", str(caught.value))[1]
    assert GripperRule.parse(shown).threshold in (0.3, 0.5)


SEEN = {
    "-0.7 and 0.9": ([-0.7, 0.9], {"sign": [-1, 1]}),
    "0 and 1": ([0.0, 1.0], {"unit": [-1, 1]}),
    "0.02 alone": ([0.02], {"unit": [-1], "threshold:0.04": [-1]}),
    "metres": ([0.001, 0.08], {"unit": [-1, -1], "threshold:0.04": [-1, 1]}),
    "0.7 alone": ([0.7], {"unit": [1], "sign": [1]}),
    "0.03 and 0.97": ([0.03, 0.97], {"unit": [-1, 1]}),
}


@pytest.mark.parametrize(("numbers", "rules"), SEEN.values(), ids=SEEN.keys())
def test_remedy_each_rule_that_the_error_of_exact_advises_reads_the_numbers(numbers, rules):
    reader = GripperReader(GripperRule())
    reader.see(*numbers)
    with pytest.raises(ValueError, match="exactly -1") as caught:
        [reader.read(number) for number in numbers]
    advised = re.findall(r"',gripper=([^']+)'", str(caught.value))
    assert advised == list(rules)
    for rule in advised:
        assert read(rule, *numbers) == rules[rule]


def test_a_small_number_is_never_advised_to_be_read_by_its_sign():
    assert "'gripper=sign' would never close" in advice(0.02, 0.02)
    assert "',gripper=sign'" not in advice(0.0, 0.08) + advice(0.0, 1.0) + advice(0.02, 0.02)


@pytest.mark.parametrize(("number", "rule"), [(-1.0, "sign"), (0.8, "unit")])
def test_the_minus_that_the_error_mentions_inverts_the_rule(number, rule):
    assert f"'gripper=-{rule}', if high numbers close" in advice(number, 0.9)
    assert read(f"-{rule}", number) == [-value for value in read(rule, number)]


def test_remedy_numbers_on_another_scale_are_advised_a_threshold():
    with pytest.raises(ValueError, match=r"neither -1..1 nor 0..1: add ',gripper=threshold:T'"):
        read("exact", 255.0)
    assert read("threshold:127", 255.0, 0.0) == [1, -1]


@pytest.mark.parametrize("number", [-1.0, 255.0])
def test_unit_refuses_numbers_that_are_far_from_0_to_1(number):
    with pytest.raises(ValueError, match=r"0\.\.1, as gripper=unit says, got"):
        read("unit", number)


def test_remedy_a_sign_that_never_closes_is_reported_once_with_the_rule_that_does(caplog):
    numbers = [0.02, 0.9] * 400
    with caplog.at_level(logging.WARNING):
        assert set(read("sign", *numbers)) == {1.0}
    assert len(caplog.records) == 1
    said = caplog.text
    assert "no number below 0 in 360 actions (0.02 to 0.9)" in said
    rule = re.search(r"write 'gripper=([^']+)'", said)[1]
    assert read(rule, *numbers[:2]) == [-1, 1]


def test_a_sign_that_closes_is_not_reported(caplog):
    with caplog.at_level(logging.WARNING):
        read("sign", *[0.9, -0.9] * 400)
    assert not caplog.records
