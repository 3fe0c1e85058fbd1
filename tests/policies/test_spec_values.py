"""A value of a policy spec is read by the type that its setting declares, or raises an error."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import pytest
from annotated_types import Ge, Gt, Le, Unit

from calvinbench.envs.names import UnknownNameError
from calvinbench.policies.chunk_rule import ChunkRule
from calvinbench.policies.spec import PolicySpecError
from calvinbench.policies.spec_values import parse_literal, read_value


class CupColour(StrEnum):
    RED = "red"
    BLUE = "blue"


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (bool, "true", True),
        (bool, "false", False),
        (bool | None, "false", False),
        (int, "12", 12),
        (Annotated[int, Ge(0), Le(9)], "9", 9),
        (Annotated[int, Ge(0)] | None, "0", 0),
        (float, "-1e-3", -1e-3),
        (Annotated[float, Gt(0)] | None, "0.65", 0.65),
        (str, "none", "none"),
        (str | None, "none", "none"),
        (Path | None, "a/b.json", Path("a/b.json")),
        (tuple[str, ...] | None, "static+gripper", ("static", "gripper")),
        (Literal["lrn", "max-pooling"] | None, "max-pooling", "max-pooling"),
        (CupColour, "blue", CupColour.BLUE),
        (ChunkRule, "first:3", ChunkRule("first", 3)),
    ],
)
def test_a_text_is_read_as_its_settings_type(annotation, text, value):
    read = read_value("key", annotation, text)
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize(
    ("annotation", "text", "complaint"),
    [
        (bool, "yes", "expected 'true' or 'false' for setting 'key', got 'yes'"),
        (int, "1.5", r"expected a whole number for setting 'key', got '1\.5'"),
        (Annotated[int, Ge(0)], "-1", "expected at least 0 for setting 'key', got -1"),
        (Annotated[int, Ge(0), Le(9)] | None, "10", "expected at most 9 for setting 'key', got 10"),
        (float, "x", "expected a number for setting 'key', got 'x'"),
        (float, "nan", "expected a number for setting 'key', got 'nan'"),
        (Annotated[float, Gt(0)], "0", "expected a number above 0 for setting 'key', got '0'"),
        (Annotated[float, Gt(0), Unit("seconds")], "inf", "a number of seconds above 0 for setting 'key', got 'inf'"),
    ],
)
def test_a_text_of_another_type_or_outside_the_limits_is_refused(annotation, text, complaint):
    with pytest.raises(PolicySpecError, match=complaint):
        read_value("key", annotation, text)


def test_a_text_that_is_none_of_the_choices_gets_a_guess():
    with pytest.raises(UnknownNameError, match=r"Unknown read out 'max_pooling'\. Did you mean 'max-pooling'\?"):
        read_value("read_out", Literal["lrn", "max-pooling"], "max_pooling")
    with pytest.raises(UnknownNameError, match=r"Unknown cup colour 'rd'\. Did you mean 'red'\?"):
        read_value("key", CupColour, "rd")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("4", 4),
        ("-0.5", -0.5),
        ("1e-4", 1e-4),
        ("True", True),
        ("None", None),
        ("/a/b", "/a/b"),
        ("007", "007"),
        ("true", True),
        ("FALSE", False),
        ("[1]", "[1]"),
        ("'4'", "'4'"),
        ("{[]}", "{[]}"),
        ("2024-01-01", "2024-01-01"),
    ],
)
def test_a_users_settings_are_numbers_switches_and_none_or_text(text, value):
    read = parse_literal(text)
    assert (read, type(read)) == (value, type(value))
