import json

import pytest

from calvinbench.envs.names import UnknownNameError
from calvinbench.policies.heads.config import HeadConfig, head_preset
from calvinbench.policies.learned.trainable import TrainableParts
from calvinbench.policies.robovlms.config_blocks import config_from_blocks, read_config_file
from calvinbench.policies.robovlms.config_file import parse_blocks, without_comments
from calvinbench.policies.robovlms.config_keys import ConfigBlockError
from calvinbench.policies.training.optimization import OptimizationSettings

SEED_BLOCKS = """
{
    "act_head": {
        "type": "LSTMDecoder",
        "action_space": "continuous",
        "action_dim": 7,
        "hidden_size": 1024,
        "num_layers": 2,
        "dropout": 0.1,
        "window_size": 1,              // the VLM sees a single frame
        "with_history": true,          // the LSTM keeps the history
        "history_type": "post"         // "in" the LSTM
    }
}
{
    "window_size": 8,          // frames
    "fwd_pred_next_n": 10      // actions
}
{
    "act_head": {
        "window_size": 1,
        "with_history": true,
        "history_type": "post"
    }
}
{
    "train_setup": {
        "predict_action": true,
        "freeze_backbone": false,
        "train_vision": true,
        "train_text_embedding": true,
        "lora_enable": false,
        "learning_rate": 2e-5,
        "weight_decay": 0
    }
}
{
    "mixed_precision": true,
    "fp16": true,
    "bf16": false
}
{
    "batch_size": 8,
    "gradient_accumulation_steps": 4,
    "effective_batch_size": 32         // 8 * 4 = 32
}
"""
"""The blocks of the seed, as they stand there."""


def read(text, **options):
    return config_from_blocks(parse_blocks(text, "a test"), **options)


def test_the_seed_s_blocks_are_the_defaults():
    all_blocks, nothing = read(SEED_BLOCKS), read("{}")
    assert all_blocks.head == nothing.head == HeadConfig() == head_preset("seed")
    assert all_blocks.optimization == nothing.optimization == OptimizationSettings()
    assert all_blocks.memory == nothing.memory
    assert all_blocks.memory.span == "window:8"
    assert all_blocks.trainable == TrainableParts(train_vision=True, train_text_embedding=True)
    assert nothing.trainable == TrainableParts()
    assert all_blocks.backbone_settings.cameras == ("static", "gripper")
    assert all_blocks.backbone_settings.layout == "seed"
    assert all_blocks.idle == ()
    assert all_blocks.optimization.effective_batch_size == 32


@pytest.mark.parametrize("block", SEED_BLOCKS.strip().replace("}\n{", "}\n\n{").split("\n\n{"))
def test_each_block_of_the_seed_can_come_alone(tmp_path, block):
    (tmp_path / "block.json").write_text(block if block.startswith("{") else f"{{{block}")
    assert read_config_file(tmp_path / "block.json").head == HeadConfig()


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ('{"window_size": 16}', "memory.span", "window:16"),
        ('{"window_size": 16}', "optimization.window_size", 16),
        ('{"fwd_pred_next_n": 5}', "head.chunk_length", 5),
        ('{"act_head": {"hidden_size": 64, "num_layers": 3, "dropout": 0.2}}', "head.hidden_dim", 64),
        ('{"act_head": {"num_layers": 3}}', "head.num_layers", 3),
        ('{"act_head": {"dropout": 0.2}}', "head.dropout", 0.2),
        ('{"act_head": {"with_history": false}}', "head.type", "feedforward"),
        ('{"act_head": {"with_history": false}}', "memory.span", "none"),
        ('{"act_head": {"type": "FCDecoder"}}', "head.type", "feedforward"),
        ('{"act_head": {"type": "transformer"}, "window_size": 4}', "head.max_window", 4),
        ('{"act_head": {"action_space": "down_sample"}}', "backbone_settings.readout", "max-pooling"),
        ('{"use_hand_rgb": false}', "backbone_settings.cameras", ("static",)),
        ('{"image_size": 448}', "backbone_settings.image_size", 448),
        ('{"norm_action": true, "norm_min": -0.65, "norm_max": 0.65}', "pose_range.low", -0.65),
        ('{"norm_action": true, "norm_min": -0.65, "norm_max": 0.65}', "pose_range.high", 0.65),
        ('{"train_setup": {"freeze_backbone": true, "train_vision": true}}', "trainable.freeze_backbone", True),
        ('{"train_setup": {"train_vision": false}}', "trainable.train_vision", False),
        ('{"train_setup": {"train_text_embedding": false}}', "trainable.train_text_embedding", False),
        ('{"train_setup": {"lora_enable": true, "lora_r": 8}}', "trainable.lora_r", 8),
        ('{"train_setup": {"gradient_checkpointing": true}}', "trainable.gradient_checkpointing", True),
        ('{"train_setup": {"learning_rate": 1e-4}}', "optimization.learning_rate", 1e-4),
        ('{"learning_rate": 1e-4}', "optimization.learning_rate", 1e-4),
        ('{"weight_decay": 0.1, "optimizer": "adamw"}', "optimization.weight_decay", 0.1),
        ('{"mixed_precision": false}', "optimization.precision", "fp32"),
        ('{"bf16": true}', "optimization.precision", "bf16"),
        ('{"mixed_precision": true, "fp16": false, "bf16": true}', "optimization.precision", "bf16"),
        ('{"fp16": false, "bf16": false}', "optimization.precision", "fp32"),
        ('{"trainer": {"precision": "16-mixed"}}', "optimization.precision", "fp16"),
        ('{"trainer": {"precision": 32}}', "optimization.precision", "fp32"),
        ('{"batch_size": 2}', "optimization.effective_batch_size", 8),
        ('{"trainer": {"accumulate_grad_batches": 2}}', "optimization.gradient_accumulation_steps", 2),
        ('{"gradient_clip_val": 1.0}', "optimization.max_gradient_norm", 1.0),
        ('{"trainer": {"gradient_clip_val": 0.5}}', "optimization.max_gradient_norm", 0.5),
        ('{"gradient_clip_val": 0.0}', "optimization.max_gradient_norm", None),
        ('{"warmup_epochs": 0, "warmup_steps": 500}', "optimization.warmup_steps", 500),
        ('{"trainer": {"max_epochs": 2, "max_steps": -1}}', "optimization.max_steps", None),
        ('{"trainer": {"max_steps": 100}}', "optimization.max_steps", 100),
        ('{"scheduler": "half-cosine", "min_lr_scale": 0.01}', "optimization.min_learning_rate_scale", 0.01),
        ('{"scheduler": "cosine"}', "optimization.schedule", "cosine"),
        ('{"arm_gripper_loss_ratio": 0.05}', "optimization.gripper_loss_ratio", 0.05),
        ('{"train_dataset": {"rgb_pad": 6, "gripper_pad": 3}}', "optimization.static_shift", 6),
        ('{"train_dataset": {"rgb_pad": -1}}', "optimization.static_shift", 0),
        ('{"train_dataset": {"gripper_pad": -1}}', "optimization.gripper_shift", 0),
        ('{"train_dataset": {"traj_cons": false}}', "optimization.same_shift_in_window", False),
        ('{"train_dataset": {"skip_frames": 4}}', "optimization.window_stride", 4),
        ('{"model": "kosmos"}', "backbone", "kosmos2"),
        ('{"model": "qwen-vl"}', "backbone", "qwen-vl"),
        ('{"model": "hf:ORG/NAME"}', "backbone", "hf:ORG/NAME"),
    ],
)
def test_keys_act(text, path, value):
    found = read(text)
    for name in path.split("."):
        found = getattr(found, name)
    assert found == value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"act_head": {"action_space": "discrete"}}', "'act_head.action_space' .* tokens of the language model"),
        ('{"act_head": {"window_size": 8}}', "'act_head.window_size' to be 1, got 8: the VLM sees one frame a step"),
        ('{"act_head": {"history_type": "pre"}}', "'act_head.history_type' .* one frame a step"),
        ('{"act_head": {"history_type": "video"}}', "'act_head.history_type'"),
        ('{"act_head": {"type": "GPTDecoder"}}', "'act_head.type' .* GPT-2"),
        ('{"act_head": {"type": "DiscreteDecoder"}}', "'act_head.type'"),
        (
            '{"act_head": {"type": "FCDecoder", "with_history": true}}',
            "'act_head.with_history' .* sees one frame alone",
        ),
        ('{"act_head": {"action_dim": 8}}', "'act_head.action_dim' to be 7, got 8"),
        ('{"act_head": {"fwd_pred_next_n": 1}}', "'act_head.fwd_pred_next_n' to be 10, got 1: .* top-level"),
        ('{"act_head": {"action_space": "down_sample", "down_sample": "none"}}', "'act_head.down_sample'"),
        ('{"act_head": {"dropout": 0.1, "policy_rnn_dropout_p": 0.0}}', "one dropout of the head, got several"),
        ('{"train_setup": {"predict_action": false}}', "'train_setup.predict_action' to be true, got false"),
        ('{"train_setup": {"predict_forward": true}}', "no images are predicted"),
        ('{"train_setup": {"bits": 4}}', "'train_setup.bits' .* bitsandbytes"),
        ('{"train_setup": {"train_decoder_layers": 4}}', "'train_setup.train_decoder_layers'"),
        ('{"train_setup": {"learning_rate": 1e-4}, "learning_rate": 2e-5}', "one learning rate, got several"),
        ('{"use_state": true}', "encoder of the robot's state is not supported.* cannot be imported"),
        ('{"tcp_rel": true}', "base frame"),
        ('{"use_mu_law": true}', "mu-law"),
        ('{"use_vision_resampler": true}', "resampler"),
        ('{"fp16": true, "bf16": true}', "one precision, got fp16: true and bf16: true"),
        ('{"mixed_precision": false, "fp16": true}', "got false"),
        ('{"mixed_precision": true, "fp16": false}', "got neither"),
        ('{"bf16": true, "trainer": {"precision": "16"}}', "one precision, got several"),
        ('{"trainer": {"precision": "bf16-true"}}', "stay in 32 bits"),
        ('{"effective_batch_size": 16}', "8 x 4 = 32, got 16"),
        ('{"batch_size": 4, "gradient_accumulation_steps": 2, "effective_batch_size": 9}', "4 x 2 = 8, got 9"),
        ('{"gradient_accumulation_steps": 2, "trainer": {"accumulate_grad_batches": 4}}', "one gradient accumulation"),
        ('{"optimizer": "sgd"}', "'optimizer' .* AdamW"),
        ('{"optimizer": "adam", "weight_decay": 0.1}', "'optimizer'"),
        ('{"image_mean": [0.5, 0.5, 0.5]}', "expected a 'model' beside 'image_mean'"),
        ('{"model": "kosmos2", "image_mean": [0.5, 0.5, 0.5]}', "'image_mean' of the backbone 'kosmos2' itself"),
        ('{"model": "kosmos2", "image_std": [0.5, 0.5]}', "a list of 3 numbers"),
        ('{"norm_min": -0.65}', "no key 'norm_min' .* norm_action"),
        ('{"min_lr_scale": 0.01}', "no key 'min_lr_scale'"),
        ('{"warmup_ratio": 0.1}', "'warmup_ratio'"),
        ('{"log_root": "runs"}', "no key 'log_root' .* no effect"),
        ('{"trainer": {"strategy": "deepspeed_stage_2"}}', "no key 'trainer.strategy'"),
        ('{"window_size": "8"}', "'window_size' .* whole number"),
        ('{"window_size": 0}', "'window_size' .* at least 1"),
        ('{"use_hand_rgb": 1}', "'use_hand_rgb' .* true or false"),
        ('{"learning_rate": true}', "'learning_rate' .* number"),
        ('{"act_head": []}', "'act_head' to hold keys and values"),
        ('{"train_setup": {"lora_enable": true, "freeze_backbone": true}}', "expected lora_enable or freeze_backbone"),
    ],
)
def test_what_is_not_done_is_refused_with_its_key_and_the_reason(text, words):
    with pytest.raises(ValueError, match=words):
        read(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"widow_size": 8}', "Unknown key of a configuration 'widow_size'. Did you mean 'window_size'"),
        ('{"act_head": {"hiden_size": 8}}', "Unknown key of 'act_head' 'hiden_size'. Did you mean 'hidden_size'"),
        ('{"train_setup": {"train_vison": true}}', "Did you mean 'train_vision'"),
        ('{"act_head": {"type": "LSTMDecodr"}}', "Did you mean 'LSTMDecoder'"),
        ('{"model": "kosmos3"}', "Did you mean 'kosmos2'"),
    ],
)
@pytest.mark.parametrize("strict", [True, False])
def test_unknown_keys_are_guessed(text, words, strict):
    with pytest.raises(UnknownNameError, match=words):
        read(text, strict=strict)


def test_a_file_of_robovlms_has_its_head_its_layout_and_its_idle_keys():
    blocks = read(
        json.dumps(
            {
                "robovlm_name": "RoboKosMos",
                "model": "kosmos",
                "window_size": 16,
                "act_head": {"type": "LSTMDecoder", "hidden_size": 64, "down_sample": "none", "latent": 1},
                "train_setup": {"freeze_backbone": False, "train_vision": True, "precision": "bf16"},
                "trainer": {"precision": "16", "gradient_clip_val": 1.0, "strategy": "deepspeed_stage_2"},
                "optimizer": "adam",
                "image_mean": [0.1, 0.2, 0.3],
                "log_root": "runs/logs",
                "resume": None,
                "val_dataset": [{"type": "DiskCalvinDataset"}],
            }
        ),
        strict=False,
    )
    assert blocks.is_robovlms
    assert blocks.head == HeadConfig(hidden_dim=64, num_layers=4, dropout=0.0, decoder="mlp")
    assert blocks.backbone_settings.layout == "robovlms"
    assert blocks.trainable.train_vision is True
    assert blocks.trainable.train_text_embedding is False  # as RoboVLMs does with a key that is not there
    assert blocks.optimization.precision == "fp16"
    assert blocks.optimization.gradient_accumulation_steps == 1
    assert blocks.optimization.window_stride == 1  # a window from every frame on, as there
    assert (blocks.optimization.static_shift, blocks.optimization.gripper_shift) == (0, 0)  # no rgb_pad: no shift
    assert blocks.optimization.same_shift_in_window is True
    assert {key.key for key in blocks.idle} == {
        *("train_setup.precision", "trainer.strategy", "optimizer", "image_mean", "log_root", "val_dataset"),
    }
    assert all(key.reason for key in blocks.idle)


def test_a_head_of_robovlms_alone_has_its_preset():
    assert read('{"act_head": {"type": "LSTMDecoder", "down_sample": "none"}}').head.num_layers == 4
    assert read('{"act_head": {"type": "LSTMDecoder"}}').head.num_layers == 2


def test_a_policy_s_settings_are_made_of_it():
    blocks = read('{"model": "kosmos2", "window_size": 4}')
    config = blocks.policy_config()
    assert (config.backbone, config.memory.span, config.origin) == ("kosmos2", "window:4", "trained here")
    assert read("{}").policy_config("llava").backbone == "llava"
    with pytest.raises(ConfigBlockError, match="expected one backbone"):
        blocks.policy_config("llava")
    with pytest.raises(ConfigBlockError, match="expected a backbone"):
        read("{}").policy_config()


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ('{"a": 1} // all', '{"a": 1} '),
        ('{"url": "https://x.org/a"}', '{"url": "https://x.org/a"}'),
        ('{"a": "\\"//"} // b', '{"a": "\\"//"} '),
        ('{"a": "\\\\"} // b "', '{"a": "\\\\"} '),
        ("// only\n{}", "\n{}"),
    ],
)
def test_comments_end_lines_but_not_strings(text, plain):
    assert without_comments(text) == plain


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a": 1', "at line 1"),
        ('{"a": 1}\n{"b" 2}', "at line 2"),
        ("", "expected JSON"),
        ("[1]", "expected blocks"),
        ('{"window_size": 8} {"window_size": 9}', "one value of 'window_size' in a test, got 8 and 9"),
        ('{"window_size": 8, "window_size": 9}', "key 'window_size' once"),
    ],
)
def test_what_is_no_block_is_refused(text, words):
    with pytest.raises(ConfigBlockError, match=words):
        parse_blocks(text, "a test")


def test_a_file_is_laid_over_its_parents(tmp_path):
    (tmp_path / "base.json").write_text('{"window_size": 8, "act_head": {"hidden_size": 64, "dropout": 0.3}}')
    (tmp_path / "own.json").write_text('{"parent": "base.json", "window_size": 4, "act_head": {"hidden_size": 32}}')
    blocks = read_config_file(tmp_path / "own.json")
    assert (blocks.memory.span, blocks.head.hidden_dim, blocks.head.dropout) == ("window:4", 32, 0.3)
    (tmp_path / "base.json").write_text('{"parent": "own.json"}')
    with pytest.raises(ConfigBlockError, match=r"parents of .* that end"):
        read_config_file(tmp_path / "own.json")


def test_settings_of_training_are_checked():
    for wrong in ({"batch_size": 0}, {"learning_rate": 0.0}, {"weight_decay": -1.0}, {"max_gradient_norm": 0.0}):
        with pytest.raises(ValueError, match=f"expected .*{next(iter(wrong))}"):
            OptimizationSettings(**wrong)
    with pytest.raises(UnknownNameError, match="Did you mean 'fp16'"):
        OptimizationSettings(precision="fp1")


def test_numbers_of_adapters_without_adapters_are_refused_or_listed():
    train_setup = {"lora_enable": False, "lora_r": 8}
    with pytest.raises(ConfigBlockError, match=r"train_setup\.lora_r.*it needs lora_enable: true"):
        config_from_blocks({"train_setup": train_setup})
    listed = config_from_blocks({"train_setup": train_setup}, strict=False)
    assert [key.key for key in listed.idle] == ["train_setup.lora_r"]
    assert config_from_blocks({"train_setup": {"lora_enable": True, "lora_r": 8}}).trainable.lora_r == 8


def test_the_connector_has_a_key_of_its_own():
    assert config_from_blocks({"train_setup": {"train_connector": False}}).trainable.train_connector is False
