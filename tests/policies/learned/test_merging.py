"""Adapters that are merged into the weights beside them: the same actions, from a checkpoint without peft."""

import json

import pytest
import torch

from calvinbench.harness import cli
from calvinbench.policies.backbones.check import made_up_images
from calvinbench.policies.backbones.registry import BACKBONES, backbone_class
from calvinbench.policies.backbones.settings import BackboneSettings
from calvinbench.policies.heads.config import HeadConfig
from calvinbench.policies.learned.checkpoint import (
    CheckpointError,
    load_checkpoint,
    merge_checkpoint,
    save_checkpoint,
)
from calvinbench.policies.learned.policy_config import PolicyConfig
from calvinbench.policies.learned.trainable import TrainableParts, apply_trainable_parts, merge_adapters
from calvinbench.policies.learned.vlm_lstm import VLMLSTM
from support.model_step import model_step

SENTENCES = ["open the drawer", "push it"]
HEAD = HeadConfig(hidden_dim=16)
PARTS = TrainableParts(lora_enable=True, lora_r=2)


def adapted(name):
    """A small policy whose adapters do something."""
    torch.manual_seed(0)
    model = VLMLSTM(
        backbone_class(name).tiny(torch.Generator().manual_seed(0), BackboneSettings()), HeadConfig(hidden_dim=16)
    )
    apply_trainable_parts(model, PARTS)
    for key, parameter in model.named_parameters():
        if "lora_B" in key:
            torch.nn.init.normal_(parameter, std=0.1)
    return model.eval()


@pytest.mark.parametrize("name", [name for name in BACKBONES if name not in ("cnn", "minilm-effnet")])
@torch.inference_mode()
def test_a_merged_model_computes_what_the_adapted_one_does(name):
    model, images = adapted(name), made_up_images(2)
    before = model_step(model, images, SENTENCES).chunks
    merge_adapters(model)
    assert not [key for key, _ in model.named_parameters() if "lora" in key or "base_layer" in key]
    after = model_step(model, images, SENTENCES).chunks
    torch.testing.assert_close(after, before, atol=1e-5, rtol=1e-5)


def saved(folder):
    model = adapted("llava")
    return save_checkpoint(folder, model, PolicyConfig("llava", head=HEAD, trainable=PARTS), {"steps": 5})


@torch.inference_mode()
def test_the_command_writes_a_checkpoint_without_adapters(tmp_path, capsys):
    saved(tmp_path / "adapted")
    assert cli.main(["merge", str(tmp_path / "adapted"), "--out", str(tmp_path / "merged"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"checkpoint": str(tmp_path / "merged")}
    before, after = load_checkpoint(tmp_path / "adapted"), load_checkpoint(tmp_path / "merged")
    assert after.config.trainable.lora_enable is False
    assert after.notes == {"steps": 5, "merged_from": before.digest}
    images = made_up_images(2)
    torch.testing.assert_close(
        model_step(after.model, images, SENTENCES).chunks,
        model_step(before.model, images, SENTENCES).chunks,
        atol=1e-5,
        rtol=1e-5,
    )


def test_what_cannot_be_merged_is_refused(tmp_path):
    folder = saved(tmp_path / "adapted")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(ValueError, match="expected a new folder as --out"):
        merge_checkpoint(folder, tmp_path / "full")
    merge_checkpoint(folder, tmp_path / "merged")
    with pytest.raises(CheckpointError, match="got one without"):
        merge_checkpoint(tmp_path / "merged", tmp_path / "again")
    assert cli.main(["merge", str(folder)]) == 2


def test_a_shared_weight_is_never_changed():
    model = adapted("llava")
    adapter = next(module for _, module in model.named_modules() if hasattr(module, "get_base_layer"))
    model.register_parameter("shared", adapter.get_base_layer().weight)
    with pytest.raises(ValueError, match="shared with another layer"):
        merge_adapters(model)


def test_remedy_shards_are_joined_without_a_folder_for_a_checkpoint(tmp_path, capsys):
    words = ["run", "--policy", "random", "--chains", "2", "--max-steps", "2", "--out", str(tmp_path / "runs")]
    for shard in ("1/2", "2/2"):
        assert cli.main([*words, "--shard", shard]) == 0
    assert cli.main(["merge", str(tmp_path / "runs"), "--out", str(tmp_path / "x")]) == 2
    assert "Remove --out to join the shards of runs" in capsys.readouterr().err
    assert cli.main(["merge", str(tmp_path / "runs")]) == 0
    assert "2 of 2 chains of 2 shards" in capsys.readouterr().out


def test_remedy_a_merged_checkpoint_needs_a_folder(tmp_path, capsys):
    folder = saved(tmp_path / "adapted")
    assert cli.main(["merge", str(folder)]) == 2
    assert "expected --out DIR" in capsys.readouterr().err
    assert cli.main(["merge", str(folder), "--out", str(tmp_path / "merged")]) == 0
