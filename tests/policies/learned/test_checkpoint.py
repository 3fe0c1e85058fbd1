"""A learned policy on the disk: exact, readable, and read strictly."""

import importlib
import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from calvinbench.envs.names import UnknownNameError
from calvinbench.policies.backbones.check import made_up_images
from calvinbench.policies.backbones.prompts.prompt import Layout
from calvinbench.policies.backbones.registry import BACKBONES, BackboneNameError, backbone_class
from calvinbench.policies.backbones.settings import BackboneSettings
from calvinbench.policies.heads.config import HeadConfig
from calvinbench.policies.learned.checkpoint import CheckpointError, digest_of, load_checkpoint, save_checkpoint
from calvinbench.policies.learned.policy_config import PolicyConfig
from calvinbench.policies.learned.pose_range import PoseRange
from calvinbench.policies.learned.trainable import TrainableParts, apply_trainable_parts
from calvinbench.policies.learned.vlm_lstm import VLMLSTM
from calvinbench.policies.policy import Memory
from calvinbench.policies.registry import make_policy
from support.model_step import model_step

SENTENCES = ["open the drawer", "push it"]


def trained_model(name, settings, head):
    torch.manual_seed(0)
    model = VLMLSTM(backbone_class(name).tiny(torch.Generator().manual_seed(0), settings), head).eval()
    with torch.no_grad():
        model.lrn.embedding.normal_()
    return model


def saved(folder, name="kosmos2", **changes):
    settings = BackboneSettings(layout=Layout.SEED, cameras=("static",))
    config = PolicyConfig(
        name, settings, head=HeadConfig(hidden_dim=16, chunk_length=3), origin="trained here", **changes
    )
    model = trained_model(name, settings, config.head)
    return save_checkpoint(folder, model, config, {"steps": 5}), model, config


@pytest.mark.parametrize("name", list(BACKBONES))
@torch.inference_mode()
def test_what_was_saved_is_read_back_exactly(name, tmp_path):
    folder, model, config = saved(
        tmp_path, name, memory=Memory("window:4", "chain"), chunk_rule="first:2", pose_range=PoseRange(-0.65, 0.65)
    )
    again = load_checkpoint(folder)
    assert again.config == config
    assert again.notes == {"steps": 5}
    assert len(again.digest) == 64
    pictures = made_up_images(2)
    torch.testing.assert_close(
        model_step(again.model, pictures, SENTENCES).chunks,
        model_step(model, pictures, SENTENCES).chunks,
        rtol=0,
        atol=0,
    )


@torch.inference_mode()
def test_adapters_are_saved_and_made_again(tmp_path):
    parts = TrainableParts(lora_enable=True, lora_r=2)
    config = PolicyConfig("llava", head=HeadConfig(hidden_dim=16), trainable=parts)
    model = trained_model("llava", config.backbone_settings, config.head)
    apply_trainable_parts(model, parts)
    for key, parameter in model.named_parameters():
        if "lora_B" in key:
            parameter.normal_(std=0.1)
    again = load_checkpoint(save_checkpoint(tmp_path, model.eval(), config)).model
    pictures = made_up_images(2)
    assert torch.equal(model_step(again, pictures, SENTENCES).chunks, model_step(model, pictures, SENTENCES).chunks)


def test_the_settings_can_be_read_by_people(tmp_path):
    folder, _, config = saved(tmp_path)
    content = json.loads((folder / "policy.json").read_text())
    assert content["schema_version"] == 1
    assert content["policy"]["backbone"] == "kosmos2"
    assert content["policy"]["backbone_settings"] == {
        "layout": "seed",
        "cameras": ["static"],
        "readout": "lrn",
        "image_size": None,
    }
    assert content["backbone_config"]["latent_query_num"] == 16
    assert (folder / "model.safetensors").stat().st_mode == (folder / "policy.json").stat().st_mode
    assert sorted(path.name for path in folder.iterdir()) == ["model.safetensors", "policy.json", "tokenizer"]
    assert PolicyConfig.from_json(content["policy"]) == config


def test_a_folder_without_a_checkpoint_says_what_is_wanted(tmp_path):
    with pytest.raises(CheckpointError, match=r"with policy\.json, model\.safetensors and tokenizer/"):
        load_checkpoint(tmp_path)


def edited(folder, change):
    file = folder / "policy.json"
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))
    return folder


def test_settings_that_are_unknown_newer_or_torn_are_told(tmp_path):
    folder, *_ = saved(tmp_path)
    with pytest.raises(UnknownNameError, match=r"Unknown setting of 'head' 'hiden_dim'\. Did you mean 'hidden_dim'"):
        load_checkpoint(edited(folder, lambda content: content["policy"]["head"].update(hiden_dim=3)))
    with pytest.raises(CheckpointError, match=r"expected schema version 1 or older .*, got 99"):
        load_checkpoint(edited(folder, lambda content: content.update(schema_version=99)))
    (folder / "policy.json").write_text('{"schema_version": 1,')
    with pytest.raises(CheckpointError, match="expected settings of a checkpoint in"):
        load_checkpoint(folder)


def test_weights_of_another_architecture_are_named_not_skipped(tmp_path):
    folder, *_ = saved(tmp_path)
    weights = load_file(folder / "model.safetensors")
    weights["head.strange"] = weights.pop("lrn.embedding")
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(
        CheckpointError, match=r"its weights have SHA-256 .*, and policy\.json says .*: a write was interrupted"
    ):
        load_checkpoint(folder)
    digest = digest_of(folder / "model.safetensors")
    edited(folder, lambda content: content.update(weights_digest=digest))
    with pytest.raises(CheckpointError, match=r"1 are missing \(lrn\.embedding\), 1 left over \(head\.strange\)"):
        load_checkpoint(folder)


def test_shapes_that_do_not_fit_are_named(tmp_path):
    folder, *_ = saved(tmp_path)
    with pytest.raises(CheckpointError, match=r"of another shape \(.*instead of"):
        load_checkpoint(edited(folder, lambda content: content["policy"]["head"].update(hidden_dim=8)))


def test_torn_weights_are_told(tmp_path):
    folder, *_ = saved(tmp_path)
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="expected a whole checkpoint in"):
        load_checkpoint(folder)


def test_a_write_that_fails_leaves_the_old_checkpoint_whole(tmp_path, monkeypatch):
    folder, model, config = saved(tmp_path)
    digest = load_checkpoint(folder).digest

    def full_disk(*_, **__):
        raise OSError("No space left on device")

    monkeypatch.setattr("calvinbench.policies.learned.checkpoint.save_file", full_disk)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(folder, model, config)
    assert load_checkpoint(folder).digest == digest


def test_a_tokenizer_of_an_earlier_checkpoint_leaves_nothing_behind_and_one_of_another_is_refused(tmp_path):
    folder, model, config = saved(tmp_path)
    (folder / "tokenizer" / "chat_template.jinja").write_text("{{ messages }}")
    with pytest.raises(CheckpointError, match=r"its tokenizer have SHA-256 .*a write was interrupted"):
        load_checkpoint(folder)
    save_checkpoint(folder, model, config)
    assert load_checkpoint(folder).model.backbone.tokenizer.chat_template is None


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.pop("backbone_config"),
        lambda content: content.update(backbone_config=None),
        lambda content: content["policy"].update(memory=[]),
        lambda content: content["policy"].update(backbone=5),
        lambda content: content["backbone_config"]["text_config"].update(layers="2"),
    ],
)
def test_damaged_settings_are_told_as_such(tmp_path, change):
    folder, *_ = saved(tmp_path)
    with pytest.raises((CheckpointError, UnknownNameError)):
        load_checkpoint(edited(folder, change))


OWN = """
from calvinbench.policies.backbones.kosmos2 import Kosmos2Backbone


class Brighter(Kosmos2Backbone):
    name = "brighter"

    def preprocess(self, pictures):
        return super().preprocess(pictures) + 1


class Nameless(Brighter):
    name = "kosmos2"  # that of another class
"""


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    (tmp_path / "my_backbones_of_test_checkpoint.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    return importlib.import_module("my_backbones_of_test_checkpoint")


@pytest.mark.parametrize("class_name", ["Brighter", "Nameless"])
@torch.inference_mode()
def test_a_backbone_of_ones_own_is_saved_and_read_by_its_import_string(class_name, own_module, tmp_path):
    kind = getattr(own_module, class_name)
    settings, head = BackboneSettings(), HeadConfig(hidden_dim=16)
    model = VLMLSTM(kind.tiny(torch.Generator().manual_seed(0), settings), head).eval()
    folder = save_checkpoint(tmp_path / "saved", model, PolicyConfig(kind.name, settings, head=head))
    again = load_checkpoint(folder)
    assert again.config.backbone == f"my_backbones_of_test_checkpoint:{class_name}"
    assert type(again.model.backbone) is kind
    frames = made_up_images(2)
    assert torch.equal(again.model.encode(frames, SENTENCES), model.encode(frames, SENTENCES))
    policy = make_policy(f"checkpoint:{folder},device=cpu")
    assert policy.traits.label.startswith(f"{kind.name} (")
    untrained = make_policy(f"untrained:{again.config.backbone},hidden_dim=16,device=cpu")
    assert type(untrained.model.backbone) is kind


def test_remedy_a_checkpoint_with_an_unknown_backbone_is_read_once_its_import_string_is_written(own_module, tmp_path):
    folder, *_ = saved(tmp_path / "saved")
    file = folder / "policy.json"
    content = json.loads(file.read_text())
    content["policy"]["backbone"] = "brighter"  # as checkpoints were saved before
    file.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=r"Unknown backbone 'brighter'.* under \"policy\", \"backbone\": \"pack"):
        load_checkpoint(folder)
    content["policy"]["backbone"] = "my_backbones_of_test_checkpoint:Brighter"
    file.write_text(json.dumps(content))
    assert type(load_checkpoint(folder).model.backbone) is own_module.Brighter
    content["policy"]["backbone"] = "my_backbones_of_nobody:Brighter"
    file.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=r"no module 'my_backbones_of_nobody'.* Its code is needed to read it"):
        load_checkpoint(folder)


def test_remedy_a_backbone_that_could_not_be_found_again_is_not_saved(own_module, tmp_path):
    class Local(own_module.Brighter):
        pass

    def save(kind):
        model = VLMLSTM(kind.tiny(torch.Generator()), HeadConfig(hidden_dim=16))
        return save_checkpoint(tmp_path / "saved", model, PolicyConfig("local", head=HeadConfig(hidden_dim=16)))

    with pytest.raises(BackboneNameError, match="Move the class Local to the top level of a module"):
        save(Local)
    assert not (tmp_path / "saved").exists()
    assert load_checkpoint(save(own_module.Brighter)).model.backbone.name == "brighter"  # it stands in a module


def test_what_an_import_string_names_must_be_a_backbone():
    with pytest.raises(BackboneNameError, match=r"expected 'json:JSONDecoder' to be a class of backbones"):
        backbone_class("json:JSONDecoder")
