"""A policy's spec with digests in place of paths, so that a moved folder counts as the same policy."""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import torch
from torch import nn

from calvinbench.policies.backbones.registry import HUB_PREFIX
from calvinbench.policies.spec import PolicySpec

_CHECKPOINT, _VLM, _FILES = "checkpoint", "vlm", ("config", "size")
_MOVED = "moved"


@dataclass(frozen=True, slots=True)
class PolicyOrigin:
    """The policy that a training began with.

    Attributes:
        spec: The policy's spec with digests in place of paths; the plain spec if digests are unknown.
        weights_digest: Digest of the weights in the folder that the spec names; None if it names none.
        is_known: Whether digests are known. Trainings by older versions did not record them.
    """

    spec: str
    weights_digest: str | None = None
    is_known: bool = True


def policy_origin(spec: str, weights_digest: Callable[[], str]) -> str:
    """Replaces each path in a spec by a digest of its content. Names stay.

    Args:
        spec: The policy's spec.
        weights_digest: Returns a digest of the initial weights; called if the spec names a folder with weights.
    """
    parsed = PolicySpec.parse(spec)
    argument, place = parsed.argument, weights_folder(spec)
    if place is not None and parsed.kind == _CHECKPOINT:
        argument = f"sha256-{weights_digest()}"
    elif place is not None and argument is not None and argument.startswith(HUB_PREFIX):
        argument = f"{HUB_PREFIX}sha256-{weights_digest()}"
    settings = []
    for key, value in parsed.settings:
        if key == _VLM and place is not None:
            settings.append((key, f"sha256-{weights_digest()}"))
        elif key in _FILES and Path(value).expanduser().is_file():
            settings.append((key, f"sha256-{_digest_of_json(Path(value).expanduser())}"))
        else:
            settings.append((key, value))
    return str(PolicySpec(parsed.kind, argument, tuple(settings)))


def weights_folder(spec: str) -> str | None:
    """The folder with weights that a spec names; None if it names none."""
    parsed = PolicySpec.parse(spec)
    named = dict(parsed.settings).get(_VLM)
    if parsed.argument is not None and (parsed.kind == _CHECKPOINT or parsed.argument.startswith(HUB_PREFIX)):
        named = parsed.argument.removeprefix(HUB_PREFIX)
    return named if named is not None and Path(named).expanduser().is_dir() else None


def without_paths(spec: str) -> str:
    """The spec without paths, to compare with trainings by older versions, which recorded no digests."""
    parsed = PolicySpec.parse(spec)
    argument = parsed.argument
    if argument is not None and (parsed.kind == _CHECKPOINT or argument.startswith(HUB_PREFIX)):
        argument = _MOVED
    settings = tuple((key, _MOVED if key in (_VLM, *_FILES) else value) for key, value in parsed.settings)
    return str(PolicySpec(parsed.kind, argument, settings))


def digest_of_weights(model: nn.Module) -> str:
    """SHA-256 of all weights and their names."""
    whole = sha256()
    for name, tensor in sorted(model.state_dict().items()):
        whole.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        whole.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return whole.hexdigest()


def _digest_of_json(file: Path) -> str:
    """Digest of a JSON file's content; of its bytes if it is not JSON."""
    content = file.read_bytes()
    with suppress(ValueError):
        content = json.dumps(json.loads(content), sort_keys=True).encode()
    return sha256(content).hexdigest()
