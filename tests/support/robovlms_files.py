"""RoboVLMs checkpoints made up from tiny random models, in the names of its own code."""

import json
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch

from calvinbench.policies.backbones.prompts.prompt import Layout
from calvinbench.policies.backbones.registry import backbone_class
from calvinbench.policies.backbones.settings import BackboneSettings
from calvinbench.policies.backbones.weights.random import weights_from
from calvinbench.policies.heads.config import head_preset
from calvinbench.policies.learned.vlm_lstm import VLMLSTM

NAMES_THERE = {
    "kosmos2": ("RoboKosMos", "kosmos"),
    "paligemma": ("RoboPaligemma", "paligemma"),
    "moondream": ("RoboMoonDream", "moondream"),
    "uform": ("RoboUform", "uform"),
}
HEAD_NAMES = (("lstm.", "rnn."), ("decoder.pose.", "actions.mlp."), ("decoder.gripper.", "gripper.mlp."))


class Files(NamedTuple):
    """A checkpoint on disk, and the model that it was written from."""

    file: Path
    config: Path
    vlm: Path
    model: VLMLSTM
    weights: dict

    @property
    def spec(self):
        return f"robovlms:{self.file},config={self.config},vlm={self.vlm},device=cpu"


def write_files(folder: Path, backbone: str, **changes) -> Files:
    """Writes FILE.pt, FILE.json and the VLM's folder; changes are laid over the configuration."""
    pools = backbone == "uform"
    settings = BackboneSettings(
        layout=Layout.ROBOVLMS, readout="max-pooling" if pools else "lrn", scale_lrn=backbone == "paligemma"
    )
    generator = torch.Generator().manual_seed(3)
    head = replace(head_preset("robovlms"), hidden_dim=16, chunk_length=3)
    vlm = backbone_class(backbone).tiny(generator, settings)
    with weights_from(generator):
        model = VLMLSTM(vlm, head).eval()
        torch.nn.init.normal_(model.lrn.embedding, std=0.5)
    weights = {f"model.{name}": tensor.detach().clone() for name, tensor in _their_weights(backbone, model)}
    file, config = folder / "tiny.pt", folder / "tiny.json"
    torch.save({"state_dict": weights, "epoch": 4}, file)
    config.write_text(json.dumps({**_config(backbone), **changes}))
    _write_vlm(backbone, model, folder / "vlm")
    return Files(file, config, folder / "vlm", model, weights)


def _config(backbone):
    robovlm_name, model = NAMES_THERE[backbone]
    pools = backbone == "uform"
    return {
        "robovlm_name": robovlm_name,
        "model": model,
        "window_size": 4,
        "fwd_pred_next_n": 3,
        "use_hand_rgb": True,
        "norm_action": True,
        "norm_min": -0.65,
        "norm_max": 0.65,
        "train_setup": {"freeze_backbone": False, "train_vision": True, "train_text_embedding": True},
        "act_head": {
            "type": "LSTMDecoder",
            "hidden_size": 16,
            "down_sample": "pooling" if pools else "none",
            "action_space": "down_sample" if pools else "continuous",
            "window_size": 1,
        },
        "vlm": {"pretrained_model_name_or_path": ".vlms/of-the-user"},
    }


def _their_weights(backbone, model):
    """Each weight by the name that RoboVLMs' code gives it."""
    if backbone != "uform":
        yield "action_token", model.lrn.embedding
    for name, tensor in model.head.state_dict().items():
        for ours, theirs in (
            ("lstm.", "rnn."),
            ("decoder.pose.", "actions.mlp."),
            ("decoder.gripper.", "gripper.mlp."),
        ):
            if name.startswith(ours):
                yield f"act_head.{theirs}{name.removeprefix(ours)}", tensor
    yield from ((f"backbone.{name}", tensor) for name, tensor in _THEIRS[backbone](model.backbone))


def _kosmos2(backbone):
    yield from backbone.model.state_dict().items()
    yield "text_model.lm_head.weight", backbone.parts.text_embedding.weight


def _paligemma(backbone):
    renamed = {"language_model.": "language_model.model.", "vision_tower.": "vision_tower.vision_model."}
    for name, tensor in backbone.model.state_dict().items():
        first = next((prefix for prefix in renamed if name.startswith(prefix)), "")
        yield renamed.get(first, "") + name.removeprefix(first), tensor
    yield "language_model.lm_head.weight", backbone.parts.text_embedding.weight


def _uform(backbone):
    for name, tensor in backbone.state_dict().items():
        yield name.replace("text_decoder.", "text_decoder.model."), tensor
    yield "text_decoder.lm_head.weight", backbone.parts.text_embedding.weight


def _moondream(backbone):
    visual, text = "vision_encoder.encoder.model.visual.", "text_model.transformer."
    vision, language = backbone.vision, backbone.language
    patches = vision.embeddings.patch_embedding
    yield f"{visual}patch_embed.linear.weight", patches.weight.flatten(1)
    yield f"{visual}patch_embed.linear.bias", patches.bias
    yield f"{visual}pos_embed", vision.embeddings.position_embedding.weight[None]
    for index, layer in enumerate(vision.encoder.layers):
        block = f"{visual}blocks.{index}."
        yield from _module(f"{block}norm1", layer.layer_norm1)
        yield from _module(f"{block}norm2", layer.layer_norm2)
        yield from _joined(f"{block}attn.qkv", layer.self_attn)
        yield from _module(f"{block}attn.proj", layer.self_attn.out_proj)
        yield from _module(f"{block}mlp", layer.mlp)
    yield from _module(f"{visual}norm", vision.post_layernorm)
    yield from _module("vision_encoder.projection.mlp", backbone.connector)
    yield from _module(f"{text}embd.wte", language.embed_tokens)
    for index, layer in enumerate(language.layers):
        block = f"{text}h.{index}."
        yield from _module(f"{block}ln", layer.input_layernorm)
        yield from _joined(f"{block}mixer.Wqkv", layer.self_attn)
        yield from _module(f"{block}mixer.out_proj", layer.self_attn.dense)
        yield from _module(f"{block}mlp", layer.mlp)
    yield from _module("text_model.lm_head.ln", torch.nn.LayerNorm(backbone.width))
    yield from _module("text_model.lm_head.linear", torch.nn.Linear(backbone.width, 7))


def _module(name, module):
    return ((f"{name}.{inner}", tensor) for inner, tensor in module.state_dict().items())


def _joined(name, attention):
    for kind in ("weight", "bias"):
        parts = [getattr(getattr(attention, f"{one}_proj"), kind) for one in "qkv"]
        yield f"{name}.{kind}", torch.cat(parts)


_THEIRS = {"kosmos2": _kosmos2, "paligemma": _paligemma, "uform": _uform, "moondream": _moondream}


def _write_vlm(backbone, model, folder):
    """Configuration and tokenizer, as the hub has them; no weights."""
    folder.mkdir()
    numbers = model.backbone.config
    if backbone == "moondream":
        numbers = {"model_type": "moondream1", **{f"{part}_config": inner for part, inner in numbers.items()}}
    if backbone == "uform":
        (folder / "decoder").mkdir()
        (folder / "decoder" / "config.json").write_text(json.dumps({"model_type": "qwen2", **numbers["text"]}))
        numbers = {
            "model_type": "vlm",
            "text_decoder_name_or_path": "decoder",
            "image_size": numbers["image_size"],
            "image_encoder_hidden_size": numbers["vision"]["width"],
            "image_encoder_num_layers": numbers["vision"]["num_layers"],
            "image_encoder_num_heads": numbers["vision"]["num_heads"],
            "image_encoder_patch_size": numbers["vision"]["patch_size"],
            "num_image_latents": numbers["pooler"]["num_latents"],
            "image_pooler_num_attn_heads": numbers["pooler"]["num_heads"],
            "image_pooler_intermediate_size": numbers["pooler"]["intermediate_size"],
        }
    (folder / "config.json").write_text(json.dumps(numbers))
    model.backbone.tokenizer.save_pretrained(folder)
