"""UForm-Gen2's published folder: its configuration, its decoder's, its tokenizer, and its weights by our names."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from calvinbench.policies.backbones.weights.published import fill_weights, published_config, published_weights
from calvinbench.policies.backbones.weights.sources import BackboneSourceError, local_folder

IMAGE_TOKEN = "<image>"  # noqa: S105 (a token of text)
DECODER_NAME = "Qwen/Qwen1.5-0.5B-Chat"
"""The decoder whose sizes and tokenizer the published configuration refers to."""
LEFT_OUT = "text_decoder.lm_head.weight"
"""The language-modelling head, which equals the text embedding."""
PUBLISHED_NUMBERS: Mapping[str, tuple[str, ...]] = {
    "image_size": ("image_size",),
    "image_encoder_hidden_size": ("vision", "width"),
    "image_encoder_num_layers": ("vision", "num_layers"),
    "image_encoder_num_heads": ("vision", "num_heads"),
    "image_encoder_patch_size": ("vision", "patch_size"),
    "num_image_latents": ("pooler", "num_latents"),
    "image_pooler_num_attn_heads": ("pooler", "num_heads"),
    "image_pooler_intermediate_size": ("pooler", "intermediate_size"),
}
"""Names of the published configuration, and ours. Numbers that it does not have keep the published default."""


def our_name(published: str) -> str:
    """A published weight's name as ours. The decoder has no head here; all other names are the same."""
    return published.replace("text_decoder.model.", "text_decoder.", 1)


@dataclass(frozen=True, slots=True)
class Published:
    """A published folder.

    Attributes:
        folder: The folder.
        config: The configuration as `UFormBackbone.from_config` takes it.
        tokenizer: The model's tokenizer.
        weights: Weights by our names.
    """

    folder: Path
    config: dict[str, Any]
    tokenizer: PreTrainedTokenizerBase
    weights: dict[str, Tensor]

    def load_into(self, backbone: nn.Module) -> None:
        """Fills the backbone's weights.

        Raises:
            BackboneSourceError: A name is missing or left over, or a shape differs.
        """
        fill_weights(
            backbone,
            self.weights,
            f"UForm-Gen2 in '{self.folder}'",
            "They do not belong to the config.json there, or are the first UForm-Gen's, which pools in the decoder's "
            "width.",
        )


def published_folder(source: str | Path, hub_name: str, full: Mapping[str, Any]) -> Published:
    """Reads a folder as on the hub: `config.json` and `*.safetensors`.

    The tokenizer may be in it (`tokenizer.json`). Otherwise it is read from the place in the configuration
    (`text_decoder_name_or_path`: a name on the hub, or a folder). So are the decoder's sizes if this is not
    Qwen1.5-0.5B-Chat.

    Args:
        source: See `Backbone.pretrained`.
        hub_name: The name that errors advise.
        full: The published model's numbers, for those that the folder does not have.

    Raises:
        BackboneSourceError: There is no such folder, or it belongs to another model.
    """
    folder = local_folder(source, hub_name)
    published = published_config(folder, "UForm-Gen2", "vlm", hub_name)
    weights = _read_weights(folder)
    config = {key: dict(value) if isinstance(value, Mapping) else value for key, value in full.items()}
    for name, (*part, number) in PUBLISHED_NUMBERS.items():
        if name in published:
            (config[part[0]] if part else config)[number] = published[name]
    if (positions := weights.get("image_encoder.pos_embed")) is not None:
        config["vision"]["positions_size"] = config["vision"]["patch_size"] * round(positions.shape[1] ** 0.5)
    decoder = str(published.get("text_decoder_name_or_path") or DECODER_NAME)
    if decoder != DECODER_NAME:
        config["text"] = _decoder_numbers(decoder, config["text"])
    tokenizer = _read_tokenizer(folder if (folder / "tokenizer.json").is_file() else decoder, folder)
    _require_image_token(tokenizer, published.get("image_token_id"), folder)
    return Published(folder, config, tokenizer, weights)


def _read_weights(folder: Path) -> dict[str, Tensor]:
    """All weights by our names."""
    return {our_name(name): tensor for name, tensor in published_weights(folder, "UForm-Gen2") if name != LEFT_OUT}


def _decoder_numbers(decoder: str, numbers: Mapping[str, Any]) -> dict[str, Any]:
    """A decoder's sizes, from its own configuration."""
    file = Path(decoder) / "config.json"
    if not file.is_file():
        raise BackboneSourceError(
            f"expected the decoder {DECODER_NAME} or a folder with its config.json in text_decoder_name_or_path, got "
            f"'{decoder}'. Only UForm-Gen2 with a Qwen1.5 decoder is supported."
        )
    said = json.loads(file.read_text())
    if said.get("model_type") != "qwen2":
        raise BackboneSourceError(
            f"expected a decoder of model type 'qwen2', got '{said.get('model_type')}' in {file}."
        )
    if "rope_theta" not in said:  # transformers 5 writes it one level deeper
        said["rope_theta"] = said.get("rope_parameters", {}).get("rope_theta", numbers["rope_theta"])
    return {name: said.get(name, number) for name, number in numbers.items()}


def _read_tokenizer(place: str | Path, folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer, with the token of an image."""
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(place, trust_remote_code=False)
    except (OSError, ValueError) as error:
        first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BackboneSourceError(
            f"expected the tokenizer of {DECODER_NAME} at '{place}', but: {first_line} Copy its tokenizer.json and "
            f"tokenizer_config.json into '{folder}', or connect to the hub."
        ) from error
    if IMAGE_TOKEN not in tokenizer.get_vocab():
        tokenizer.add_special_tokens({"additional_special_tokens": [IMAGE_TOKEN]})
    return tokenizer


def _require_image_token(tokenizer: PreTrainedTokenizerBase, published: int | None, folder: Path) -> None:
    """Raises an error for a tokenizer whose image token has another id than in the model's training."""
    ours = tokenizer.get_vocab()[IMAGE_TOKEN]
    if published not in (None, ours):
        raise BackboneSourceError(
            f"expected '{IMAGE_TOKEN}' to be token {published}, as '{folder}/config.json' says, but in the tokenizer "
            f"it is {ours}. Use model and tokenizer of one source."
        )
