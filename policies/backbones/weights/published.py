"""Published weights for architectures composed here: read from safetensors, with every name checked."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from transformers.initialization import no_init_weights

from calvinbench.policies.backbones.weights.sources import BackboneSourceError


@contextmanager
def uninitialised_weights(dtype: torch.dtype) -> Iterator[None]:
    """Within this context, modules are made with uninitialised weights of this dtype.

    (`module.to(bfloat16)` would round the table of rotary frequencies with the weights.)
    """
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with no_init_weights():
            yield
    finally:
        torch.set_default_dtype(before)


def published_config(
    folder: Path, model: str, model_type: str, hub_name: str, files: Sequence[str] = ("config.json",)
) -> dict[str, Any]:
    """The content of a published folder's `config.json`, after a check that the folder belongs to the model.

    Args:
        folder: A snapshot of the hub.
        model: The model, for messages.
        model_type: The `model_type` that its configuration must have.
        hub_name: The name on the hub that errors advise.
        files: Files that the folder must have.

    Raises:
        BackboneSourceError: A file is missing, or the configuration belongs to another model.
    """
    for needed in files:
        if not (folder / needed).is_file():
            raise BackboneSourceError(
                f"expected the files of {model} in '{folder}', but there is no {needed}. Name the folder of the hub's "
                f"snapshot of {hub_name}."
            )
    config: dict[str, Any] = json.loads((folder / "config.json").read_text())
    if config.get("model_type") != model_type:
        raise BackboneSourceError(
            f"expected a config.json of model type '{model_type}' ({model}) in '{folder}', got "
            f"'{config.get('model_type')}'. Name its own backbone, or the folder of {hub_name}."
        )
    return config


def published_weights(folder: Path, model: str) -> Iterator[tuple[str, Tensor]]:
    """All weights of a folder's safetensors files, by their published names, one after the other.

    Args:
        folder: A snapshot of the hub.
        model: The model that the weights should belong to, for messages.

    Raises:
        BackboneSourceError: There is no such file, or one is damaged.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise BackboneSourceError(
            f"expected weights of {model} in '{folder}/*.safetensors', got none. Name the folder of the hub's "
            "snapshot; files of other kinds (.bin, .pt, .gguf, .onnx) are not read."
        )
    for file in files:
        try:
            with safe_open(file, framework="pt") as tensors:
                for name in tensors.keys():  # noqa: SIM118  it is no mapping
                    yield name, tensors.get_tensor(name)
        except SafetensorError as error:
            raise BackboneSourceError(f"expected a safetensors file, got '{file}': {error}") from error


def fill_weights(
    module: nn.Module, weights: Mapping[str, Tensor], what: str, advice: str, unknown: Sequence[str] = ()
) -> None:
    """Loads a module's weights and checks that all of them are present.

    Args:
        module: The module to fill.
        weights: Weights by the module's own names.
        what: The model that the weights belong to, and their source, for the message.
        advice: What to do if they do not fit.
        unknown: Published names that have no counterpart here.

    Raises:
        BackboneSourceError: A name is missing, left over or unknown, or a shape differs.
    """
    expected = module.state_dict()
    missing, left_over = sorted(expected.keys() - weights.keys()), sorted(weights.keys() - expected.keys())
    shapes = [
        f"{name} {tuple(weights[name].shape)} for {tuple(expected[name].shape)}"
        for name in sorted(expected.keys() & weights.keys())
        if weights[name].shape != expected[name].shape
    ]
    if missing or left_over or shapes or unknown:
        raise BackboneSourceError(
            f"expected the weights of {what}, but names are missing {missing}, left over {left_over}, of "
            f"another shape {shapes}; unknown published names: {list(unknown)}. {advice}"
        )
    module.load_state_dict(dict(weights))
