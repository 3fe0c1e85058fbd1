"""What a user brings is called with his settings, and nothing that he meant for us is swallowed."""

import sys

import pytest

from calvinbench.policies.adapters.user_factory import call_user_factory, named_parameters
from calvinbench.policies.spec import NotAPolicyError, PolicySpecError

OWN = ("actions", "depth", "memory_reset")

USER_MODULE = """
def takes_any(**settings):
    return settings

def takes_two(horizon, path="/"):
    return horizon, path

def takes_action(action, **settings):
    return action

made = object()
"""


@pytest.fixture(autouse=True)
def user_module(tmp_path, monkeypatch):
    (tmp_path / "user_factories.py").write_text(USER_MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("user_factories", None)


def test_settings_come_as_numbers_where_they_are_numbers():
    assert call_user_factory("user_factories:takes_two", {"horizon": "4", "path": "/a/b"}, OWN) == (4, "/a/b")


def test_what_is_offered_is_given_where_it_is_taken():
    offered = {"memory_reset": "chain"}
    assert call_user_factory("user_factories:takes_any", {}, OWN, offered) == {"memory_reset": "chain"}
    assert call_user_factory("user_factories:takes_two", {"horizon": "4"}, OWN, offered) == (4, "/")


@pytest.mark.parametrize(
    ("key", "meant"), [("action", "actions"), ("dept", "depth"), ("depht", "depth"), ("memory_rest", "memory_reset")]
)
def test_a_misspelt_setting_of_ours_is_not_swallowed(key, meant):
    with pytest.raises(PolicySpecError, match=f"got '{key}'. Did you mean '{meant}'"):
        call_user_factory("user_factories:takes_any", {key: "true"}, OWN)


def test_a_setting_that_only_resembles_ours_is_the_users_if_he_names_it_or_it_is_far_enough():
    assert call_user_factory("user_factories:takes_action", {"action": "push"}, OWN) == "push"
    assert call_user_factory("user_factories:takes_any", {"action_dim": "7"}, OWN) == {"action_dim": 7}


def test_what_cannot_be_called_has_a_message_of_its_own():
    with pytest.raises(NotAPolicyError, match="'user_factories:made' to be a class or a function, got an object"):
        call_user_factory("user_factories:made", {}, OWN)


@pytest.mark.parametrize(("settings", "complaint"), [({}, "missing a required"), ({"size": "1"}, "missing|unexpected")])
def test_settings_that_do_not_fit_are_refused_in_words(settings, complaint):
    with pytest.raises(PolicySpecError, match=f"to be called with settings .* but: .*({complaint})"):
        call_user_factory("user_factories:takes_two", settings, OWN)


def test_remedy_a_setting_that_resembles_ours_may_be_made_a_named_parameter():
    with pytest.raises(PolicySpecError, match="make 'action' a named parameter of 'user_factories:takes_any'"):
        call_user_factory("user_factories:takes_any", {"action": "push"}, OWN)
    assert call_user_factory("user_factories:takes_action", {"action": "push"}, OWN) == "push"


def test_remedy_what_makes_the_policy_is_named_with_its_own_settings():
    with pytest.raises(NotAPolicyError, match="Name the class or function that makes the policy"):
        call_user_factory("user_factories:made", {}, OWN)
    with pytest.raises(PolicySpecError, match="Give exactly the keyword arguments that it takes"):
        call_user_factory("user_factories:takes_two", {"size": "1"}, OWN)
    assert call_user_factory("user_factories:takes_two", {"horizon": "1"}, OWN) == (1, "/")


def test_parameters_are_found_by_name_alone():
    keys = ("horizon", "action", "settings", "label")
    assert named_parameters("user_factories:takes_two", keys) == {"horizon"}
    assert named_parameters("user_factories:takes_action", keys) == {"action"}
    assert named_parameters("user_factories:made", keys) == frozenset()
