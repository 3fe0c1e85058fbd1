"""A policy's spec with what its paths hold in place of them: a folder that was moved is no other policy."""

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
    """What a training began with.

    Attributes:
        spec: The policy's spec, digests in place of paths; as it is, where they are not known.
        weights_digest: Of the weights in a folder that the spec names; None where it names none.
        is_known: Whether digests are known; they are not of trainings by older versions.
    """

    spec: str
    weights_digest: str | None = None
    is_known: bool = True


def policy_origin(spec: str, weights_digest: Callable[[], str]) -> str:
    """The spec, each path in it replaced by a digest of what lies there; names stay as they are.

    Args:
        spec: Of the policy.
        weights_digest: Gives a digest of the weights that training begins with; called where a folder has them.
    """
    parsed = PolicySpec.parse(spec)
    argument, place = parsed.argument, weights_place(spec)
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


def weights_place(spec: str) -> str | None:
    """The folder with weights that a spec names; None where it names none."""
    parsed = PolicySpec.parse(spec)
    named = dict(parsed.settings).get(_VLM)
    if parsed.argument is not None and (parsed.kind == _CHECKPOINT or parsed.argument.startswith(HUB_PREFIX)):
        named = parsed.argument.removeprefix(HUB_PREFIX)
    return named if named is not None and Path(named).expanduser().is_dir() else None


def without_places(spec: str) -> str:
    """The spec without anything that may be a path, for trainings that did not write down what lay there."""
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
    """Of what a file says; of its bytes where it is not JSON."""
    content = file.read_bytes()
    with suppress(ValueError):
        content = json.dumps(json.loads(content), sort_keys=True).encode()
    return sha256(content).hexdigest()
