"""A label of the user's is what traits say, and all else stays the policy's own."""

import sys
from dataclasses import replace

import numpy as np
import pytest

from calvinbench.envs.names import UnknownNameError
from calvinbench.policies.adapters.relabelled import relabelled
from calvinbench.policies.check import check_policy
from calvinbench.policies.policy import BatchedPolicy, Policy, PolicyTraits
from calvinbench.policies.registry import make_policy
from calvinbench.policies.spec import PolicySpecError

USER_MODULE = """
import numpy as np
from calvinbench.policies.baselines.fake import FakePolicy

class Model:
    def reset(self):
        pass

    def step(self, obs, goal):
        return [0, 0, 0, 0, 0, 0, 1]

class TakesAny(Model):
    def __init__(self, **settings):
        self.settings = settings

class TakesLabel(Model):
    def __init__(self, label):
        self.label = label

def factory():
    return FakePolicy(np.array([[0.0] * 6 + [1.0]]))

def takes_label(label="mine"):
    policy = factory()
    policy.given = label
    return policy
"""


@pytest.fixture(autouse=True)
def user_module(tmp_path, monkeypatch):
    (tmp_path / "user_labels.py").write_text(USER_MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("user_labels", None)


@pytest.mark.parametrize(
    "spec",
    [
        "expert",
        "random",
        "untrained:cnn,hidden_dim=8,num_layers=1",
        "checkpoint:cnn",
        "calvin:user_labels:Model",
        "calvin:user_labels:TakesAny",
        "python:user_labels:factory",
    ],
)
def test_every_kind_takes_a_label_and_changes_nothing_else(spec):
    plain, named = make_policy(spec), make_policy(f"{spec},label=my model: v2")
    assert named.traits == replace(plain.traits, label="my model: v2")
    assert isinstance(named, Policy)
    assert isinstance(named, BatchedPolicy) == isinstance(plain, BatchedPolicy)


def test_a_relabelled_policy_keeps_to_the_interface():
    check_policy(make_policy("untrained:cnn,hidden_dim=8,num_layers=1,label=small"))
    check_policy(make_policy("random,label=floor"))


def test_the_users_class_does_not_see_the_label_unless_it_names_it():
    assert make_policy("calvin:user_labels:TakesAny,size=3,label=x")._model.settings == {"size": 3}
    found = make_policy("calvin:user_labels:TakesLabel,label=x")
    assert (found._model.label, found.traits.label) == ("x", "x")
    assert make_policy("python:user_labels:takes_label,label=x").given == "x"
    assert make_policy("python:user_labels:takes_label,label=x").traits.label == "x"
    assert make_policy("python:user_labels:takes_label").traits.label == "fake"


def test_what_a_policy_has_beyond_the_interface_is_still_there():
    inner = make_policy("random")
    inner.metadata = {"model": "m"}
    assert relabelled(inner, "x").metadata == {"model": "m"}
    with pytest.raises(AttributeError, match="nothing"):
        _ = relabelled(inner, "x").nothing
    assert relabelled(inner, "random") is inner


def test_a_relabelled_batched_policy_puts_states():
    named = make_policy("random,label=floor")
    state = named.put_state(named.initial_state(2, [0, 1]), np.array([True, False]), named.initial_state(1, [7]))
    assert state[0].integers(1000) == np.random.default_rng(7).integers(1000)
    named.expect(["open the drawer"])


def test_labels_that_cannot_be_printed_or_are_said_twice_are_refused():
    with pytest.raises(PolicySpecError, match=r"'label' 2 times\. Remove all but one"):
        make_policy("random,label=a,label=b")
    with pytest.raises(PolicySpecError, match="a value after it"):
        make_policy("random,label= ")
    with pytest.raises(ValueError, match="expected a label to print"):
        relabelled(make_policy("random"), " ")
    with pytest.raises(UnknownNameError, match="Did you mean 'label'"):
        make_policy("untrained:cnn,lable=x")
    assert PolicyTraits(label="x").label == "x"


def test_remedy_a_kind_without_settings_may_be_named():
    with pytest.raises(PolicySpecError, match="or 'random,label=NAME' to name it in tables"):
        make_policy("random,name=floor")
    assert make_policy("random,label=NAME").traits.label == "NAME"
