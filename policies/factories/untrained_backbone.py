"""The VLM of an untrained policy: tiny, in given numbers, or with pretrained weights."""

import json
from pathlib import Path
from typing import Any

import torch

from calvinbench.envs.names import UnknownNameError, require_name
from calvinbench.policies.backbones.backbone import Backbone
from calvinbench.policies.backbones.prompts.tiny_tokenizer import tiny_tokenizer
from calvinbench.policies.backbones.registry import HUB_PREFIX, backbone_class
from calvinbench.policies.backbones.settings import BackboneSettings
from calvinbench.policies.backbones.weights.random import weights_from
from calvinbench.policies.backbones.weights.sources import BUILD_ERRORS, BackboneSourceError
from calvinbench.policies.spec import PolicySpecError

SIZES = ("tiny", "full")
PUBLISHED = "published"
"""As value of `vlm`: the backbone's own published weights."""


def pretrained_source(name: str, vlm: str | None) -> str | None:
    """The source of the VLM's pretrained weights; None if its weights are random.

    Args:
        name: The backbone's name.
        vlm: The setting of that name.

    Raises:
        PolicySpecError: The source is named twice, or `hf:` is not followed by a name.
    """
    if not name.startswith(HUB_PREFIX):
        return vlm
    source = name.removeprefix(HUB_PREFIX)
    if vlm is not None or not source:
        raise PolicySpecError(
            f"expected the VLM's name or folder behind 'untrained:{HUB_PREFIX}' and nowhere else, got '{name}'"
            f"{'' if vlm is None else f' and vlm={vlm}'}. Write untrained:{HUB_PREFIX}ORG/NAME."
        )
    return source


def make_backbone(
    name: str,
    size: str,
    source: str | None,
    settings: BackboneSettings,
    generator: torch.Generator,
    dtype: torch.dtype,
) -> Backbone:
    """Makes the VLM.

    Args:
        name: The backbone's name.
        size: One of `SIZES`, or a JSON file with the backbone's numbers; for a VLM with random weights.
        source: Where pretrained weights are, as `pretrained_source` returns it.
        settings: How the backbone is used.
        generator: For random weights.
        dtype: Precision of pretrained weights.

    Raises:
        UnknownNameError: There is no such backbone, size or number.
        PolicySpecError: The numbers in the file cannot be used.
        BackboneSourceError: The pretrained weights are not there.
    """
    kind = backbone_class(name)
    if source is not None:
        published = kind.hub_name or "wheels"
        with weights_from(generator):  # for weights that the published ones lack
            return kind.pretrained(published if source == PUBLISHED else source, settings, dtype)
    if size == "tiny":
        return kind.tiny(generator, settings)
    if size.endswith(".json"):
        numbers, is_own = _numbers(Path(size)), False
    else:
        require_name(size, SIZES, "size")
        numbers, is_own = kind.full_config(), True
    try:
        if not is_own:
            kind.require_known(numbers)
        with weights_from(generator):
            return kind.from_config(numbers, tiny_tokenizer(kind.special_tokens), settings)
    except (UnknownNameError, BackboneSourceError):
        raise
    except BUILD_ERRORS as error:
        if is_own:  # the numbers are right, so a setting is wrong, and the error names it
            raise
        raise PolicySpecError(
            f"expected numbers for {name} in '{size}', but: {type(error).__name__}: {error}"
        ) from error


def _numbers(file: Path) -> dict[str, Any]:
    """A backbone's numbers from a file: alone, or in a checkpoint's `policy.json`."""
    try:
        content: Any = json.loads(file.expanduser().read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise PolicySpecError(
            f"expected a JSON file with a backbone's numbers as size, got '{file}': {error}"
        ) from error
    numbers = content.get("backbone_config", content) if isinstance(content, dict) else content
    if not isinstance(numbers, dict) or not numbers:
        raise PolicySpecError(
            f"expected a mapping of a backbone's numbers in '{file}', got {json.dumps(numbers)[:80]}."
        )
    return numbers
