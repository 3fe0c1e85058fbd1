"""A folder that peft wrote: an adapter, which is read together with the folder of its model."""

import json
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModel, AutoModelForImageTextToText, PreTrainedModel

from calvinbench.policies.backbones.weights.sources import BackboneSourceError, local_folder

ADAPTER_FILE = "adapter_config.json"


def is_adapter(folder: Path) -> bool:
    """Whether a folder has an adapter but no model."""
    return (folder / ADAPTER_FILE).is_file() and not (folder / "config.json").is_file()


def base_folder(folder: Path) -> Path:
    """The folder of the model that an adapter belongs to, from the adapter's configuration.

    Raises:
        BackboneSourceError: The configuration names none, or there is no such folder.
    """
    said = json.loads((folder / ADAPTER_FILE).read_text("utf-8")).get("base_model_name_or_path")
    try:
        return local_folder(said or "", "HuggingFaceTB/SmolVLM-256M-Instruct")
    except BackboneSourceError as error:
        raise BackboneSourceError(
            f"expected the model that the adapter in '{folder}' belongs to at '{said}', as its {ADAPTER_FILE} says, "
            f'but there is no such model. Write its folder there as "base_model_name_or_path". ({error})'
        ) from error


def load_with_adapter(base: Path, folder: Path, dtype: torch.dtype) -> tuple[PreTrainedModel, dict[str, Any]]:
    """A model with an adapter merged into its weights, without its language-modelling head.

    Args:
        base: Folder of the model.
        folder: Folder of the adapter.
        dtype: Precision of the weights.

    Returns:
        The model, and transformers' report of names that did not match.

    Raises:
        BackboneSourceError: peft is not installed, or the adapter belongs to another model.
    """
    try:
        from peft import PeftConfig, PeftModel
    except ImportError as error:
        raise BackboneSourceError(
            f"expected peft for the adapter in '{folder}', found none. Install it: pip install 'peft>=0.17'."
        ) from error
    unexpected: list[str] = []
    kinds: tuple[Any, ...] = (AutoModelForImageTextToText, AutoModel)
    for kind in kinds:  # an adapter's names are those of the class for which it was trained
        whole, info = kind.from_pretrained(base, dtype=dtype, output_loading_info=True, trust_remote_code=False)
        adapted: Any = PeftModel(whole, PeftConfig.from_pretrained(str(folder)))
        found = adapted.load_adapter(str(folder), adapter_name="default")
        missing = [name for name in found.missing_keys if "default" in name]
        unexpected = [*found.unexpected_keys, *missing]
        if not unexpected:
            merged: Any = adapted.merge_and_unload()
            inner = merged if kind is AutoModel else merged.model
            info = {key: [name for name in names if "lm_head" not in str(name)] for key, names in info.items()}
            return inner, info
    raise BackboneSourceError(
        f"expected in '{folder}' an adapter of the model in '{base}', but {len(unexpected)} of its names are not "
        f"in that model, such as {unexpected[0]}. The adapter belongs to another model."
    )
