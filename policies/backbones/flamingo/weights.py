"""Published OpenFlamingo weights: where their three parts are, and how each is read.

OpenFlamingo published only what it trained: resampler, cross-attention and the token embedding, which has two new
tokens. Language model and vision tower are by others and are published elsewhere.
"""

import pickle
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoTokenizer,
    CLIPVisionModel,
    GPTNeoXModel,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from calvinbench.policies.backbones.flamingo.names import CHECKPOINT, MPT_REASON, few_of, our_names
from calvinbench.policies.backbones.weights.sources import BackboneSourceError, local_folder

ModelT = TypeVar("ModelT", bound=PreTrainedModel)

LANGUAGE, VISION = "language_model", "vision_tower"
"""Folders beside the file of trained weights in a local folder."""
VISION_HUB_NAME = "openai/clip-vit-large-patch14"
LANGUAGE_HUB_NAMES = {
    "openflamingo/OpenFlamingo-4B-vitl-rpj3b": "togethercomputer/RedPajama-INCITE-Base-3B-v1",
    "openflamingo/OpenFlamingo-4B-vitl-rpj3b-langinstruct": "togethercomputer/RedPajama-INCITE-Instruct-3B-v1",
}
"""The language model of each set of published weights (OpenFlamingo's README at 655f693)."""
IMAGE, END_OF_CHUNK, PADDING = "<image>", "<|endofchunk|>", "<PAD>"
NEW_TOKENS = (END_OF_CHUNK, IMAGE)
"""The new tokens, in the order of the published vocabulary (`create_model_and_transforms` of its factory.py)."""


@dataclass(frozen=True, slots=True)
class FlamingoFolders:
    """Paths of published weights.

    Attributes:
        checkpoint: The weights that OpenFlamingo trained.
        language: The language model's folder, tokenizer included.
        vision: The vision tower's folder.
    """

    checkpoint: Path
    language: Path
    vision: Path


def find_folders(source: str | Path, hub_name: str) -> FlamingoFolders:
    """The three parts, from a local folder or downloaded from three places of the hub.

    Args:
        source: A folder, or a name of OpenFlamingo's on the hub.
        hub_name: The name that errors advise.

    Raises:
        BackboneSourceError: A part is missing, or belongs to another OpenFlamingo.
    """
    if Path(source).expanduser().is_dir():
        folder = local_folder(source, hub_name)
        found = FlamingoFolders(folder / CHECKPOINT, folder / LANGUAGE, folder / VISION)
        missing = [path.name for path in (found.checkpoint, found.language, found.vision) if not path.exists()]
        if missing:
            raise BackboneSourceError(
                f"expected in '{source}' the file {CHECKPOINT} (of {hub_name}) and the folders {LANGUAGE} (of "
                f"{LANGUAGE_HUB_NAMES[hub_name]}) and {VISION} (of {VISION_HUB_NAME}), which are published separately; "
                f"missing: {', '.join(missing)}. Or name {hub_name}, and all three are downloaded."
            )
        return found
    name = str(source).partition("@")[0]
    if "mpt" in name.lower():
        raise BackboneSourceError(f"expected OpenFlamingo on GPT-NeoX such as {hub_name}, got '{source}'. {MPT_REASON}")
    if name not in LANGUAGE_HUB_NAMES:
        raise BackboneSourceError(
            f"expected a local folder or one of {', '.join(LANGUAGE_HUB_NAMES)}, got '{source}'. Put the parts of "
            f"others into one folder: {CHECKPOINT}, {LANGUAGE}, {VISION}."
        )
    return FlamingoFolders(
        local_folder(source, hub_name) / CHECKPOINT,
        local_folder(LANGUAGE_HUB_NAMES[name], LANGUAGE_HUB_NAMES[name]),
        local_folder(VISION_HUB_NAME, VISION_HUB_NAME),
    )


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The weights that OpenFlamingo trained, by our names.

    Raises:
        BackboneSourceError: The file has no weights, or belongs to another model.
    """
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError) as error:
        raise BackboneSourceError(
            f"expected a file of weights at {path}, but it cannot be read as one: {str(error).splitlines()[0]}. "
            "Download it again. A file with more than weights is not opened, because it could run code."
        ) from error
    weights = content.get("model_state_dict", content) if isinstance(content, dict) else {}
    if not weights or not all(isinstance(value, Tensor) for value in weights.values()):
        raise BackboneSourceError(f"expected names and tensors in {path}, got something else. Download it again.")
    return our_names(weights)


def load_part(model_class: type[ModelT], folder: Path, model_types: tuple[str, ...], dtype: torch.dtype) -> ModelT:
    """The language model or the vision tower, with every weight from the folder.

    Args:
        model_class: The class of the model.
        folder: The folder with configuration and weights.
        model_types: Allowed values of `model_type` in the configuration.
        dtype: Precision of the weights.
    """
    try:
        model_type = AutoConfig.from_pretrained(folder, trust_remote_code=False).model_type
    except (OSError, ValueError) as error:
        raise BackboneSourceError(
            f"expected the configuration of a {model_types[0]} in {folder}, but: {str(error).splitlines()[0]}"
        ) from error
    if model_type not in model_types:
        advice = MPT_REASON if model_type == "mpt" else "Use parts that were published together."
        raise BackboneSourceError(
            f"expected a {' or '.join(model_types)} in {folder}, got a model of type {model_type}. {advice}"
        )
    try:
        # `from_pretrained` keeps the dtype of the file unless one is given.
        loaded: Any = model_class.from_pretrained(folder, dtype=dtype, output_loading_info=True)
    except (OSError, RuntimeError, SafetensorError) as error:
        raise BackboneSourceError(
            f"expected the weights of a {model_types[0]} in {folder}, but: {str(error).splitlines()[0]}"
        ) from error
    model, info = loaded
    left = [name for name in info["unexpected_keys"] if not re.match(_NOT_OF_A_PART[model_class], name)]
    if info["missing_keys"] or left or info["mismatched_keys"]:
        raise BackboneSourceError(
            f"expected the weights of a {model_types[0]} in {folder}, but some do not match: missing "
            f"{few_of(info['missing_keys'])}, left over {few_of(left)}, of another shape "
            f"{few_of(info['mismatched_keys'])}. Weights and config.json do not belong together."
        )
    part: ModelT = model
    return part


_NOT_OF_A_PART: dict[type[PreTrainedModel], str] = {
    GPTNeoXModel: r"(embed_out|lm_head)\.",
    CLIPVisionModel: r"text_model\.|text_projection\.|visual_projection\.|logit_scale$|.*\.position_ids$",
}
"""Weights that a folder may have besides the part's own: heads, and CLIP's text tower."""


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The language model's tokenizer, with the tokens that OpenFlamingo added.

    Raises:
        BackboneSourceError: The folder has none.
    """
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise BackboneSourceError(
            f"expected the language model's tokenizer in {folder}, but: {str(error).splitlines()[0]}."
        ) from error
    tokenizer.add_tokens(list(NEW_TOKENS), special_tokens=True)
    if tokenizer.pad_token is None:
        tokenizer.add_special_tokens({"pad_token": PADDING})
    return tokenizer
