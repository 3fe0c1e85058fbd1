import json
import re
import shlex
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from calvinbench.policies.backbones.images.preprocessing import CameraImages
from calvinbench.policies.learned.checkpoint import digest_of, load_checkpoint, save_checkpoint
from calvinbench.policies.registry import make_policy
from calvinbench.policies.robovlms.checkpoint import (
    load_planned,
    plan_as_json,
    save_imported,
)
from calvinbench.policies.robovlms.plan import plan_import
from calvinbench.policies.robovlms.weights import RoboVLMsError, plain_name, read_weights
from calvinbench.policies.spec import PolicySpecError
from support.robovlms_files import write_files

SENTENCE = "open the drawer"


@pytest.fixture(scope="module")
def kosmos2(tmp_path_factory):
    return write_files(tmp_path_factory.mktemp("kosmos2"), "kosmos2")


def pictures(batch_size=2):
    generator = np.random.default_rng(0)
    static = generator.integers(0, 256, (batch_size, 40, 40, 3), dtype=np.uint8)
    gripper = generator.integers(0, 256, (batch_size, 30, 30, 3), dtype=np.uint8)
    return CameraImages(torch.from_numpy(static), torch.from_numpy(gripper))


@pytest.mark.parametrize("backbone", ["kosmos2", "paligemma", "moondream", "uform"])
def test_every_weight_comes_back_under_its_own_name(tmp_path, backbone):
    files = write_files(tmp_path, backbone)
    plan = plan_import(files.file, files.config, files.vlm)
    assert plan.fits
    loaded, expected = load_planned(plan).state_dict(), files.model.state_dict()
    assert loaded.keys() == expected.keys()
    for name, tensor in expected.items():
        if name == "lrn.embedding" and backbone == "uform":
            assert not loaded[name].any()
        else:
            assert torch.allclose(loaded[name], tensor, rtol=1e-6, atol=0), name
    with torch.no_grad():
        ours, theirs = (model.encode(pictures(), [SENTENCE] * 2) for model in (load_planned(plan), files.model))
    assert torch.allclose(ours, theirs, atol=1e-5)
    dropped = {row.theirs: row.note for row in plan.rows if not row.ours}
    assert any("lm_head" in name for name in dropped)
    assert all(dropped.values())


def test_paligemma_agrees_with_embeddings_put_together_as_robovlms_does(tmp_path):
    """Its steps over transformers' modules: images divided by sqrt(width), then all multiplied by the decoder."""
    files = write_files(tmp_path, "paligemma")
    source = files.model.backbone
    model, tokenizer = source.model, source.tokenizer
    text = tokenizer.encode(f"{SENTENCE}\n", add_special_tokens=False)
    ids = torch.tensor([[tokenizer.eos_token_id, *text]])
    scale = model.config.text_config.hidden_size**0.5
    seen = pictures(1)
    table = files.weights["model.backbone.language_model.model.embed_tokens.weight"]
    embedded = table[ids]  # (1, L, width), unscaled
    with torch.no_grad():
        pixels = [source.preprocess(seen.of(camera)) for camera in ("gripper", "static")]
        towers = [model.vision_tower(each).last_hidden_state for each in pixels]
        features = [model.multi_modal_projector(each) / scale for each in towers]

    def theirs(token):
        parts = [embedded[:, :1], *features, embedded[:, 1:-1], token[None, None], embedded[:, -1:]]
        # transformers 4 scaled whatever embeddings Gemma was given, and was causal; version 5 must be told both.
        sequence = torch.cat(parts, dim=1) * scale
        length = sequence.shape[1]
        causal = torch.ones(1, 1, length, length, dtype=torch.bool).tril()
        return model.language_model(inputs_embeds=sequence, attention_mask=causal).last_hidden_state[:, -2]

    token = files.weights["model.action_token"].clone().requires_grad_()
    expected = theirs(token)
    imported = load_planned(plan_import(files.file, files.config, files.vlm))
    ours = imported.encode(seen, [SENTENCE])
    assert (ours - expected).abs().max() < 1e-5
    assert (ours - theirs(token / scale)).abs().max() > 1e-2  # as if [LRN] were not scaled
    # It is trained on as there, too: the same parameter, and the same gradient.
    assert torch.equal(imported.lrn.embedding, token)
    expected[:, :7].sum().backward()
    ours[:, :7].sum().backward()
    assert token.grad.norm() > 0.1
    torch.testing.assert_close(imported.lrn.embedding.grad, token.grad, atol=1e-5 * float(token.grad.norm()), rtol=1e-4)


def test_a_paligemma_imported_before_the_scale_stood_outside_of_the_parameter_gives_the_same(tmp_path):
    files = write_files(tmp_path, "paligemma")
    plan = plan_import(files.file, files.config, files.vlm)
    new = load_planned(plan)
    old = load_planned(plan)
    old.lrn.embedding.data *= old.backbone.width**0.5  # as they were imported
    settings = replace(plan.config.backbone_settings, scale_lrn=False)
    folder = save_checkpoint(tmp_path / "old", old, replace(plan.config, backbone_settings=settings))
    assert "scale_lrn" not in (folder / "policy.json").read_text()  # as their files were
    read = load_checkpoint(folder)
    assert not read.config.backbone_settings.scale_lrn
    again = load_checkpoint(save_imported(plan, tmp_path / "new"))
    assert again.config.backbone_settings.scale_lrn
    with torch.no_grad():
        expected = new.encode(pictures(), [SENTENCE] * 2)
        for model in (read.model, again.model):
            torch.testing.assert_close(model.encode(pictures(), [SENTENCE] * 2), expected, atol=1e-5, rtol=0)


def test_settings_are_those_of_the_configuration(kosmos2):
    policy = make_policy(kosmos2.spec)
    config = policy.config
    assert config.memory.span == "window:4"
    assert config.memory.reset == "subtask"
    assert config.chunk_rule == "first"
    assert (config.pose_range.low, config.pose_range.high) == (-0.65, 0.65)
    assert config.backbone_settings.layout == "robovlms"
    assert config.backbone_settings.cameras == ("static", "gripper")
    assert (config.head.num_layers, config.head.decoder, config.head.hidden_dim) == (4, "mlp", 16)
    assert policy.traits.weights_digest == digest_of(kosmos2.file)
    other = make_policy(f"{kosmos2.spec},memory_span=unbounded,memory_reset=chain,chunk_rule=first:2")
    assert other.traits.memory.span == "unbounded"
    assert other.traits.chunk_rule == "first:2"


def test_an_import_is_a_checkpoint_that_says_where_it_came_from(kosmos2, tmp_path):
    plan = plan_import(kosmos2.file, kosmos2.config, kosmos2.vlm)
    checkpoint = load_checkpoint(save_imported(plan, tmp_path / "imported"))
    origin = checkpoint.notes["imported_from"]
    assert origin["file"] == "tiny.pt"
    assert origin["sha256"] == digest_of(kosmos2.file)
    assert origin["config"]["robovlm_name"] == "RoboKosMos"
    assert list(origin["dropped_weights"]) == ["backbone.text_model.lm_head.weight"]
    assert "could not be read" in origin["unchecked"]
    with torch.no_grad():
        ours, theirs = (model.encode(pictures(), [SENTENCE] * 2) for model in (checkpoint.model, kosmos2.model))
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize(
    "prefix",
    ["", "model.", "module.", "module.model.", "module.module.model.", "model.module.", "_forward_module.model."],
)
def test_prefixes_of_trainers_mean_nothing(prefix):
    assert plain_name(f"{prefix}backbone.text_model.model.x") == "backbone.text_model.model.x"


def test_weights_of_older_trainers_and_files_are_read(kosmos2, tmp_path):
    file = tmp_path / "old.pt"
    weights = {f"module.{name.removeprefix('model.')}": tensor for name, tensor in kosmos2.weights.items()}
    torch.save({"model_state_dict": weights}, file, _use_new_zipfile_serialization=False)
    plan = plan_import(file, kosmos2.config, kosmos2.vlm)
    assert plan.fits
    twice = {**kosmos2.weights, "action_token": torch.zeros(3)}
    torch.save({"state_dict": twice}, file)
    with pytest.raises(RoboVLMsError, match="got 'action_token' under two prefixes"):
        read_weights(file)


JOINS = """
import sys
from pathlib import Path
import torch

folder, out = map(Path, sys.argv[1:])
weights = torch.load(folder / "checkpoint" / "mp_rank_00_model_states.pt")["module"]
out.mkdir()
for number, names in enumerate((list(weights)[::2], list(weights)[1::2]), 1):
    torch.save({name: weights[name] for name in names}, out / f"pytorch_model-0000{number}-of-00002.bin")
"""
"""What DeepSpeed's zero_to_fp32.py does, by its two arguments, with a checkpoint of one process."""


def deepspeed_folder(tmp_path, weights):
    folder = tmp_path / "epoch=4.ckpt"
    (folder / "checkpoint").mkdir(parents=True)
    (folder / "latest").write_text("checkpoint")
    named = {f"_forward_module.{name}": tensor for name, tensor in weights.items()}
    torch.save({"module": named}, folder / "checkpoint" / "mp_rank_00_model_states.pt")
    (folder / "zero_to_fp32.py").write_text(JOINS)
    return folder


def test_remedy_a_folder_of_deepspeed_is_joined_by_the_command_that_is_named(kosmos2, tmp_path):
    folder = deepspeed_folder(tmp_path, kosmos2.weights)
    with pytest.raises(RoboVLMsError, match="a folder that DeepSpeed left") as raised:
        plan_import(folder, kosmos2.config, kosmos2.vlm)
    command, joined = re.search(r"trained: (python .*), and name (\S+) instead", str(raised.value)).groups()
    subprocess.run([sys.executable, *shlex.split(command)[1:]], check=True)
    plan = plan_import(shlex.split(joined)[0], kosmos2.config, kosmos2.vlm)
    assert plan.fits
    checkpoint = load_checkpoint(save_imported(plan, tmp_path / "imported"))
    assert len(checkpoint.notes["imported_from"]["sha256"]) == 64
    with torch.no_grad():
        ours, theirs = (model.encode(pictures(), [SENTENCE] * 2) for model in (checkpoint.model, kosmos2.model))
    assert torch.equal(ours, theirs)
    (folder / "zero_to_fp32.py").unlink()
    with pytest.raises(RoboVLMsError, match=r"python -m deepspeed.utils.zero_to_fp32 .* pip install deepspeed"):
        read_weights(folder)


def test_weights_alone_are_read_and_a_folder_without_weights_is_refused(kosmos2, tmp_path):
    torch.save(kosmos2.weights, tmp_path / "alone.bin")
    save_file({name: tensor.clone() for name, tensor in kosmos2.weights.items()}, tmp_path / "model.safetensors")
    expected = read_weights(kosmos2.file)
    for place in (tmp_path / "alone.bin", tmp_path):
        found = read_weights(place)
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    with pytest.raises(RoboVLMsError, match=r"got the folder '.*vlm' without weights in it"):
        read_weights(kosmos2.vlm)


class Payload:
    def __reduce__(self):
        return (print, ("run!",))


def test_files_that_need_more_than_tensors_are_refused_and_nothing_is_run(tmp_path, capsys):
    file = tmp_path / "evil.pt"
    torch.save({"state_dict": {}, "hyper_parameters": Payload()}, file)
    with pytest.raises(RoboVLMsError, match=r"it asks for .*print"):
        read_weights(file)
    assert "run!" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"weights": {}}, "expected weights under state_dict or model_state_dict .* got keys weights"),
        ([1, 2], "got <class 'list'>"),
        ({"state_dict": {"a": 1}}, "expected a tensor as 'a'"),
    ],
)
def test_files_without_weights_are_refused(tmp_path, content, words):
    torch.save(content, tmp_path / "file.pt")
    with pytest.raises(RoboVLMsError, match=words):
        read_weights(tmp_path / "file.pt")


def test_damaged_and_absent_files_are_refused(kosmos2, tmp_path):
    whole = kosmos2.file.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"not a checkpoint", b"PK\x03\x04 neither"):
        (tmp_path / "file.pt").write_bytes(content)
        with pytest.raises(RoboVLMsError, match=r"in '.*file\.pt'"):
            read_weights(tmp_path / "file.pt")
    with pytest.raises(RoboVLMsError, match="there is no such file"):
        read_weights(tmp_path / "none.pt")


def test_missing_left_over_and_misshapen_weights_are_named(kosmos2, tmp_path):
    weights = dict(kosmos2.weights)
    del weights["model.act_head.rnn.weight_hh_l3"]
    weights["model.vision_resampler.latents"] = torch.zeros(2, 2)
    weights["model.action_token"] = torch.zeros(7)
    torch.save({"state_dict": weights}, tmp_path / "file.pt")
    plan = plan_import(tmp_path / "file.pt", kosmos2.config, kosmos2.vlm)
    assert not plan.fits
    assert plan.missing == ("head.lstm.weight_hh_l3",)
    assert plan.left == ("vision_resampler.latents",)
    assert plan.misshapen == ("lrn.embedding (7,) instead of (128,)",)
    with pytest.raises(RoboVLMsError, match=r"1 are missing \(head.lstm.weight_hh_l3\), 1 are left over"):
        load_planned(plan)
    assert json.dumps(plan_as_json(plan))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": "llava"}, "got one of llava: it is LLaVA on MPT-7B there"),
        ({"model": "qwen"}, "got one of qwen-vl: it is the first Qwen-VL"),
        ({"model": "flamingo"}, "got one of flamingo: it is on MPT-1B"),
        ({"use_state": True}, "not supported, so that a checkpoint with one cannot be imported"),
        ({"use_vision_resampler": True}, "RoboVLMs puts a perceiver resampler"),
        ({"image_size": 224}, "expected image_size 112"),
        ({"window_size": None}, "has no window_size"),
        ({"act_head": {"type": "LSTMDecoder", "action_space": "down_sample", "latent": 1}}, "'continuous'"),
        ({"act_head": {"type": "FCDecoder", "latent": 1}}, "only that head of RoboVLMs"),
        ({"train_setup": {"lora_enable": True}}, "cannot save adapters"),
    ],
)
def test_what_is_not_made_here_is_refused_with_the_reason(kosmos2, tmp_path, changes, words):
    written = {**json.loads(kosmos2.config.read_text()), **changes}
    (tmp_path / "config.json").write_text(json.dumps(written))
    with pytest.raises(ValueError, match=words):
        plan_import(kosmos2.file, tmp_path / "config.json", kosmos2.vlm)


def test_the_vlm_s_folder_must_be_named_where_the_configuration_s_is_not_there(kosmos2, tmp_path):
    with pytest.raises(RoboVLMsError, match=r"got '\.vlms/of-the-user' .* Name it: vlm=DIR"):
        plan_import(kosmos2.file, kosmos2.config)
    with pytest.raises(RoboVLMsError, match="got 'nowhere'"):
        plan_import(kosmos2.file, kosmos2.config, "nowhere")
    with pytest.raises(RoboVLMsError, match=r"expected config\.json in the VLM's folder"):
        plan_import(kosmos2.file, kosmos2.config, tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "paligemma"}')
    with pytest.raises(RoboVLMsError, match="expected"):
        plan_import(kosmos2.file, kosmos2.config, tmp_path)


def test_the_spec_needs_a_file_and_finds_its_configuration_by_name(kosmos2, tmp_path):
    with pytest.raises(PolicySpecError, match=r"with a RoboVLMs checkpoint FILE\.pt as the argument"):
        make_policy("robovlms")
    spec = f"robovlms:{kosmos2.file},vlm={kosmos2.vlm},device=cpu"
    assert make_policy(spec).config == make_policy(kosmos2.spec).config  # tiny.json beside tiny.pt
    released = tmp_path / "checkpoints" / "tiny.pt"
    released.parent.mkdir()
    released.write_bytes(kosmos2.file.read_bytes())
    spec = f"robovlms:{released},vlm={kosmos2.vlm},device=cpu"
    with pytest.raises(PolicySpecError, match=r"tiny\.json or .*tiny_config\.json or .*configs/tiny\.json, got none"):
        make_policy(spec)
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "tiny.json").write_bytes(kosmos2.config.read_bytes())
    assert make_policy(spec).config == make_policy(kosmos2.spec).config


def test_uform_pools_pictures_and_text_as_robovlms_does(tmp_path):
    files = write_files(tmp_path, "uform")
    source, seen = files.model.backbone, pictures(1)
    ids = torch.tensor([source.tokenizer.encode(f"<image> {SENTENCE}", add_special_tokens=False)])
    with torch.no_grad():
        pixels = [source.preprocess(seen.of(camera)) for camera in ("gripper", "static")]
        features = [source.image_pooler(source.image_encoder(each)) for each in pixels]
        table = files.weights["model.backbone.text_decoder.model.embed_tokens.weight"]
        hidden = source.text_decoder(inputs_embeds=torch.cat([*features, table[ids]], dim=1)).last_hidden_state
        ours = load_planned(plan_import(files.file, files.config, files.vlm)).encode(seen, [SENTENCE])
    assert (ours - hidden.amax(dim=1)).abs().max() < 1e-5


def test_moondream_reads_lrn_before_the_last_token_and_before_the_last_norm_as_robovlms_does(tmp_path):
    files = write_files(tmp_path, "moondream")
    source, seen = files.model.backbone, pictures(1)
    ids = torch.tensor([source.tokenizer.encode(f"<|endoftext|>{SENTENCE}", add_special_tokens=False)])
    with torch.no_grad():
        features = [source.image_features(source.preprocess(seen.of(camera))) for camera in ("gripper", "static")]
        embedded = files.weights["model.backbone.text_model.transformer.embd.wte.weight"][ids]
        token = files.weights["model.action_token"][None, None]
        sequence = torch.cat([embedded[:, :1], *features, embedded[:, 1:-1], token, embedded[:, -1:]], dim=1)
        last_layers = []
        source.language.layers[-1].register_forward_hook(lambda module, inputs, output: last_layers.append(output))
        source.language(inputs_embeds=sequence)
        hidden = last_layers[0] if isinstance(last_layers[0], torch.Tensor) else last_layers[0][0]
        ours = load_planned(plan_import(files.file, files.config, files.vlm)).encode(seen, [SENTENCE])
    assert (ours - hidden[:, -2]).abs().max() < 1e-5


def test_a_file_without_frozen_parts_does_not_fit(kosmos2, tmp_path):
    """RoboVLMs' `get_checkpoint` leaves out what was not trained."""
    trained = {name: tensor for name, tensor in kosmos2.weights.items() if ".vision_model." not in name}
    torch.save({"state_dict": trained}, tmp_path / "file.pt")
    plan = plan_import(tmp_path / "file.pt", kosmos2.config, kosmos2.vlm)
    assert not plan.fits
    with pytest.raises(RoboVLMsError, match="can save without the parts that it froze"):
        load_planned(plan)


def test_weights_of_half_precision_become_those_of_32_bits(kosmos2, tmp_path):
    halves = {name: tensor.bfloat16() for name, tensor in kosmos2.weights.items()}
    torch.save({"state_dict": halves}, tmp_path / "file.pt")
    model = load_planned(plan_import(tmp_path / "file.pt", kosmos2.config, kosmos2.vlm))
    assert {tensor.dtype for tensor in model.state_dict().values()} == {torch.float32}
    assert torch.equal(model.lrn.embedding, kosmos2.weights["model.action_token"].bfloat16().float())


def test_weights_that_cannot_be_right_are_refused(kosmos2, tmp_path):
    content = torch.load(kosmos2.file, weights_only=True)
    name = next(name for name in content["state_dict"] if name.endswith("rnn.weight_hh_l0"))
    good = content["state_dict"][name]
    for bad in (torch.full_like(good, torch.nan), good.to(torch.int8)):
        content["state_dict"][name] = bad
        torch.save(content, tmp_path / "bad.pt")
        with pytest.raises(RoboVLMsError, match=r"expected finite floating-point weights .*head\.lstm\.weight_hh_l0"):
            load_planned(plan_import(tmp_path / "bad.pt", kosmos2.config, kosmos2.vlm))
