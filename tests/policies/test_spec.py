"""Policy specs are read, written back the same, and refused in words."""

import pytest

from calvinbench.policies.spec import PolicySpec, PolicySpecError, parse_integer, parse_literal, parse_switch


@pytest.mark.parametrize(
    ("text", "kind", "argument", "settings"),
    [
        ("expert", "expert", None, ()),
        ("untrained:kosmos2", "untrained", "kosmos2", ()),
        ("untrained:kosmos2,seed=3,hidden_dim=64", "untrained", "kosmos2", (("seed", "3"), ("hidden_dim", "64"))),
        ("calvin:my.models:Net", "calvin", "my.models:Net", ()),
        ("ws://localhost:8000", "ws", "//localhost:8000", ()),
        ("python:a.b:c,query=x=1", "python", "a.b:c", (("query", "x=1"),)),
    ],
)
def test_a_spec_is_read_and_written_back_the_same(text, kind, argument, settings):
    spec = PolicySpec.parse(text)
    assert (spec.kind, spec.argument, spec.settings) == (kind, argument, settings)
    assert str(spec) == text


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "got kind ''"),
        (":kosmos2", "got kind ''"),
        ("untrained:", "something after the colon of 'untrained:'"),
        ("untrained:kosmos2,seed", "got 'seed'. Commas cannot be part"),
        ("untrained:kosmos2,seed=", "got 'seed='"),
        ("untrained:kosmos2,seed=1,seed=2", "'seed' 2 times"),
        ("un trained", "got kind 'un trained'"),
        ("random,seed==", None),
        ("random,=1", "got '=1'. Write a name before '='"),
        ("random,a b=1", "got 'a b=1'"),
        ("random,label= ,a=1", "got 'label= '"),
        ("random,,", "got ''. Commas cannot be part"),
        ("python:a:b,label='x,y'", "got 'y''. Commas cannot be part"),
        ("python:a:b,label=x:y=z 'w'", None),
    ],
)
def test_a_malformed_spec_is_refused_in_words(text, complaint):
    if complaint is None:  # colons, quotes and further equal signs may stand in a value
        assert str(PolicySpec.parse(text)) == text
        return
    with pytest.raises(PolicySpecError, match=complaint.replace(".", r"\.")):
        PolicySpec.parse(text)


def test_settings_are_read_as_numbers_and_switches_or_refused():
    assert parse_integer("seed", "12", minimum=0) == 12
    assert parse_switch("depth", "true") is True
    assert parse_switch("depth", "false") is False
    with pytest.raises(PolicySpecError, match=r"whole number for setting 'seed', got '1\.5'"):
        parse_integer("seed", "1.5", minimum=0)
    with pytest.raises(PolicySpecError, match="at least 0 for setting 'seed', got -1"):
        parse_integer("seed", "-1", minimum=0)
    with pytest.raises(PolicySpecError, match="at most 9 for setting 'seed', got 10"):
        parse_integer("seed", "10", minimum=0, maximum=9)
    with pytest.raises(PolicySpecError, match="'true' or 'false' for setting 'depth', got 'yes'"):
        parse_switch("depth", "yes")


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
