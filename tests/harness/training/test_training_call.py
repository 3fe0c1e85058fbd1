"""What `train` is told acts, or is refused in words."""

import json
from dataclasses import fields

import pytest

from calvinbench.envs.names import UnknownNameError
from calvinbench.harness.training.call import KEYS, TrainingCallError, make_call, read_configuration
from calvinbench.harness.verbs.train import Train
from calvinbench.policies.learned.trainable import TrainableParts
from calvinbench.policies.training.optimization import OptimizationSettings

BASE = {"policy": "untrained:cnn", "data": "data", "out": "out"}


def call(policy="untrained:cnn", **said):
    return make_call(BASE | {"policy": policy} | said)


def test_every_key_is_a_flag_and_the_other_way_round():
    assert {field.name for field in fields(Train)} - {"configuration", "smoke", "json"} == set(KEYS)
    assert len(KEYS) == len(set(KEYS))


def test_every_key_reaches_the_settings():
    said = {
        "learning_rate": 1e-3,
        "backbone_learning_rate": 1e-4,
        "weight_decay": 0.1,
        "precision": "bf16",
        "batch_size": 3,
        "gradient_accumulation_steps": 5,
        "warmup_epochs": 0.5,
        "warmup_steps": 7,
        "schedule": "cosine",
        "min_learning_rate_scale": 0.2,
        "max_gradient_norm": 2.0,
        "max_epochs": 9,
        "max_steps": 11,
        "gripper_loss_ratio": 0.3,
        "gripper_change_weight": 4.0,
        "window_size": 6,
        "window_stride": 2,
        "static_shift": 1,
        "gripper_shift": 2,
        "same_shift_in_window": True,
        "num_workers": 2,
        "seed": 13,
    }
    assert set(said) == set(OptimizationSettings.__slots__)
    made = call(**said).settings
    assert made.optimization == OptimizationSettings(**said)
    parts = {
        "train_vision": True,
        "train_connector": True,
        "train_text_embedding": True,
        "lora_enable": True,
        "lora_r": 3,
        "lora_alpha": 4,
        "lora_dropout": 0.2,
        "lora_bias": "all",
        "gradient_checkpointing": True,
    }
    assert call(**parts).settings.trainable == TrainableParts(**parts)
    assert call(freeze_backbone=True).settings.trainable == TrainableParts(freeze_backbone=True)
    others = {"tasks": ["open_drawer"], "paraphrases": False, "log_every": 2, "save_every": 3, "validate_every": 4}
    made = call(**others, validation_windows=5).settings
    assert (made.tasks, made.paraphrases) == (("open_drawer",), False)
    assert (made.log_every, made.save_every, made.validate_every, made.validation_windows) == (2, 3, 4, 5)
    made = call(save_every=10, evaluate_every=20, evaluate_chains=6, evaluate_worlds=2, device="cpu")
    assert (made.evaluate_every, made.evaluate_chains, made.evaluate_worlds, made.device) == (20, 6, 2, "cpu")
    made = call(save_every=10, evaluate_every=20, evaluate_scene="D", calvin_env="checkout")
    assert (made.evaluate_scene, made.calvin_env) == ("D", "checkout")


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"min_learning_rate_scale": 0.1}, "the schedule is constant"),
        ({"lora_r": 4}, "lora_enable is false"),
        ({"lora_alpha": 4}, "lora_enable is false"),
        ({"lora_dropout": 0.1}, "lora_enable is false"),
        ({"lora_bias": "all"}, "lora_enable is false"),
        ({"validation_windows": 4, "validate_every": 0}, "validate_every is 0"),
        ({"evaluate_chains": 4}, "evaluate_every is 0"),
        ({"evaluate_worlds": 2}, "evaluate_every is 0"),
        ({"evaluate_scene": "D"}, "evaluate_every is 0"),
        ({"calvin_env": "checkout"}, "evaluate_every is 0"),
        ({"backbone_learning_rate": 1e-5, "freeze_backbone": True}, "freeze_backbone is true"),
        ({"same_shift_in_window": True, "static_shift": 0, "gripper_shift": 0}, "images are not shifted"),
        ({"gripper_change_weight": 2, "gripper_loss_ratio": 0}, "gripper_loss_ratio is 0"),
        ({"same_shift_in_window": True, "window_size": 1}, "a window has one frame"),
        ({"train_vision": False, "freeze_backbone": True}, "freeze_backbone is true"),
        ({"train_connector": False, "lora_enable": True}, "lora_enable is true"),
        ({"train_vision": True}, "the whole VLM is trained"),
        ({"train_text_embedding": True, "freeze_backbone": False}, "the whole VLM is trained"),
    ],
)
def test_an_idle_key_is_refused(said, reason):
    (key, *_) = said
    with pytest.raises(TrainingCallError, match=f"{key}=.* has no effect because {reason}"):
        call(**said)


def test_a_flag_that_undoes_what_the_configuration_says_of_a_part_acts(tmp_path):
    flags = BASE | {"train_vision": True}
    assert make_call(flags, {"train_vision": False}).settings.trainable.train_vision is True
    file = tmp_path / "blocks.json"
    file.write_text(json.dumps({"train_setup": {"train_vision": False}}))
    made = call(f"untrained:cnn,config={file}", train_vision=True)
    assert made.settings.trainable.train_vision is True
    with pytest.raises(TrainingCallError, match="train_vision=True has no effect because "):
        make_call(flags, {"train_vision": True})


def test_the_vlms_rate_acts_where_a_part_of_it_is_trained():
    said = {"freeze_backbone": True, "train_vision": True, "backbone_learning_rate": 1e-5}
    assert call(**said).settings.optimization.backbone_learning_rate == 1e-5


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"batch_size": 2.5}, "expected a whole number as 'batch_size', got 2.5"),
        ({"batch_size": True}, "expected a whole number as 'batch_size', got True"),
        ({"max_steps": "10"}, "expected a whole number or nothing as 'max_steps', got '10'"),
        ({"log_every": "2"}, "expected a whole number as 'log_every', got '2'"),
        ({"learning_rate": "fast"}, "expected a number as 'learning_rate', got 'fast'"),
        ({"learning_rate": None}, "expected a number as 'learning_rate', got None"),
        ({"max_gradient_norm": True}, "expected a number or nothing as 'max_gradient_norm', got True"),
        ({"paraphrases": "false"}, "expected true or false as 'paraphrases', got 'false'"),
        ({"same_shift_in_window": 1}, "expected true or false as 'same_shift_in_window', got 1"),
        ({"train_vision": "yes"}, "expected true or false or nothing as 'train_vision', got 'yes'"),
        ({"precision": 16}, "expected text as 'precision', got 16"),
        ({"tasks": "open_drawer"}, "expected a list of names as 'tasks', got 'open_drawer'"),
        ({"tasks": None}, "expected a list of names as 'tasks', got None"),
        ({"effective_batch_size": "128"}, "expected a whole number or nothing as 'effective_batch_size', got '128'"),
        ({"evaluate_every": 7}, "expected evaluate_every as a multiple of save_every, 500, or 0, got 7"),
        ({"window_stride": 0}, "expected window_stride of at least 1, got 0. Leave it out for the default"),
        ({"batch_size": 0}, "expected batch_size of at least 1, got 0"),
        ({"save_every": 0}, "expected save_every of at least 1, got 0"),
        ({"out": None}, "expected --out, or 'out' in a configuration, got none"),
        ({"policy": "untrained:cnn,device=cuda"}, "expected no device in the policy's spec, got 'cuda'"),
    ],
)
def test_a_wrong_kind_or_number_is_refused(said, words):
    with pytest.raises(ValueError) as raised:  # noqa: PT011  several kinds of it
        call(**said)
    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"precision": "bf17"}, "bf16"),
        ({"schedule": "cosin"}, "cosine"),
        ({"policy": "untraind:cnn"}, "untrained"),
        ({"policy": "expert"}, "untrained"),
        ({"save_every": 10, "evaluate_every": 10, "evaluate_scene": "E"}, "A, B, C, D, embedded"),
    ],
)
def test_a_wrong_name_is_refused_with_the_right_one(said, words):
    with pytest.raises(UnknownNameError, match=words):
        call(**said)


def test_yaml_reads_numbers_as_text_and_they_are_numbers():
    made = call(learning_rate="1e-4", weight_decay=1, max_gradient_norm=None).settings.optimization
    assert (made.learning_rate, made.weight_decay, made.max_gradient_norm) == (1e-4, 1.0, None)


def test_the_seeds_blocks_say_how_to_train_and_flags_take_precedence(tmp_path):
    blocks = {
        "act_head": {"type": "LSTMDecoder", "hidden_size": 32, "num_layers": 2},
        "window_size": 4,
        "fwd_pred_next_n": 5,
        "train_setup": {"learning_rate": 3e-5, "weight_decay": 0.2, "freeze_backbone": True, "train_vision": True},
        "mixed_precision": True,
        "bf16": True,
        "fp16": False,
        "batch_size": 3,
        "gradient_accumulation_steps": 2,
        "arm_gripper_loss_ratio": 0.05,
    }
    file = tmp_path / "blocks.json"
    file.write_text(json.dumps(blocks))
    made = call(f"untrained:cnn,config={file}", batch_size=6).settings
    assert made.optimization.learning_rate == 3e-5
    assert made.optimization.weight_decay == 0.2
    assert (made.optimization.window_size, made.optimization.precision) == (4, "bf16")
    assert (made.optimization.batch_size, made.optimization.gradient_accumulation_steps) == (6, 2)
    assert made.optimization.gripper_loss_ratio == 0.05
    assert made.trainable == TrainableParts(freeze_backbone=True, train_vision=True)


def test_an_unknown_key_of_a_configuration_is_refused_with_the_right_one(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("policy: untrained:cnn\nlearnig_rate: 1e-3\n")
    with pytest.raises(UnknownNameError, match="learning_rate"):
        read_configuration(str(file))
    file.write_text("- a\n- list\n")
    with pytest.raises(TrainingCallError, match=r"expected keys and values in .*mine.yaml"):
        read_configuration(str(file))
    file.write_text("policy: [\n")
    with pytest.raises(TrainingCallError, match="expected YAML in"):
        read_configuration(str(file))
    with pytest.raises(TrainingCallError, match=r"expected a configuration at 'nowhere\.yaml'"):
        read_configuration("nowhere.yaml")
