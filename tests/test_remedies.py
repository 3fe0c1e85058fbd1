"""Remedies that errors name, beside those that the rooms' own tests try: each is provoked, followed, and works."""

import copy
import json
import re

import gymnasium
import numpy as np
import pytest

from calvinbench.envs import chains as chain_lists
from calvinbench.envs.chain_env import ChainEnv
from calvinbench.envs.fake_play_table import FakePlayTable
from calvinbench.envs.instructions import embedded_instructions, load_instructions
from calvinbench.envs.observation import ActionConvention, require_finite_action
from calvinbench.harness import compare, find_runs, load_run, write_report
from calvinbench.harness.evaluation.evaluation import evaluate
from calvinbench.harness.evaluation.suite_checks import ray_options
from calvinbench.harness.records.folders import locked_folder, make_folder
from calvinbench.harness.report.report import report_folder
from calvinbench.harness.rollout.workers import WorkerSetup, require_upstream_renderer
from calvinbench.harness.suite.reading import parse_suite
from calvinbench.harness.suite.settings import RunSettings
from calvinbench.harness.suite.suite import Suite
from calvinbench.harness.training.evaluation import evaluation_world
from calvinbench.policies.chunk_rule import ChunkRule
from calvinbench.policies.learned.trainable_parts import TrainableParts
from calvinbench.policies.policy import Decision
from calvinbench.policies.registry import make_policy
from support.fakes import CHAINS, Idle, make_fake_world


def error_of(call, kind=ValueError):
    """The message of what a call raises."""
    with pytest.raises(kind) as raised:
        call()
    return str(raised.value)


def test_remedy_a_suite_without_a_policy_shows_one():
    said = error_of(lambda: Suite.of(policy=()))
    (spec,) = re.findall(r"such as --policy (\w+)", said)
    assert Suite.of(policy=(spec,)).runs[0].policy == spec


def test_remedy_policies_of_one_folder_are_run_separately(tmp_path):
    specs = ("python:a:b", "python:a-b")
    said = error_of(lambda: Suite.of(policy=specs))
    assert "each with its own --out" in said
    folders = {
        suite.directory(suite.runs[0])
        for suite in (Suite.of(policy=(spec,), out=tmp_path / str(place)) for place, spec in enumerate(specs))
    }
    assert len(folders) == 2


def test_remedy_one_name_is_for_one_policy(tmp_path):
    said = error_of(lambda: Suite.of(policy=("random", "expert"), run_name="mine", out=tmp_path))
    assert "--out DIR, or run each policy by itself" in said
    assert Suite.of(policy=("random",), run_name="mine", out=tmp_path).runs
    assert len(Suite.of(policy=("random", "expert"), out=tmp_path / "mine").runs) == 2


@pytest.mark.parametrize("kept", ["suite", "spec"])
def test_remedy_a_memory_span_stands_in_the_suite_or_in_the_spec(kept):
    spec = "untrained:cnn,memory_span=window:2"
    assert "Leave one out" in error_of(lambda: Suite.of(policy=(spec,), memory_span="unbounded"))
    suite = Suite.of(policy=(spec,)) if kept == "spec" else Suite.of(policy=("untrained:cnn",), memory_span="window:2")
    assert suite.runs[0].policy == spec


def test_remedy_what_a_replica_takes_needs_ray():
    said = error_of(lambda: ray_options(Suite.of(policy=("random",), gpus_per_replica=0.5)))
    assert "--executor ray" in said
    options = ray_options(Suite.of(policy=("random",), gpus_per_replica=0.5, executor="ray"))
    assert options is not None
    assert options.gpus_per_replica == 0.5


@pytest.mark.parametrize("kept", [{"videos": "all"}, {"executor": "ray"}])
def test_remedy_videos_or_ray(kept):
    assert "Remove either" in error_of(lambda: ray_options(Suite.of(policy=("random",), videos="all", executor="ray")))
    ray_options(Suite.of(policy=("random",), **kept))


def test_remedy_the_expert_is_declared_without_training():
    said = error_of(lambda: parse_suite("s", "policy: [{policy: expert, train: ABC}]", "s.yaml"))
    (alone,) = re.findall(r"Write '(\w+)' alone", said)
    assert parse_suite("s", f"policy: [{alone}]", "s.yaml").policy == ("expert",)


@pytest.mark.parametrize(("in_spec", "beside"), [(None, "chain"), ("subtask", None)])
def test_remedy_the_memory_reset_stands_in_one_place(in_spec, beside):
    spec = "untrained:cnn,size=tiny"
    assert "Remove one of them" in error_of(lambda: make_policy(f"{spec},memory_reset=subtask", "chain"))
    policy = make_policy(spec if in_spec is None else f"{spec},memory_reset={in_spec}", beside)
    assert policy.traits.memory.reset == (in_spec or beside)


def test_remedy_a_chunk_rule_of_more_actions_than_a_chunk_has():
    said = error_of(lambda: make_policy("untrained:cnn,chunk_length=4,chunk_rule=first:9"))
    (rule,) = re.findall(r"'(first:\d+)' or less", said)
    assert make_policy(f"untrained:cnn,chunk_length=4,chunk_rule={rule}").traits.chunk_rule == str(
        ChunkRule.parse(rule)
    )


def test_remedy_half_precision_on_a_cpu():
    said = error_of(lambda: make_policy("untrained:cnn,device=cpu,dtype=float16"))
    (setting,) = re.findall(r"dtype=\w+", said)
    assert make_policy(f"untrained:cnn,device=cpu,{setting}").traits.label


def test_remedy_adapters_without_a_frozen_backbone():
    said = error_of(lambda: TrainableParts(lora_enable=True, freeze_backbone=True))
    assert "Leave freeze_backbone out" in said
    assert TrainableParts(lora_enable=True).lora_enable


@pytest.mark.parametrize("kept", ["head=seed", "config"])
def test_remedy_one_head(kept, tmp_path):
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"act_head": {"type": "LSTMDecoder", "hidden_size": 32}}))
    said = error_of(lambda: make_policy(f"untrained:cnn,head=seed,config={config}"))
    assert "Remove one of them" in said
    spec = "untrained:cnn,head=seed,hidden_dim=32" if kept == "head=seed" else f"untrained:cnn,config={config}"
    assert make_policy(spec).traits.chunk_length


def test_remedy_the_size_of_pretrained_weights_is_left_out():
    said = error_of(lambda: make_policy("untrained:minilm-effnet,vlm=published,size=full"))
    assert "Remove size" in said
    assert make_policy("untrained:minilm-effnet,vlm=published").traits.label


@pytest.mark.parametrize("scene", ["D", "embedded"])
def test_remedy_the_scene_of_chains_in_training_is_named(scene):
    said = error_of(lambda: evaluation_world({"scene": "ABC"}, None, None))
    assert "--evaluate-scene" in said
    assert scene in said
    assert evaluation_world({"scene": "ABC"}, scene, None).scene == scene


def test_remedy_sentences_of_calvin_without_a_checkout(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    for name in ("CALVIN_ROOT", "CALVIN_ENV_ROOT"):
        monkeypatch.delenv(name, raising=False)
    said = error_of(lambda: load_instructions("calvin"))
    (ours,) = re.findall(r"--instructions (\w+)", said)
    assert load_instructions(ours).name == ours


def test_remedy_a_state_is_taken_from_the_initial_states():
    wrong = dict(chain_lists.initial_states()[0]) | {
        "red_block": "slider_left",
        "blue_block": "slider_left",
        "pink_block": "table",
    }
    said = error_of(lambda: chain_lists.initial_observation(wrong))
    assert "initial_states()" in said
    robot_obs, scene_obs = chain_lists.initial_observation(chain_lists.initial_states()[0])
    assert robot_obs.shape == (15,)
    assert scene_obs.shape == (24,)


def test_remedy_a_chain_is_taken_from_the_published_ones():
    env = ChainEnv(FakePlayTable(), embedded_instructions())
    said = error_of(lambda: env.reset(options={"chain": "the first"}))
    assert "chains.published()" in said
    _, info = env.reset(options={"chain": chain_lists.published()[0]})
    assert info["subtask"] == 0


def test_remedy_one_action_for_one_world():
    action = np.zeros((1, 7))
    said = error_of(lambda: require_finite_action(action, ActionConvention.REL_ACTIONS))
    assert "without a batch or chunk axis" in said
    assert require_finite_action(action[0], ActionConvention.REL_ACTIONS).shape == (7,)


def test_remedy_a_policy_returns_one_action_for_each_world(tmp_path):
    class Chunked(Idle):
        def act(self, observations, instructions, state, privileged=None):
            return Decision(np.zeros((1, 10, 7)), state)

    class Single(Chunked):
        def act(self, observations, instructions, state, privileged=None):
            return Decision(super().act(observations, instructions, state, privileged).actions[:, 0], state)

    settings = RunSettings("mine", scene="fake", chains=1, max_steps=2)
    broken = evaluate(WorkerSetup(settings, make_fake_world, lambda *_: Chunked()), tmp_path / "broken", chains=CHAINS)
    assert "Return one action for each world" in broken.records[0].error
    mended = evaluate(WorkerSetup(settings, make_fake_world, lambda *_: Single()), tmp_path / "mended", chains=CHAINS)
    assert mended.records[0].outcome == "timed_out"


def test_remedy_the_renderer_of_calvin_envs_own_simulator_is_left_out():
    said = error_of(lambda: require_upstream_renderer("opengl-look"))
    assert "Remove --renderer to use the default" in said
    assert require_upstream_renderer("bullet-tiny") == "bullet-tiny"  # what it is then, as the message says
    assert "bullet-tiny (its default)" in said


def test_remedy_a_report_of_folders_without_a_common_parent(run_two, tmp_path):
    said = error_of(lambda: report_folder(["/tmp", "/usr"]))
    assert "--out DIR" in said
    assert write_report([run_two.directory], tmp_path / "elsewhere").directory == tmp_path / "elsewhere"


def test_remedy_a_locked_folder_is_free_once_the_other_is_done(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    with locked_folder(folder):
        said = error_of(lambda: locked_folder(folder).__enter__(), Exception)
        assert "Wait until it is done, or choose another --out" in said
    with locked_folder(folder):
        pass


def test_remedy_a_file_in_the_way_of_a_folder(tmp_path):
    (tmp_path / "taken").write_text("")
    said = error_of(lambda: make_folder(tmp_path / "taken" / "run"), OSError)
    assert "Choose another --out" in said
    make_folder(tmp_path / "free" / "run")


def test_remedy_no_chain_in_common_until_the_rest_is_run(tmp_path):
    def setup(chains):
        return WorkerSetup(RunSettings("idle", scene="fake", chains=chains, max_steps=2), make_fake_world, make_idle)

    runs = [evaluate(setup(2), tmp_path / name, chains=CHAINS) for name in ("a", "b")]
    file = tmp_path / "b" / "chains.jsonl"
    file.write_text("")
    said = error_of(lambda: compare([runs[0], load_run(tmp_path / "b")]))
    assert "Run the rest first" in said
    evaluate(setup(2), tmp_path / "b", chains=CHAINS)
    assert compare(find_runs(tmp_path)).verdict


def make_idle(spec, memory_reset):
    return Idle()


@pytest.fixture
def run_two(tmp_path):
    settings = RunSettings("idle", scene="fake", chains=2, max_steps=2)
    return evaluate(WorkerSetup(settings, make_fake_world, make_idle), tmp_path / "run", chains=CHAINS)


def test_remedy_another_world_is_reset_to_the_state_of_one_that_cannot_be_copied():
    world = gymnasium.make("calvinbench/PlayTable-v0", cameras=())
    observation, _ = world.reset(seed=0)
    said = error_of(lambda: copy.deepcopy(world.unwrapped), TypeError)
    assert "Make another world, and reset it to this one's robot_obs and scene_obs" in said
    other = gymnasium.make("calvinbench/PlayTable-v0", cameras=())
    again, _ = other.reset(options={key: observation[key] for key in ("robot_obs", "scene_obs")})
    assert np.allclose(again["scene_obs"], observation["scene_obs"], atol=1e-3)
