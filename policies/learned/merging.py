"""Low-rank adapters that are merged into the weights beside them: a checkpoint that needs no peft and runs faster."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from calvinbench.policies.learned.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from calvinbench.policies.learned.vlm_lstm import VLMLSTM


def merge_checkpoint(folder: Path, out: Path) -> Path:
    """Writes a checkpoint without adapters that computes the same as one with them.

    Args:
        folder: A checkpoint of a training with `--lora-enable true`.
        out: The new checkpoint's folder. It must not hold anything.

    Returns:
        The new checkpoint's folder.

    Raises:
        CheckpointError: There is no checkpoint in `folder`, it is damaged, or it has no adapters.
        ValueError: `out` is not empty.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"expected a new folder as --out, got '{out}', which exists. Name another one.")
    found = load_checkpoint(folder)
    if not found.config.trainable.lora_enable:
        raise CheckpointError(
            f"expected a checkpoint with low-rank adapters in '{folder}', got one without. It needs no merge."
        )
    merge_adapters(found.model)
    config = replace(found.config, trainable=replace(found.config.trainable, lora_enable=False))
    return save_checkpoint(out, found.model, config, notes={**found.notes, "merged_from": found.digest})


def merge_adapters(model: VLMLSTM) -> None:
    """Adds each adapter's product to the weight that it adapts, and puts the plain layer in its place.

    Raises:
        CheckpointError: A weight is shared with a layer that has no adapter, such as the table of embeddings.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    counts = _uses_of_weights(model)
    for parent in list(model.modules()):
        for name, layer in list(parent.named_children()):
            if not isinstance(layer, BaseTunerLayer):
                continue
            adapted: Any = layer
            plain = adapted.get_base_layer()
            if counts[plain.weight.data_ptr()] > 1:
                raise CheckpointError(
                    f"expected weights that one layer uses, but that of '{name}' is shared with another layer, which "
                    "the adapter must not change. Use the checkpoint as it is."
                )
            with torch.no_grad():
                adapted.merge()
            setattr(parent, name, plain)


def _uses_of_weights(model: nn.Module) -> dict[int, int]:
    """How many parameters, shared ones counted each time, lie at each place in memory."""
    counts: dict[int, int] = {}
    for _, parameter in model.named_parameters(remove_duplicate=False):
        counts[parameter.data_ptr()] = counts.get(parameter.data_ptr(), 0) + 1
    return counts
