"""The VLMs of RoboVLMs' checkpoints: names of their weights, their numbers, and which cannot be read."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from torch import Tensor
from transformers import AutoConfig, AutoTokenizer, PreTrainedTokenizerBase

from calvinbench.policies.backbones.flamingo.names import MPT_REASON
from calvinbench.policies.backbones.moondream.moondream import MoondreamBackbone
from calvinbench.policies.backbones.moondream.weights import ours_of_published, pretrained_parts
from calvinbench.policies.backbones.settings import LRN_READOUT, MAX_POOLING
from calvinbench.policies.backbones.uform.uform import UFormBackbone
from calvinbench.policies.backbones.uform.weights import DECODER_NAME, IMAGE_TOKEN, PUBLISHED_NUMBERS, our_name
from calvinbench.policies.robovlms.weights import RoboVLMsError

HEAD = "the language-modelling head: a policy predicts no words"
TABLE = "a table that is computed, not trained"
_TABLES = re.compile(r".*(\.position_ids|rotary_emb\.inv_freq|embed_positions\.weights)")


@dataclass(frozen=True, slots=True)
class Numbers:
    """What a VLM's folder says about it, without the weights.

    Attributes:
        config: The numbers, for the backbone's `from_config`.
        tokenizer: The VLM's tokenizer.
    """

    config: Mapping[str, Any]
    tokenizer: PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class Family:
    """A VLM with RoboVLMs checkpoints that can be read.

    Attributes:
        readout: How RoboVLMs reads the feature from it.
        rename: From a weight's name after `backbone.` to the names of this project's backbone, with their tensors; or
            to the reason why the weight is dropped. It raises KeyError for a name that the VLM does not have.
        read_numbers: Reads the VLM's folder and the checkpoint's weights.
        scales_embeddings: Whether RoboVLMs multiplies [LRN] by sqrt(width), like the text embeddings
            (`BackboneSettings.scale_lrn`).
        takes_image_size: Whether the configuration's `image_size` has an effect in RoboVLMs. Some VLMs have their own
            preprocessing.
    """

    readout: str
    rename: Callable[[str, Tensor], dict[str, Tensor] | str]
    read_numbers: Callable[[Path, Mapping[str, Tensor]], Numbers]
    scales_embeddings: bool = False
    takes_image_size: bool = False


def _rename_kosmos2(name: str, tensor: Tensor) -> dict[str, Tensor] | str:
    """The same names. The class of transformers without the head is called `model` here."""
    if name == "text_model.lm_head.weight":
        return HEAD
    return TABLE if _TABLES.fullmatch(name) else {f"model.{name}": tensor}


def _rename_paligemma(name: str, tensor: Tensor) -> dict[str, Tensor] | str:
    """Version 4 of transformers named parts by their classes with heads, version 5 by what they are."""
    if name in ("language_model.lm_head.weight", "lm_head.weight"):
        return HEAD
    if _TABLES.fullmatch(name):
        return TABLE
    name = re.sub(r"^language_model\.model\.", "language_model.", name)
    name = re.sub(r"^vision_tower\.vision_model\.", "vision_tower.", name)
    return {f"model.{name}": tensor}


def _rename_moondream(name: str, tensor: Tensor) -> dict[str, Tensor] | str:
    """As published. Its last norm belongs to the head, and RoboVLMs reads the feature before it."""
    if name.startswith("text_model.lm_head."):
        return HEAD if ".ln." not in name else "the norm of the language-modelling head: features are read before it"
    if name.startswith("region_model."):
        return "a part that finds objects in images; no prompt here uses it"
    return TABLE if _TABLES.fullmatch(name) else ours_of_published(name.replace("._orig_mod", ""), tensor)


def _rename_uform(name: str, tensor: Tensor) -> dict[str, Tensor] | str:
    """As published, without the decoder's head."""
    if name == "text_decoder.lm_head.weight":
        return HEAD
    return TABLE if _TABLES.fullmatch(name) else {our_name(name): tensor}


def _transformers_numbers(model_type: str) -> Callable[[Path, Mapping[str, Tensor]], Numbers]:
    """The numbers of a model that is part of transformers."""

    def read(folder: Path, weights: Mapping[str, Tensor]) -> Numbers:
        _require_files(folder, "config.json")
        try:
            config = AutoConfig.from_pretrained(folder)
            tokenizer = AutoTokenizer.from_pretrained(folder)
        except (OSError, ValueError, KeyError) as error:
            raise RoboVLMsError(
                f"expected configuration and tokenizer of a {model_type} in '{folder}', but: {error}"
            ) from error
        if config.model_type != model_type:
            raise RoboVLMsError(
                f"expected a VLM of type '{model_type}' in '{folder}', got '{config.model_type}'. Name the folder of "
                "the VLM that the checkpoint was trained from."
            )
        numbers = json.loads(config.to_json_string(use_diff=True)) | {"model_type": config.model_type}
        return Numbers(numbers, tokenizer)

    return read


def _moondream_numbers(folder: Path, weights: Mapping[str, Tensor]) -> Numbers:
    _require_files(folder, "config.json", "tokenizer.json")
    published = pretrained_parts(folder, MoondreamBackbone.full_config(), MoondreamBackbone.hub_name)
    return Numbers(published.config, published.tokenizer)


def _uform_numbers(folder: Path, weights: Mapping[str, Tensor]) -> Numbers:
    """Sizes of the published configuration. The size of the positions is read from the weights."""
    _require_files(folder, "config.json", "tokenizer.json")
    published = json.loads((folder / "config.json").read_text("utf-8"))
    if published.get("model_type") != "vlm":
        raise RoboVLMsError(
            f"expected a VLM of type 'vlm' (UForm's own name) in '{folder}', got '{published.get('model_type')}'."
        )
    decoder = published.get("text_decoder_name_or_path") or DECODER_NAME
    config = UFormBackbone.full_config()
    if decoder != DECODER_NAME:
        _require_files(folder / decoder, "config.json")
        said = json.loads((folder / decoder / "config.json").read_text("utf-8"))
        said.setdefault("rope_theta", said.get("rope_parameters", {}).get("rope_theta", config["text"]["rope_theta"]))
        config["text"] = {name: said.get(name, number) for name, number in config["text"].items()}
    for name, (*part, number) in PUBLISHED_NUMBERS.items():
        if name in published:
            (config[part[0]] if part else config)[number] = published[name]
    if (positions := weights.get("backbone.image_encoder.pos_embed")) is not None:
        config["vision"]["positions_size"] = config["vision"]["patch_size"] * round(positions.shape[1] ** 0.5)
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder)
    if IMAGE_TOKEN not in tokenizer.get_vocab():
        tokenizer.add_special_tokens({"additional_special_tokens": [IMAGE_TOKEN]})
    return Numbers(config, tokenizer)


def _require_files(folder: Path, *names: str) -> None:
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise RoboVLMsError(
            f"expected {' and '.join(missing)} in the VLM's folder '{folder}', got none. It needs the VLM's "
            "configuration and tokenizer, as the hub has them; its weights are not read."
        )


FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "kosmos2": Family(LRN_READOUT, _rename_kosmos2, _transformers_numbers("kosmos-2"), takes_image_size=True),
        "paligemma": Family(LRN_READOUT, _rename_paligemma, _transformers_numbers("paligemma"), scales_embeddings=True),
        "moondream": Family(LRN_READOUT, _rename_moondream, _moondream_numbers),
        "uform": Family(MAX_POOLING, _rename_uform, _uform_numbers),
    }
)
"""By the backbone's name here."""
REFUSED: Mapping[str, str] = MappingProxyType(
    {
        "flamingo": f"it is on MPT-1B there. {MPT_REASON}",
        "llava": "it is LLaVA on MPT-7B there, and 'llava' here is LLaVA-1.5 on Vicuna, another architecture",
        "qwen-vl": "it is the first Qwen-VL there, whose code pins transformers 4.32, and 'qwen-vl' here is Qwen2-VL, "
        "another architecture",
    }
)
"""Backbones with RoboVLMs checkpoints that cannot be read, and why."""


def family_of(backbone: str, readout: str) -> Family:
    """How checkpoints of a VLM are read.

    Args:
        backbone: The backbone's name here.
        readout: The readout in the checkpoint's configuration.

    Raises:
        RoboVLMsError: They cannot be read. The message says why.
    """
    if backbone not in FAMILIES:
        reason = REFUSED.get(backbone, "RoboVLMs has no such VLM")
        raise RoboVLMsError(
            f"expected a RoboVLMs checkpoint of {', '.join(FAMILIES)}, got one of {backbone}: {reason}."
        )
    family = FAMILIES[backbone]
    if readout != family.readout:
        spaces = {LRN_READOUT: "continuous", MAX_POOLING: "down_sample"}
        raise RoboVLMsError(
            f"expected act_head.action_space '{spaces[family.readout]}' of a RoboVLMs checkpoint of {backbone}, as "
            f"released, got '{spaces[readout]}'. The place of [LRN] is unknown for the latter."
        )
    return family
