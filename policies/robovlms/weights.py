"""Reads the weights of a RoboVLMs file without running code from it."""

import pickle
import shlex
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from calvinbench.policies.learned.checkpoint import CheckpointError, digest_of

WEIGHTS_KEYS = ("state_dict", "model_state_dict")
"""The keys under which RoboVLMs' trainers save the weights."""
_DEEPSPEED_STATES = "*mp_rank_*_model_states.pt"
_JOINING_SCRIPT, _JOINING_MODULE = "zero_to_fp32.py", "deepspeed.utils.zero_to_fp32"


class RoboVLMsError(CheckpointError):
    """A RoboVLMs file that cannot be read, or holds something that is not supported."""


def read_weights(file: Path) -> dict[str, Tensor]:
    """Reads the weights by their names in the file, without its prefixes.

    Args:
        file: A file that RoboVLMs' trainers saved, with or without Lightning; or the output of DeepSpeed's
            `zero_to_fp32.py`, which is only the weights, in one file or in a folder of pieces. No code from it is run:
            only tensors and plain values are read (`weights_only`).

    Returns:
        Weights with names that begin with `action_token`, `backbone.` or `act_head.`. They stay on disk until they are
        used, if the format of the file allows it.

    Raises:
        RoboVLMsError: There is no such file, it is damaged, needs pickled classes, or holds no weights.
    """
    if not file.exists():
        raise RoboVLMsError(f"expected a RoboVLMs checkpoint FILE.pt, got '{file}': there is no such file.")
    content: Any = {}
    for piece in weight_files(file):
        loaded = _load_safetensors(piece) if piece.suffix == ".safetensors" else _load(piece)
        content = loaded if not content else {**content, **loaded}
    if isinstance(content, Mapping) and content and all(isinstance(value, Tensor) for value in content.values()):
        content = {WEIGHTS_KEYS[0]: content}
    found = [key for key in WEIGHTS_KEYS if isinstance(content, Mapping) and key in content]
    if not found or not isinstance(content[found[0]], Mapping):
        held = f"keys {', '.join(map(str, list(content)[:8]))}" if isinstance(content, Mapping) else str(type(content))
        raise RoboVLMsError(
            f"expected weights under {' or '.join(WEIGHTS_KEYS)} in '{file}', got {held}. Is it another project's "
            "file, or the weights alone? torch.save({'state_dict': weights}, FILE) makes it one that can be read."
        )
    weights: dict[str, Tensor] = {}
    for name, tensor in content[found[0]].items():
        if not isinstance(tensor, Tensor):
            raise RoboVLMsError(f"expected a tensor as '{name}' in '{file}', got {type(tensor).__name__}.")
        plain = plain_name(name)
        if plain in weights:
            raise RoboVLMsError(f"expected every weight once in '{file}', got '{plain}' under two prefixes.")
        weights[plain] = tensor
    return weights


def weight_files(place: Path) -> tuple[Path, ...]:
    """The files that hold a checkpoint's weights: the file itself, or the pieces in a folder.

    Raises:
        RoboVLMsError: The folder has no weights, or is a folder of DeepSpeed with weights that must be joined first.
    """
    if place.is_file():
        return (place,)
    for pattern in ("pytorch_model*.bin", "model*.safetensors"):
        if pieces := sorted(place.glob(pattern)):
            return tuple(pieces)
    if any(place.glob(f"**/{_DEEPSPEED_STATES}")):
        script = place / _JOINING_SCRIPT
        command = f"python {shlex.quote(str(script))}" if script.is_file() else f"python -m {_JOINING_MODULE}"
        joined = shlex.quote(f"{place.with_suffix('')}-joined")
        needs = "" if script.is_file() else " The script is part of DeepSpeed: pip install deepspeed."
        raise RoboVLMsError(
            f"expected a RoboVLMs checkpoint FILE.pt, got '{place}', a folder that DeepSpeed left: its weights lie in "
            f"pieces, one for each process. Join them where RoboVLMs was trained: {command} {shlex.quote(str(place))} "
            f"{joined}, and name {joined} instead of the folder.{needs}"
        )
    raise RoboVLMsError(
        f"expected a RoboVLMs checkpoint FILE.pt, got the folder '{place}' without weights in it "
        "(pytorch_model*.bin or model*.safetensors). Name the file."
    )


def weights_digest(place: Path) -> str:
    """SHA-256 of a checkpoint's file, or of the names and digests of its pieces.

    Raises:
        OSError: It cannot be read.
    """
    files = weight_files(place)
    if files == (place,):
        return digest_of(place)
    return sha256("".join(f"{file.name} {digest_of(file)}\n" for file in files).encode()).hexdigest()


def plain_name(name: str) -> str:
    """A weight's name without the prefixes of trainers: `module.` (several GPUs, DeepSpeed) and `model.`."""
    name = name.removeprefix("_forward_module.")  # Lightning's wrapper for DeepSpeed
    while name.startswith("module."):
        name = name.removeprefix("module.")
    return name.removeprefix("model.").removeprefix("module.")


def _load_safetensors(file: Path) -> dict[str, Tensor]:
    try:
        return load_file(file)
    except (SafetensorError, OSError) as error:
        raise RoboVLMsError(f"expected weights in '{file}', but: {error}. Copy it again.") from error


def _load(file: Path) -> Any:
    """The content of the file. Tensors are mapped from disk if it is a zip, as torch writes since 1.6."""
    is_zip = file.open("rb").read(2) == b"PK"
    try:
        return torch.load(file, map_location="cpu", weights_only=True, mmap=is_zip)
    except pickle.UnpicklingError as error:
        raise RoboVLMsError(_unpickling_words(file, error, is_zip=is_zip)) from error
    except (RuntimeError, EOFError, KeyError, ValueError, OSError, AttributeError, TypeError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RoboVLMsError(
            f"expected a whole checkpoint as torch.save writes it in '{file}', but: {first} It is damaged, or no "
            "checkpoint: download it again and compare its size."
        ) from error


def _unpickling_words(file: Path, error: Exception, *, is_zip: bool) -> str:
    """The message for a file that cannot be unpickled. It names the classes that the file asks for."""
    wanted: list[str] = []
    if is_zip:
        try:
            wanted = list(torch.serialization.get_unsafe_globals_in_checkpoint(str(file)))
        except (RuntimeError, ValueError, pickle.UnpicklingError):
            wanted = []
    if wanted:
        return (
            f"expected tensors and plain values alone in '{file}', but it asks for {', '.join(sorted(wanted))}. "
            "Classes of a file are not loaded, because that can run any code. If you trust the file, read it with "
            "RoboVLMs' own code and save torch.save({'state_dict': weights}, NEW_FILE)."
        )
    first = str(error).splitlines()[0] if str(error) else type(error).__name__
    return f"expected a checkpoint as torch.save writes it in '{file}', but: {first} Is it damaged, or another file?"
