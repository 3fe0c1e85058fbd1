"""A checkpoint: a folder with a readable `policy.json`, weights in safetensors and the tokenizer. Nothing is pickled.

Reading is strict: a weight that is missing, left over or has another shape raises an error that names it.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoTokenizer, PreTrainedTokenizerBase
from transformers.initialization import no_init_weights

from calvinbench.envs.names import UnknownNameError
from calvinbench.envs.system.atomic_write import whole_file
from calvinbench.policies.backbones.registry import BackboneNameError, backbone_class, name_of
from calvinbench.policies.backbones.weights.sources import BUILD_ERRORS
from calvinbench.policies.import_string import ImportStringError
from calvinbench.policies.learned.checkpoint_folder import (
    CONFIG_FILE,
    TOKENIZER_FOLDER,
    WEIGHTS_FILE,
    CheckpointError,
    require_checkpoint,
)
from calvinbench.policies.learned.policy_config import PolicyConfig
from calvinbench.policies.learned.trainable import MissingPackageError, apply_trainable_parts, merge_adapters
from calvinbench.policies.learned.vlm_lstm import VLMLSTM

__all__ = [
    "CONFIG_FILE",
    "SCHEMA_VERSION",
    "TOKENIZER_FOLDER",
    "WEIGHTS_FILE",
    "Checkpoint",
    "CheckpointError",
    "build_model",
    "digest_of",
    "load_checkpoint",
    "load_strictly",
    "merge_checkpoint",
    "save_checkpoint",
]

SCHEMA_VERSION = 1
_NAMES_SHOWN = 8
_READ_AND_WRITE = 0o666


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint that was read.

    Attributes:
        model: The model with its weights, in eval mode.
        config: Its settings.
        digest: SHA-256 of the file of weights.
        notes: Notes of its writer, such as how it was trained or what it was imported from.
    """

    model: VLMLSTM
    config: PolicyConfig
    digest: str
    notes: Mapping[str, Any]


def save_checkpoint(
    folder: Path,
    model: VLMLSTM,
    config: PolicyConfig,
    notes: Mapping[str, Any] | None = None,
    dtype: torch.dtype | None = None,
) -> Path:
    """Writes a checkpoint, over an old one if there is one.

    If it is killed while writing, it leaves the old checkpoint, or one that raises an error when it is read.

    Args:
        folder: The folder, which is created.
        model: The model.
        config: Its settings. A user's own backbone is recorded by its import string.
        notes: Anything that JSON can write.
        dtype: Precision of the weights in the file, such as float16 for a file of half the size. Reading converts them
            back. None keeps their precision.

    Returns:
        The folder.

    Raises:
        BackboneNameError: The backbone's class could not be found again.
    """
    config = replace(config, backbone=name_of(type(model.backbone), config.backbone))
    folder.mkdir(parents=True, exist_ok=True)
    weights = _own_weights(model)
    if dtype is not None:
        weights = {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in weights.items()}
    mode = folder.stat().st_mode & _READ_AND_WRITE  # safetensors would let the owner alone read the file
    with whole_file(folder / WEIGHTS_FILE, mode=mode) as temporary:
        save_file(weights, temporary, metadata={"format": "pt"})
    tokenizer = folder / TOKENIZER_FOLDER
    shutil.rmtree(tokenizer, ignore_errors=True)  # otherwise files of another tokenizer would be read too
    model.backbone.tokenizer.save_pretrained(tokenizer)
    content = {
        "schema_version": SCHEMA_VERSION,
        "policy": config.to_json(),
        "backbone_config": model.backbone.config,
        "weights_digest": digest_of(folder / WEIGHTS_FILE),
        "tokenizer_digest": _digest_of_folder(tokenizer),
        "notes": dict(notes or {}),
    }
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    with whole_file(folder / CONFIG_FILE, mode=mode) as temporary:
        temporary.write_text(text, "utf-8")
    return folder


def load_checkpoint(folder: str | Path) -> Checkpoint:
    """Reads what `save_checkpoint` wrote.

    Raises:
        CheckpointError: There is no checkpoint, it is damaged, or its weights do not belong to its settings.
    """
    place = Path(folder).expanduser()
    content = _read_config(place)
    try:
        config = PolicyConfig.from_json(content["policy"])
        _require_backbone(config.backbone, place)
        digest = digest_of(place / WEIGHTS_FILE)
        _require_digest("weights", digest, content["weights_digest"])
        _require_digest("tokenizer", _digest_of_folder(place / TOKENIZER_FOLDER), content["tokenizer_digest"])
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            place / TOKENIZER_FOLDER, trust_remote_code=False
        )
        weights = load_file(place / WEIGHTS_FILE)
        model = build_model(config, content["backbone_config"], tokenizer)
    except (CheckpointError, UnknownNameError, MissingPackageError):
        raise
    except (OSError, SafetensorError, *BUILD_ERRORS) as error:
        raise CheckpointError(
            f"expected a whole checkpoint in '{place}', but: {type(error).__name__}: {error}. Copy the folder again, "
            "or train again."
        ) from error
    load_strictly(model, weights, f"'{place}'")
    return Checkpoint(model.eval(), config, digest, content.get("notes", {}))


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


def _require_backbone(name: str, folder: Path) -> None:
    """Raises an error for a backbone if its class cannot be found.

    Raises:
        CheckpointError: There is no backbone of this name, or its import string cannot be resolved.
    """
    try:
        backbone_class(name)
    except (UnknownNameError, ImportStringError, BackboneNameError) as error:
        advice = (
            f"If it is your own backbone, write its import string into '{folder / CONFIG_FILE}': under "
            '"policy", "backbone": "package.module:Class".'
            if ":" not in name
            else "The checkpoint was saved with a user's own backbone. Its code is needed to read it."
        )
        raise CheckpointError(f"expected a backbone that can be found for '{folder}', but: {error} {advice}") from error


def build_model(
    config: PolicyConfig, backbone_config: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase
) -> VLMLSTM:
    """Makes a model from settings. Its weights are not initialised.

    Args:
        config: The policy's settings.
        backbone_config: The backbone's numbers, as `Backbone.config` gives them.
        tokenizer: The backbone's.
    """
    with no_init_weights():
        backbone = backbone_class(config.backbone).from_config(backbone_config, tokenizer, config.backbone_settings)
        model = VLMLSTM(backbone, config.head, proprioception=config.proprioception)
    if config.trainable.lora_enable:
        apply_trainable_parts(model, config.trainable)
    return model


def load_strictly(model: nn.Module, weights: Mapping[str, Tensor], origin: str) -> None:
    """Gives a model all its weights.

    Args:
        model: The model.
        weights: Weights by the model's own names. A shared weight is needed under only one of its names.
        origin: Where they are from, for the message.

    Raises:
        CheckpointError: A weight is missing, left over or has another shape.
    """
    own = model.state_dict()
    shapes = [
        f"{name} {tuple(weights[name].shape)} instead of {tuple(own[name].shape)}"
        for name in own.keys() & weights.keys()
        if weights[name].shape != own[name].shape
    ]
    missing = sorted(_own_weights(model).keys() - weights.keys())
    left = sorted(weights.keys() - own.keys())
    if missing or left or shapes:
        raise CheckpointError(
            f"expected in {origin} the weights of this architecture, but {len(missing)} are missing{_some(missing)}, "
            f"{len(left)} left over{_some(left)}, {len(shapes)} of another shape{_some(shapes)}. "
            "The weights and the settings beside them belong to different models."
        )
    model.load_state_dict(dict(weights), strict=False)


def digest_of(file: Path) -> str:
    """SHA-256 of a file.

    Raises:
        OSError: It cannot be read.
    """
    with file.open("rb") as stream:
        return file_digest(stream, "sha256").hexdigest()


def _digest_of_folder(folder: Path) -> str:
    """SHA-256 of the files in a folder and their names."""
    whole = sha256()
    for file in sorted(folder.iterdir()):
        whole.update(f"{file.name} {digest_of(file)}\n".encode())
    return whole.hexdigest()


def _require_digest(what: str, found: str, said: str) -> None:
    if found != said:
        raise ValueError(f"its {what} have SHA-256 {found}, and {CONFIG_FILE} says {said}: a write was interrupted")


def _own_weights(model: nn.Module) -> dict[str, Tensor]:
    """The weights. A weight with several names has the first of them."""
    seen: set[tuple[int, int]] = set()
    weights = {}
    for name, tensor in model.state_dict().items():
        place = (tensor.data_ptr(), tensor.numel())
        if tensor.numel() and place in seen:
            continue
        seen.add(place)
        weights[name] = tensor.contiguous()
    return weights


def _read_config(folder: Path) -> dict[str, Any]:
    file = folder / CONFIG_FILE
    require_checkpoint(folder)
    try:
        content: dict[str, Any] = json.loads(file.read_text("utf-8"))
        version = int(content["schema_version"])
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"expected settings of a checkpoint in '{file}', but: {error!r}.") from error
    if version > SCHEMA_VERSION:
        raise CheckpointError(
            f"expected schema version {SCHEMA_VERSION} or older in '{file}', got {version}. "
            "A later version of calvinbench wrote it. Install that version to read it."
        )
    return content


def _some(names: list[str]) -> str:
    if not names:
        return ""
    rest = f", and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return f" ({', '.join(names[:_NAMES_SHOWN])}{rest})"
