"""Policy specs are read and written back the same, or raise an error."""

import pytest

from calvinbench.policies.spec import PolicySpec, PolicySpecError


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
