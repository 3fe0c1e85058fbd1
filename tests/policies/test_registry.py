"""From a spec to a policy, without importing what is not needed."""

import os
import re
import subprocess
import sys
from dataclasses import fields, is_dataclass
from types import MappingProxyType

import docstring_parser
import pytest

from calvinbench.envs.names import UnknownNameError
from calvinbench.envs.observation import Observation
from calvinbench.policies.import_string import ImportStringError, import_object
from calvinbench.policies.policy import Policy
from calvinbench.policies.registry import POLICY_KINDS, PolicySpec, make_policy, settings_of
from calvinbench.policies.spec import PolicySpecError

USER_MODULE = """
import numpy as np
from calvinbench.policies.baselines.fake import FakePolicy

def open_gripper(height="0.5", memory_reset="subtask"):
    return FakePolicy(np.array([[0.0, 0.0, float(height), 0.0, 0.0, 0.0, 1.0]]), memory_reset=memory_reset)

def only_subtask():
    return open_gripper()

def takes_any(**settings):
    return open_gripper(**settings)

def not_a_policy():
    return 5

class Model:
    def reset(self):
        pass

    def step(self, obs, goal):
        return [0, 0, 0, 0, 0, 0, 1]
"""


@pytest.fixture
def user_module(tmp_path, monkeypatch):
    (tmp_path / "user_policies.py").write_text(USER_MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("user_policies", None)


def test_every_listed_kind_resolves_to_a_function_and_the_list_cannot_be_changed():
    assert set(POLICY_KINDS) == {"calvin", "checkpoint", "expert", "python", "random", "robovlms", "untrained", "ws"}
    assert all(callable(import_object(kind.factory)) for kind in POLICY_KINDS.values())
    assert isinstance(POLICY_KINDS, MappingProxyType)


def test_a_spec_makes_a_policy_as_text_or_parsed():
    assert make_policy("random").traits.label == "random"
    assert isinstance(make_policy(PolicySpec.parse("random")), Policy)


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ("randon", "Unknown policy kind 'randon'. Did you mean 'random'?"),
        ("chekpoint:somewhere", "Unknown policy kind 'chekpoint'. Did you mean 'checkpoint'?"),
        ("untrained:kosmos", "Unknown backbone 'kosmos'. Did you mean 'kosmos2'?"),
        ("untrained:palligemma", "Unknown backbone 'palligemma'. Did you mean 'paligemma'?"),
        ("untrained:kosmos2,layout=nativ", "Unknown layout 'nativ'. Did you mean 'native'?"),
        ("untrained:kosmos2,head=robovlm", "Unknown head 'robovlm'. Did you mean 'robovlms'?"),
        ("untrained:kosmos2,size=tyny", "Unknown size 'tyny'. Did you mean 'tiny'?"),
        ("untrained:kosmos2,dtype=bf16", "Unknown dtype 'bf16'. Did you mean 'bfloat16'?"),
        ("untrained:kosmos2,chunk_rule=frist", "Unknown chunk rule 'frist'. Did you mean 'first'?"),
        ("untrained:kosmos2,window=8", "Unknown setting of 'untrained' 'window'. Did you mean 'memory_span'?"),
        ("untrained:kosmos2,hidden_size=8", "Unknown setting of 'untrained' 'hidden_size'. Did you mean 'hidden_dim'?"),
        ("untrained:kosmos2,sed=1", "Unknown setting of 'untrained' 'sed'. Did you mean 'seed'?"),
    ],
)
def test_unknown_names_get_a_guess(spec, complaint):
    with pytest.raises(UnknownNameError) as caught:
        make_policy(spec)
    assert str(caught.value).startswith(complaint)


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ("random:5", "expected 'random' without an argument, got 'random:5'"),
        ("random,seed=5", "expected no settings for 'random', got 'seed=5'"),
        (
            "untrained",
            r"with a backbone \(kosmos2, paligemma, .*, package\.module:Class\) as the argument",
        ),
        ("untrained:kosmos2,seed=x", "whole number for setting 'seed', got 'x'"),
        (f"untrained:kosmos2,seed={2**63}", f"at most {2**63 - 1} for setting 'seed', got {2**63}"),
        ("untrained:kosmos2,hidden_dim=0", "at least 1 for setting 'hidden_dim', got 0"),
        ("untrained:kosmos2,dtype=float16,device=cpu", "float32 or bfloat16 on a CPU, got float16"),
        ("untrained:kosmos2,device=tpu", "expected a device that torch has here"),
        ("untrained:kosmos2,compile=yes", "expected 'true' or 'false' for setting 'compile', got 'yes'"),
        ("checkpoint", "with a checkpoint's folder, or a shipped policy's name as the argument"),
        ("calvin", "with an import string package.module:Class as the argument"),
    ],
)
def test_a_spec_that_cannot_be_used_is_refused_in_words(spec, complaint):
    with pytest.raises(PolicySpecError, match=complaint):
        make_policy(spec)


@pytest.mark.usefixtures("user_module")
def test_remedy_an_import_string_without_a_kind_is_advised_one_that_works():
    with pytest.raises(UnknownNameError, match="Unknown policy kind 'user_policies'") as caught:
        make_policy("user_policies:Model")
    shown = re.findall(r"'((?:calvin|python):[^']+)'", str(caught.value))
    assert shown == ["calvin:user_policies:Model", "python:user_policies:Model"]
    assert make_policy(shown[0]).traits.label == "user_policies:Model"
    with pytest.raises(UnknownNameError, match="'python:user_policies:open_gripper'"):
        make_policy("user_policies:open_gripper")
    assert make_policy("python:user_policies:open_gripper").traits.label == "fake"


@pytest.mark.parametrize(
    ("spec", "advised"),
    [
        ("localhost:8000", "ws://localhost:8000"),
        ("http://localhost:8000", "ws://localhost:8000"),
        ("wss://host", "ws://host,secure=true"),
        ("my.models:Net", "calvin:my.models:Net"),
    ],
)
def test_remedy_a_kind_that_is_none_is_advised_a_spec_that_can_be_read(spec, advised):
    with pytest.raises(ValueError, match=f"'{re.escape(advised)}'"):
        make_policy(spec)
    assert PolicySpec.parse(advised).kind in POLICY_KINDS


def test_remedy_a_folder_alone_is_advised_as_a_checkpoint(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("trained", "trained/checkpoint"):
        (tmp_path / folder).mkdir()
        with pytest.raises(ValueError, match=f"For a checkpoint's folder write 'checkpoint:{folder}'"):
            make_policy(folder)
        assert PolicySpec.parse(f"checkpoint:{folder}").argument == folder
    with pytest.raises(UnknownNameError, match="Did you mean 'random'"):
        make_policy("randm:kosmos2")


def test_remedy_a_module_is_found_by_pythonpath(tmp_path):
    (tmp_path / "user_elsewhere.py").write_text(USER_MODULE)
    code = "from calvinbench.policies.registry import make_policy; print(make_policy('calvin:user_elsewhere:Model'))"
    for environment, is_found in (({}, False), ({"PYTHONPATH": str(tmp_path)}, True)):
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | environment)
        assert (ran.returncode == 0) == is_found
        assert is_found or "set PYTHONPATH=FOLDER" in ran.stderr


def test_an_import_string_that_leads_nowhere_says_what_to_do():
    with pytest.raises(ImportStringError, match="PYTHONPATH"):
        make_policy("python:no_such_module:factory")


@pytest.mark.usefixtures("user_module")
def test_a_users_factory_gets_the_settings_and_its_policy_is_used():
    policy = make_policy("python:user_policies:open_gripper,height=0.25", memory_reset="chain")
    actions, _ = policy.act(Observation(), ["lift"], policy.initial_state(1))
    assert actions.tolist() == [[0.0, 0.0, 0.25, 0.0, 0.0, 0.0, 1.0]]
    assert policy.traits.memory.reset == "chain"


@pytest.mark.usefixtures("user_module")
def test_a_users_factory_is_refused_where_its_settings_or_its_result_do_not_fit():
    with pytest.raises(PolicySpecError, match=r"settings \['depth'\], but: got an unexpected keyword"):
        make_policy("python:user_policies:open_gripper,depth=1")
    with pytest.raises(TypeError, match=r"to return a calvinbench\.policies\.policy\.Policy .*, got int"):
        make_policy("python:user_policies:not_a_policy")


@pytest.mark.usefixtures("user_module")
def test_a_memory_reset_is_passed_on_checked_and_not_silently_dropped():
    assert make_policy("untrained:kosmos2,hidden_dim=8", memory_reset="chain").traits.memory.reset == "chain"
    assert make_policy("random", memory_reset="chain").traits.memory.span == "none"
    with pytest.raises(ValueError, match="memory reset 'subtask' or 'chain', got 'episode'"):
        make_policy("random", memory_reset="episode")
    with pytest.raises(ValueError, match="reset at each chain, but 'python:user_policies:only_subtask' resets it at"):
        make_policy("python:user_policies:only_subtask", memory_reset="chain")
    with pytest.raises(PolicySpecError, match="got 'subtask' in the policy spec and 'chain' outside of it"):
        make_policy("untrained:kosmos2,memory_reset=subtask", memory_reset="chain")


@pytest.mark.usefixtures("user_module")
@pytest.mark.parametrize(
    "spec",
    [
        "calvin:user_policies:Model",
        "expert",
        "python:user_policies:open_gripper",
        "python:user_policies:takes_any",
        "untrained:kosmos2,hidden_dim=8",
    ],
)
def test_memory_is_reset_at_each_subtask_unless_the_caller_or_the_spec_says_otherwise(spec):
    setting = f"{spec},memory_reset=chain"
    assert make_policy(spec).traits.memory.reset == "subtask"
    assert make_policy(spec, memory_reset="chain").traits.memory.reset == "chain"
    assert make_policy(setting).traits.memory.reset == "chain"
    assert make_policy(setting, memory_reset="chain").traits.memory.reset == "chain"
    with pytest.raises(ValueError, match="memory reset 'subtask' or 'chain', got 'banana'"):
        make_policy(f"{spec},memory_reset=banana")


@pytest.mark.usefixtures("user_module")
def test_a_memory_reset_in_the_spec_that_the_policy_does_not_follow_is_refused():
    spec = "python:user_policies:only_subtask"
    assert make_policy(f"{spec},memory_reset=subtask").traits.memory.reset == "subtask"
    with pytest.raises(ValueError, match=r"memory is reset at each chain, but .* resets it at each subtask"):
        make_policy(f"{spec},memory_reset=chain")
    with pytest.raises(ValueError, match="memory reset 'subtask' or 'chain', got 'banana'"):
        make_policy(f"{spec},memory_reset=banana")


@pytest.mark.usefixtures("user_module")
def test_a_misspelt_memory_reset_is_not_swallowed_by_a_factory_that_takes_anything():
    with pytest.raises(PolicySpecError, match=r"got 'memory_rest'\. Did you mean 'memory_reset'"):
        make_policy("python:user_policies:takes_any,memory_rest=chain")


def test_every_kind_has_a_frozen_dataclass_of_settings_with_a_line_for_each_or_none_at_all():
    assert [kind for kind in POLICY_KINDS if settings_of(kind) is None] == ["random"]
    for kind in POLICY_KINDS:
        settings = settings_of(kind)
        if settings is None:
            continue
        assert settings.__dataclass_params__.frozen
        documents = [docstring_parser.parse(base.__doc__) for base in settings.__mro__ if is_dataclass(base)]
        assert {field.name for field in fields(settings)} == {
            entry.arg_name for document in documents for entry in document.params if entry.description
        }
    with pytest.raises(UnknownNameError, match="Did you mean 'untrained'"):
        settings_of("untraind")


def test_the_registry_and_the_settings_of_all_kinds_import_nothing_heavy():
    heavy = "{'torch', 'transformers', 'pybullet', 'matplotlib', 'ray', 'websockets'}"
    code = (
        "import sys, calvinbench.policies.registry as r; r.make_policy('random'); "
        f"[r.settings_of(kind) for kind in r.POLICY_KINDS]; print({heavy} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found.strip() == "set()"
