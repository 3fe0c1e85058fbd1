"""CALVIN's own models run unchanged, and what they do wrong is said in words."""

import sys

import numpy as np
import pytest
import torch

from calvinbench.envs.names import UnknownNameError
from calvinbench.envs.observation import Observation
from calvinbench.policies.adapters.calvin_model import CalvinModelPolicy
from calvinbench.policies.adapters.gripper import GripperRule
from calvinbench.policies.check import PolicyCheckError, check_policy, made_up_observation
from calvinbench.policies.looking import NotRenderedError
from calvinbench.policies.registry import make_policy
from calvinbench.policies.spec import NotAPolicyError, PolicySpecError

ROW = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 1.0]

# As a user of CALVIN writes it (calvin_agent's CustomModel), and nothing of calvinbench in it.
USER_MODULE = """
import random

import numpy as np
import torch

class CustomModel:
    def __init__(self, scale=1):
        self.scale = scale
        self.num_steps = None

    def reset(self):
        self.num_steps = 0

    def step(self, obs, goal):
        assert obs["rgb_obs"]["rgb_static"].shape == (200, 200, 3)
        assert obs["rgb_obs"]["rgb_gripper"].dtype == np.uint8
        assert obs["robot_obs"].shape == (15,)
        assert goal
        self.num_steps += 1
        return torch.tensor([[self.scale * self.num_steps / 100, 0, 0, 0, 0, 0, -1]])

class Peeker(CustomModel):
    def step(self, obs, goal):
        return obs["scene_obs"]

class DepthReader(CustomModel):
    def step(self, obs, goal):
        depth = obs["depth_obs"]["depth_static"]
        assert depth.shape == (200, 200) and depth.dtype == np.float32
        return [0, 0, 0, 0, 0, 0, 1]

class Absolute(CustomModel):
    def step(self, obs, goal):
        return obs["robot_obs"][:3], obs["robot_obs"][3:6], 1

class PythonSampler(CustomModel):
    def step(self, obs, goal):
        return [random.uniform(-1, 1)] + [0] * 5 + [1]

class NumpySampler(CustomModel):
    def step(self, obs, goal):
        return [*np.random.uniform(-1, 1, 6), 1]

class TorchSampler(CustomModel):
    def step(self, obs, goal):
        return torch.cat([torch.rand(6), torch.ones(1)])

class Keeper(CustomModel):
    def step(self, obs, goal):
        self.seen = obs
        return [0] * 6 + [1]

class Declaring(CustomModel):
    uses_proprioception = True

class WithoutState(Keeper):
    uses_proprioception = False

class StateReader(WithoutState):
    def step(self, obs, goal):
        return [*obs["robot_obs"][:6], 1]

class UnitGripper(CustomModel):
    def __init__(self, number=0.02):
        self.number = number

    def step(self, obs, goal):
        return [0] * 6 + [self.number]

class OwnSettings(Keeper):
    def __init__(self, gripper, proprioception="x"):
        self.settings = gripper, proprioception

class Forgetful(CustomModel):
    def __init__(self, **settings):
        self.settings = settings

    def step(self, obs, goal):
        raise KeyError(*self.settings.values())

class NoReturn(CustomModel):
    def step(self, obs, goal):
        self.num_steps += 1

class Chunked(CustomModel):
    def step(self, obs, goal):
        if self.num_steps % 3 == 0:
            self.mean = float(obs["rgb_obs"]["rgb_static"].mean()) / 255
        else:
            assert obs["rgb_obs"] == {} and obs["depth_obs"] == {} and obs["robot_obs"].shape == (15,)
        self.num_steps += 1
        return [self.mean] + [0] * 5 + [1]

class ChunkedAsDeclared(Chunked):
    looks_every = 3

class OddNumber(Keeper):
    looks_every = 2.5

class OwnHorizon(Keeper):
    def __init__(self, looks_every):
        self.given = looks_every

class NoReset:
    def step(self, obs, goal):
        return None
"""


@pytest.fixture(autouse=True)
def user_module(tmp_path, monkeypatch):
    (tmp_path / "user_calvin.py").write_text(USER_MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("user_calvin", None)


def one_world(policy):
    return Observation.stack([made_up_observation(np.random.default_rng(0))], policy.traits.observation_keys)


def act_once(policy):
    return policy.act(one_world(policy), ["open the drawer"], policy.initial_state(1))


def test_a_users_model_runs_and_keeps_to_the_interface():
    check_policy(make_policy("calvin:user_calvin:CustomModel"), state_is_value=False)


def test_reset_is_called_at_the_start_and_where_the_row_is_marked():
    policy = make_policy("calvin:user_calvin:CustomModel,scale=2")
    state = policy.initial_state(1)
    firsts = []
    for step in range(5):
        if step in (2, 3):
            state = policy.reset_state(state, np.array([step == 3]))
        actions, state = policy.act(one_world(policy), ["open the drawer"], state)
        firsts.append(round(float(actions[0, 0]), 6))
    assert firsts == [0.02, 0.04, 0.06, 0.02, 0.04]


@pytest.mark.parametrize("model", ["PythonSampler", "NumpySampler", "TorchSampler"])
def test_a_model_that_draws_from_global_generators_follows_the_seed(model):
    policy = make_policy(f"calvin:user_calvin:{model}")

    def run(seed):
        state = policy.initial_state(1, [seed])
        return [policy.act(one_world(policy), ["lift"], state).actions.tolist() for _ in range(3)]

    assert run(2**63 - 1) == run(2**63 - 1)
    assert run(5) == run(5)
    assert run(5) != run(6)
    check_policy(policy, state_is_value=False)


def test_without_seeds_the_global_generators_are_left_alone():
    policy = make_policy("calvin:user_calvin:NumpySampler")
    before = [np.random.get_state()[1].tolist(), torch.random.get_rng_state().tolist()]
    policy.initial_state(1)
    assert [np.random.get_state()[1].tolist(), torch.random.get_rng_state().tolist()] == before


def test_the_check_names_the_way_out_for_models_whose_memory_is_their_own():
    with pytest.raises(PolicyCheckError, match=r"call check_policy\(policy, state_is_value=False\)"):
        check_policy(make_policy("calvin:user_calvin:CustomModel"))


def test_its_label_is_the_whole_import_string_and_its_memory_is_unbounded():
    traits = make_policy("calvin:user_calvin:CustomModel,scale=2").traits
    assert traits.label == "user_calvin:CustomModel"
    assert traits.memory.span == "unbounded"


def test_observations_are_plain_dictionaries_that_torch_can_take_apart():
    from torch.utils._pytree import tree_leaves

    policy = make_policy("calvin:user_calvin:Keeper,depth=true")
    act_once(policy)
    seen = policy._model.seen
    assert [type(seen), type(seen["rgb_obs"]), type(seen["depth_obs"])] == [dict] * 3
    assert sorted(leaf.shape for leaf in tree_leaves(seen)) == [(15,), (84, 84), (84, 84, 3), (200, 200), (200, 200, 3)]


@pytest.mark.parametrize("spec", ["Forgetful,key=plan", "Forgetful,key=depth_static,depth=true", "Forgetful"])
def test_a_models_own_key_errors_pass_unchanged(spec):
    policy = make_policy(f"calvin:user_calvin:{spec}")
    with pytest.raises(KeyError) as caught:
        act_once(policy)
    assert caught.value.args == tuple(policy._model.settings.values())
    assert caught.value.__cause__ is None


def test_a_step_without_return_is_named():
    with pytest.raises(ValueError, match="got None: does it end without return"):
        act_once(make_policy("calvin:user_calvin:NoReturn"))


def test_the_scene_is_withheld_with_a_reason():
    with pytest.raises(KeyError, match="The true state of the scene, 'scene_obs', is withheld"):
        act_once(make_policy("calvin:user_calvin:Peeker"))


def test_depth_is_shown_on_request_and_explained_without():
    assert act_once(make_policy("calvin:user_calvin:DepthReader,depth=true")).actions.tolist() == [[0] * 6 + [1]]
    with pytest.raises(KeyError, match=",depth=true"):
        act_once(make_policy("calvin:user_calvin:DepthReader"))
    assert make_policy("calvin:user_calvin:CustomModel").traits.observation_keys == (
        "rgb_static",
        "rgb_gripper",
        "robot_obs",
    )


def test_absolute_actions_are_declared_or_refused_with_the_setting_to_use():
    policy = make_policy("calvin:user_calvin:Absolute,actions=abs_actions")
    actions = act_once(policy).actions
    np.testing.assert_array_equal(actions[0, :6], one_world(policy).robot_obs[0, :6])
    with pytest.raises(ValueError, match="',actions=abs_actions' to the policy spec"):
        act_once(make_policy("calvin:user_calvin:Absolute"))


def test_flat_actions_declared_absolute_are_told_how_calvin_env_reads_them():
    with pytest.raises(ValueError, match="calvin_env reads seven flat numbers as relative"):
        act_once(make_policy("calvin:user_calvin:Keeper,actions=abs_actions"))


@pytest.mark.parametrize(
    ("spec", "is_given", "may_read"),
    [
        ("Keeper", True, True),
        ("Keeper,proprioception=true", True, False),
        ("Keeper,proprioception=false", False, False),
        ("Declaring", True, False),
        ("WithoutState", False, False),
        ("WithoutState,proprioception=true", True, False),
        ("Declaring,proprioception=false", False, False),
    ],
)
def test_the_robots_state_is_given_unless_it_is_withheld(spec, is_given, may_read):
    policy = make_policy(f"calvin:user_calvin:{spec}")
    assert ("robot_obs" in policy.traits.observation_keys) == is_given
    assert policy.traits.may_read == (("robot_obs",) if may_read else ())
    if "Declaring" not in spec:
        act_once(policy)
        assert ("robot_obs" in policy._model.seen) == is_given
        assert "rgb_obs" in policy._model.seen


def test_remedy_a_state_that_is_withheld_and_read_says_what_to_remove():
    with pytest.raises(KeyError, match=r"Remove 'proprioception=false' from the policy spec, or 'uses_pro"):
        act_once(make_policy("calvin:user_calvin:StateReader"))
    policy = make_policy("calvin:user_calvin:StateReader,proprioception=true")
    np.testing.assert_array_equal(act_once(policy).actions[0, :6], one_world(policy).robot_obs[0, :6])
    with pytest.raises(KeyError, match="Proprioception is withheld"):
        act_once(make_policy("calvin:user_calvin:Absolute,actions=abs_actions,proprioception=false"))
    act_once(make_policy("calvin:user_calvin:Absolute,actions=abs_actions"))


def test_remedy_a_gripper_that_is_not_1_or_minus_1_is_read_as_the_error_advises():
    spec = "calvin:user_calvin:UnitGripper"
    with pytest.raises(ValueError, match="exactly -1") as caught:
        act_once(make_policy(spec))
    assert "',gripper=unit' to the policy spec" in str(caught.value)
    assert act_once(make_policy(f"{spec},gripper=unit")).actions[0, 6] == -1
    with pytest.raises(ValueError, match="',gripper=unit' to the policy spec"):
        act_once(make_policy(f"{spec},number=0.7"))
    assert act_once(make_policy(f"{spec},number=0.7,gripper=unit")).actions[0, 6] == 1
    assert act_once(make_policy(f"{spec},number=0.7,gripper=-unit")).actions[0, 6] == -1
    assert act_once(make_policy(f"{spec},number=-3,gripper=sign")).actions[0, 6] == -1


def test_a_class_that_names_a_setting_that_became_ours_keeps_it():
    policy = make_policy("calvin:user_calvin:OwnSettings,gripper=robotiq,proprioception=encoder")
    assert policy._model.settings == ("robotiq", "encoder")
    assert policy.traits.may_read == ("robot_obs",)


def test_a_models_own_array_is_not_changed():
    class Model:
        action = np.array([0.0] * 6 + [0.9])

        def reset(self):
            pass

        def step(self, obs, goal):
            return self.action

    policy = CalvinModelPolicy(Model(), label="mine", gripper=GripperRule("unit"))
    assert act_once(policy).actions[0, 6] == 1
    assert Model.action[6] == 0.9


def test_one_model_serves_one_world():
    policy = make_policy("calvin:user_calvin:CustomModel")
    with pytest.raises(ValueError, match=r"expected rows for 1 worlds, got shape \(2,\)"):
        policy.reset_state(policy.initial_state(1), np.array([True, True]))
    with pytest.raises(ValueError, match="expected seeds for 1 worlds, got 2"):
        policy.initial_state(1, [0, 1])
    assert policy.traits.max_batch_size == 1
    with pytest.raises(ValueError, match=r"expected one world for a CALVIN model .*, got 2"):
        policy.initial_state(2)


@pytest.mark.parametrize(
    ("spec", "error", "complaint"),
    [
        ("calvin:user_calvin:CustomModel,size=3", PolicySpecError, r"settings \['size'\], but: got an unexpected"),
        ("calvin:user_calvin:CustomModel,depth=yes", PolicySpecError, "'true' or 'false'"),
        ("calvin:user_calvin:CustomModel,actions=relactions", UnknownNameError, "Did you mean 'rel_actions'"),
        ("calvin:user_calvin:CustomModel,dept=true", PolicySpecError, "got 'dept'. Did you mean 'depth'"),
        ("calvin:user_calvin:Forgetful,action=abs_actions", PolicySpecError, "got 'action'. Did you mean 'actions'"),
        ("calvin:user_calvin:Forgetful,memory_rest=chain", PolicySpecError, "Did you mean 'memory_reset'"),
        ("calvin:user_calvin:np", TypeError, "to be a class or a function, got an object of module"),
        ("calvin:user_calvin:CustomModell", UnknownNameError, "Did you mean 'CustomModel'"),
        ("calvin:user_calvin:NoReset", TypeError, r"reset\(\) and step\(obs, goal\), got NoReset"),
    ],
)
def test_what_cannot_be_made_is_refused_in_words(spec, error, complaint):
    with pytest.raises(error, match=complaint):
        make_policy(spec)


def test_a_model_can_be_given_as_an_object():
    class Model:
        def reset(self):
            pass

        def step(self, obs, goal):
            return ROW

    assert act_once(CalvinModelPolicy(Model(), label="mine")).actions.tolist() == [ROW]


def looked_at(policy, num_steps, reset_before=None):
    """The marks of each step, and the actions of a policy that is given the marked images alone."""
    state, looks, marks, firsts = policy.initial_state(1), np.ones(1, dtype=bool), [], []
    for step in range(num_steps):
        if step == reset_before:
            state, looks = policy.reset_state(state, np.ones(1, dtype=bool)), np.ones(1, dtype=bool)
        marks.append(bool(looks[0]))
        actions, state = policy.act(one_world(policy).with_images_of(looks), ["open the drawer"], state)
        firsts.append(float(actions[0, 0]))
        looks = policy.looks_next(state)
    return marks, firsts


@pytest.mark.parametrize("spec", ["Chunked,looks_every=3", "ChunkedAsDeclared"])
def test_a_model_is_given_only_the_images_that_it_declares(spec):
    policy = make_policy(f"calvin:user_calvin:{spec},depth=true")
    marks, firsts = looked_at(policy, 8, reset_before=5)
    assert marks == [True, False, False, True, False, True, False, False]
    mean = one_world(policy).rgb_static.mean() / 255
    np.testing.assert_allclose(firsts, [mean] * 8)
    check_policy(policy, state_is_value=False)


def test_a_model_that_declares_nothing_is_given_all_images():
    policy = make_policy("calvin:user_calvin:CustomModel")
    assert looked_at(policy, 3)[0] == [True] * 3
    assert policy.looks_next(policy.initial_state(1)).tolist() == [True]


def test_a_model_that_uses_other_images_than_it_declares_hears_which():
    policy = make_policy("calvin:user_calvin:CustomModel,looks_every=4")
    with pytest.raises(
        NotRenderedError,
        match=r"no use of 'rgb_static' in step 2 after .* reset\(\), because looks_every=4 says .* one of 4 steps",
    ):
        looked_at(policy, 2)
    with pytest.raises(NotRenderedError, match="no use of 'rgb_static'"):  # whatever the world renders
        check_policy(policy, state_is_value=False)


def test_a_number_of_steps_that_is_none_is_refused():
    with pytest.raises(NotAPolicyError, match=r"looks_every of a CALVIN model as a whole number above 0, got 2\.5"):
        make_policy("calvin:user_calvin:OddNumber")
    assert looked_at(make_policy("calvin:user_calvin:OddNumber,looks_every=2"), 3)[0] == [True, False, True]
    with pytest.raises(PolicySpecError, match="looks_every"):
        make_policy("calvin:user_calvin:CustomModel,looks_every=0")


def test_a_class_with_a_parameter_of_that_name_is_given_the_number():
    policy = make_policy("calvin:user_calvin:OwnHorizon,looks_every=4")
    assert policy._model.given == 4
    assert looked_at(policy, 3)[0] == [True] * 3
