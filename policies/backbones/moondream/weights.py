"""Moondream's published folder: its configuration, its tokenizer, and its weights by our names.

The published names are those of the modules in the public code of 2024 (vision_encoder.py, modeling_phi.py). There,
queries, keys and values are in one matrix. The patch embedding is a linear layer over flattened patches (channel, row,
column, in the order of a convolution's kernel). The decoder's last norm belongs to the head.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from calvinbench.policies.backbones.weights.published import fill_weights, published_config, published_weights
from calvinbench.policies.backbones.weights.sources import BackboneSourceError, local_folder

VISION, TEXT = "vision_encoder.encoder.model.visual.", "text_model.transformer."
RENAMED: tuple[tuple[str, tuple[str, ...]], ...] = (
    (rf"{VISION}patch_embed\.linear\.(weight|bias)", (r"vision.embeddings.patch_embedding.\1",)),
    (rf"{VISION}pos_embed", ("vision.embeddings.position_embedding.weight",)),
    (rf"{VISION}blocks\.(\d+)\.norm([12])\.(.+)", (r"vision.encoder.layers.\1.layer_norm\2.\3",)),
    (
        rf"{VISION}blocks\.(\d+)\.attn\.qkv\.(.+)",
        tuple(rf"vision.encoder.layers.\1.self_attn.{one}_proj.\2" for one in "qkv"),
    ),
    (rf"{VISION}blocks\.(\d+)\.attn\.proj\.(.+)", (r"vision.encoder.layers.\1.self_attn.out_proj.\2",)),
    (rf"{VISION}blocks\.(\d+)\.mlp\.(.+)", (r"vision.encoder.layers.\1.mlp.\2",)),
    (rf"{VISION}norm\.(.+)", (r"vision.post_layernorm.\1",)),
    (r"vision_encoder\.projection\.mlp\.(.+)", (r"connector.\1",)),
    (rf"{TEXT}embd\.wte\.weight", ("language.embed_tokens.weight",)),
    (rf"{TEXT}h\.(\d+)\.ln\.(.+)", (r"language.layers.\1.input_layernorm.\2",)),
    (
        rf"{TEXT}h\.(\d+)\.mixer\.Wqkv\.(.+)",
        tuple(rf"language.layers.\1.self_attn.{one}_proj.\2" for one in "qkv"),
    ),
    (rf"{TEXT}h\.(\d+)\.mixer\.out_proj\.(.+)", (r"language.layers.\1.self_attn.dense.\2",)),
    (rf"{TEXT}h\.(\d+)\.mlp\.(.+)", (r"language.layers.\1.mlp.\2",)),
    (r"text_model\.lm_head\.ln\.(.+)", (r"language.final_layernorm.\1",)),
)
"""Published names, and ours. Three names for one tensor mean its thirds."""
LEFT_OUT = re.compile(r"text_model\.lm_head\.linear\..+|region_model\..+")
"""The language-modelling head, and the part that finds objects in images, which no prompt here uses."""
NEWER = re.compile(r"(model\.)?(vision|text|region)\..+")
"""Names of 2025. Shapes are the same, but the attention mask differs."""
FIXED: Mapping[str, Any] = {
    "hidden_act": "gelu_new",
    "qk_layernorm": False,
    "rope_scaling": None,
    "tie_word_embeddings": False,
}
"""The values of a published `text_config` that this architecture supports."""


def ours_of_published(name: str, tensor: Tensor) -> dict[str, Tensor]:
    """One published weight by our names: none if it is left out, three if queries, keys and values are split.

    Raises:
        KeyError: The public code has no weight of this name.
    """
    if LEFT_OUT.fullmatch(name):
        return {}
    for pattern, ours in RENAMED:
        if match := re.fullmatch(pattern, name):
            names = [match.expand(one) for one in ours]
            return {one: _shaped(one, piece) for one, piece in zip(names, tensor.chunk(len(names)), strict=True)}
    raise KeyError(name)


def _shaped(name: str, tensor: Tensor) -> Tensor:
    """The patch embedding as a convolution's kernel, positions without the batch axis, everything else unchanged."""
    if name == "vision.embeddings.patch_embedding.weight":
        side = round((tensor.shape[1] / 3) ** 0.5)
        return tensor.reshape(len(tensor), 3, side, side)
    if name == "vision.embeddings.position_embedding.weight":
        return tensor[0]
    return tensor


@dataclass(frozen=True, slots=True)
class Published:
    """A published folder without its weights.

    Attributes:
        folder: The folder.
        config: The configuration as `MoondreamBackbone.from_config` takes it.
        tokenizer: The model's tokenizer.
    """

    folder: Path
    config: dict[str, Any]
    tokenizer: PreTrainedTokenizerBase

    def load_into(self, backbone: nn.Module) -> None:
        """Fills the backbone's weights.

        Raises:
            BackboneSourceError: A name is missing or left over, or a shape differs.
        """
        weights, unknown = self._read()
        if "language.final_layernorm.weight" not in backbone.state_dict():  # the layout reads before the norm
            weights = {name: tensor for name, tensor in weights.items() if ".final_layernorm." not in name}
        fill_weights(backbone, weights, f"moondream in '{self.folder}'", _advice(unknown), unknown)

    def _read(self) -> tuple[dict[str, Tensor], list[str]]:
        """All weights by our names, and the published names that are unknown."""
        weights: dict[str, Tensor] = {}
        unknown = []
        for name, tensor in published_weights(self.folder, "moondream"):
            try:
                # Checkpoints of compiled modules have this in their names. It has no meaning.
                weights |= ours_of_published(name.replace("._orig_mod", ""), tensor)
            except KeyError:
                unknown.append(name)
        return weights, sorted(unknown)


def pretrained_parts(source: str | Path, full: Mapping[str, Any], hub_name: str) -> Published:
    """Reads configuration and tokenizer.

    Args:
        source: See `Backbone.pretrained`.
        full: The published model's numbers. They fill in what the folder does not have: the vision tower's numbers are
            only in the public code. If config.json has a `vision_config` and a `connector_config`, which the published
            one does not, these take precedence.
        hub_name: The name on the hub, with the revision.

    Raises:
        BackboneSourceError: There is no such folder, or it belongs to another model.
    """
    if str(source) == hub_name.partition("@")[0]:
        source = hub_name
    folder = local_folder(source, hub_name)
    files = ("config.json", "tokenizer.json")
    published = published_config(folder, "Moondream 2 of 2024", "moondream1", hub_name, files)
    config = {
        part: {name: published.get(f"{part}_config", {}).get(name, number) for name, number in numbers.items()}
        for part, numbers in full.items()
    }
    _require_fixed(published.get("text_config", {}), config["text"], folder)
    return Published(folder, config, PreTrainedTokenizerFast.from_pretrained(folder))


def _require_fixed(text: Mapping[str, Any], numbers: Mapping[str, Any], folder: Path) -> None:
    """Raises an error for a published `text_config` that asks for something that this architecture does not support."""
    fixed = {**FIXED, "num_key_value_heads": numbers["num_attention_heads"]}
    for name, value in fixed.items():
        if text.get(name) not in (None, value):
            raise BackboneSourceError(
                f"expected {name} = {value} in the text_config of '{folder}/config.json', got {text[name]}: that is "
                "not moondream's decoder."
            )


def _advice(unknown: list[str]) -> str:
    """What to do about unknown names."""
    if any(NEWER.fullmatch(name) for name in unknown):
        return (
            "These are names of 2025. Moondream of 2025 is another architecture, with attention in both directions "
            "over the image. Name the revision 2024-08-26."
        )
    return "The weights and the config.json do not belong together, or belong to another model."
