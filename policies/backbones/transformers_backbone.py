"""Backbones that transformers provides as one class without a language-modelling head.

The model gets finished vision tokens (`mm_encoder_outputs`), [LRN] through its text embedding, and the other tokens as
ids. So rotary sections, masks and scaling are the model's own.
"""

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, ClassVar, cast

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModel,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.modeling_outputs import BaseModelOutputWithPooling
from typing_extensions import override

from calvinbench.envs.names import require_name
from calvinbench.policies.backbones.backbone import Backbone
from calvinbench.policies.backbones.hub.peft_adapters import base_folder, is_adapter, load_with_adapter
from calvinbench.policies.backbones.prompts.prompt import TokenBatch
from calvinbench.policies.backbones.settings import BackboneSettings
from calvinbench.policies.backbones.weights.sources import BUILD_ERRORS, BackboneSourceError, local_folder

_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
_TOKENIZERS = ("tokenizer*", "*.model", "vocab.*", "spiece.*")
"""Possible files of a tokenizer."""


class TransformersBackbone(Backbone):
    """A VLM that `AutoModel` knows."""

    model_types: ClassVar[tuple[str, ...]]
    """Values of `model_type` in the configurations of this family; empty for any."""
    takes_tensor: bool = False
    """Whether the model takes vision tokens as one tensor instead of a tuple of tensors."""

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, settings: BackboneSettings) -> None:
        """Takes the model.

        Args:
            model: A model made by `AutoModel`.
            tokenizer: The model's tokenizer.
            settings: How it is used.
        """
        super().__init__(tokenizer, settings)
        self.model = model

    @classmethod
    @override
    def from_config(
        cls, config: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase, settings: BackboneSettings
    ) -> "TransformersBackbone":
        return cls(cls._model_of(config), tokenizer, settings)

    @classmethod
    @override
    def require_known(cls, config: Mapping[str, Any]) -> None:
        """Checks the names, because transformers accepts any name and ignores it."""
        cls._require_type(config.get("model_type"), "the configuration")
        numbers = {key: value for key, value in config.items() if key != "model_type"}
        _require_known(AutoConfig.for_model(config["model_type"], **numbers), numbers, cls.name)

    @classmethod
    @override
    def pretrained(cls, source: str | Path, settings: BackboneSettings, dtype: torch.dtype) -> "TransformersBackbone":
        """The weights of a folder that `save_pretrained` wrote, with the tokenizer."""
        folder = local_folder(source, cls.hub_name or "ORG/NAME")
        return cls(*cls._load(folder, dtype), settings)

    @classmethod
    def _model_of(cls, config: Mapping[str, Any]) -> PreTrainedModel:
        """The model of a configuration, with random weights."""
        numbers = dict(config)
        model_type = numbers.pop("model_type", None)
        cls._require_type(model_type, "the configuration")
        model: PreTrainedModel = AutoModel.from_config(AutoConfig.for_model(model_type, **numbers))
        return model

    @classmethod
    def _load(cls, folder: Path, dtype: torch.dtype) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        """Model and tokenizer of a folder. An adapter is merged into its model."""
        base = base_folder(folder) if is_adapter(folder) else folder
        _require_model_files(base, cls.name)
        try:
            config = AutoConfig.from_pretrained(base, trust_remote_code=False)
            cls._require_type(config.model_type, f"'{base}'")
            if base is folder:
                # `from_pretrained` keeps the dtype of the file if none is given.
                model, info = AutoModel.from_pretrained(
                    folder, dtype=dtype, output_loading_info=True, trust_remote_code=False
                )
            else:
                model, info = load_with_adapter(base, folder, dtype)
            tokenizer = AutoTokenizer.from_pretrained(_tokenizer_folder(folder, base), trust_remote_code=False)
        except BackboneSourceError:
            raise
        except (OSError, ImportError, SafetensorError, *BUILD_ERRORS) as error:
            raise BackboneSourceError(
                f"expected weights, configuration and tokenizer of {cls.name} in '{folder}', but: "
                f"{type(error).__name__}: {error}. The folder must be one that `save_pretrained` of model and "
                "tokenizer wrote, or an unpacked snapshot of the hub. Copy or download it again."
            ) from error
        left = [name for name in info["unexpected_keys"] if "lm_head" not in name]
        if info["missing_keys"] or left or info["mismatched_keys"]:
            raise BackboneSourceError(
                f"expected the weights of {cls.name} in '{folder}', but of its names are missing "
                f"{sorted(info['missing_keys'])}, left over {sorted(left)}, of another shape "
                f"{sorted(info['mismatched_keys'])}. The weights and the config.json do not belong together."
            )
        return model, tokenizer

    @classmethod
    def _require_type(cls, model_type: str | None, what: str) -> None:
        """Raises an error for another architecture's configuration."""
        if model_type is None or (cls.model_types and model_type not in cls.model_types):
            raise BackboneSourceError(
                f"expected {what} to be of {' or '.join(cls.model_types) or 'a model type'} for the backbone "
                f"'{cls.name}', got model type '{model_type}'. Name its own backbone (`calvinbench list "
                "backbones`), or hf:ORG/NAME for a VLM that has no name here."
            )

    @property
    @override
    def config(self) -> dict[str, Any]:
        """The configuration as `from_config` takes it."""
        numbers: dict[str, Any] = json.loads(self.model.config.to_json_string(use_diff=True))
        return _architecture(numbers) | {"model_type": self.model.config.model_type}

    @override
    def decode(
        self,
        tokens: TokenBatch,
        vision_tokens: Float[Tensor, "B num_vision vision_dim"],
        lrn: Float[Tensor, " width"],
    ) -> Float[Tensor, "B L width"]:
        with self.lrn_embedded(tokens, lrn):
            hidden: Tensor = self.model(
                input_ids=tokens.ids,
                attention_mask=tokens.attended.long(),
                use_cache=False,
                **self.vision_inputs(tokens, vision_tokens),
                **self.decoder_inputs(tokens),
            ).last_hidden_state
        return hidden

    @override
    def image_features(self, pixels: Float[Tensor, "N 3 size size"]) -> Float[Tensor, "N num_image_tokens vision_dim"]:
        model: Any = self.model
        pooled = model.get_image_features(**self.image_inputs(pixels), return_dict=True).pooler_output
        features: Tensor = pooled if isinstance(pooled, Tensor) else torch.stack(tuple(pooled))
        return features

    def image_inputs(self, pixels: Float[Tensor, "N 3 size size"]) -> dict[str, Tensor]:
        """The inputs of the model's `get_image_features`."""
        return {"pixel_values": pixels}

    def vision_inputs(self, tokens: TokenBatch, vision_tokens: Float[Tensor, "B num_vision dim"]) -> dict[str, Any]:
        """The vision tokens as the model takes them: like the output of its own `get_image_features`."""
        pooled: Any = vision_tokens if self.takes_tensor else tuple(vision_tokens)
        return {"mm_encoder_outputs": {"image": BaseModelOutputWithPooling(pooler_output=pooled)}}

    def decoder_inputs(self, tokens: TokenBatch) -> dict[str, Any]:
        """The model's other inputs: positions, types of tokens."""
        return {"position_ids": tokens.positions}


def _require_model_files(folder: Path, name: str) -> None:
    """Raises one error that names everything that a model's folder lacks.

    Raises:
        BackboneSourceError: A configuration, weights or a tokenizer are missing.
    """
    if (folder / "policy.json").is_file():
        raise BackboneSourceError(
            f"expected a VLM as transformers saves it for '{name}', got '{folder}', which is a policy's checkpoint. "
            f"Write checkpoint:{folder}."
        )
    wanted = {"config.json": ("config.json",), "weights": _WEIGHTS, "a tokenizer": _TOKENIZERS}
    missing = [what for what, patterns in wanted.items() if not any(any(folder.glob(one)) for one in patterns)]
    if missing:
        found = ", ".join(sorted(entry.name for entry in folder.iterdir())[:8]) or "nothing"
        raise BackboneSourceError(
            f"expected a model that transformers saved, with a config.json, weights (model.safetensors) and a "
            f"tokenizer, got '{folder}' without {' and '.join(missing)} (it holds: {found}). Name the folder that "
            "`model.save_pretrained` and `tokenizer.save_pretrained` wrote, or the unpacked snapshot of the hub."
        )


def _tokenizer_folder(folder: Path, base: Path) -> Path:
    """Where the tokenizer is: beside an adapter if it was saved there, otherwise with the model."""
    return folder if any(any(folder.glob(one)) for one in _TOKENIZERS) else base


def _require_known(config: PreTrainedConfig, numbers: Mapping[str, Any], what: str) -> None:
    """Raises an error for a key that a configuration, or one of its parts, does not have."""
    # A configuration of transformers is a dataclass, although its annotations do not say so.
    known = {entry.name for entry in fields(cast("Any", config))} | set(config.attribute_map) | {"model_type"}
    for key, value in numbers.items():
        require_name(key, known, f"number of '{what}'")
        part = getattr(config, key)
        if isinstance(part, PreTrainedConfig) and isinstance(value, Mapping):
            _require_known(part, value, f"{what}.{key}")


_NO_ARCHITECTURE = ("dtype", "architectures", "transformers_version", "_name_or_path")
"""Keys about a configuration's origin. The user chooses the dtype, not the file."""


def _architecture(numbers: dict[str, Any]) -> dict[str, Any]:
    """A configuration, and its parts, without the keys that are not about the architecture."""
    return {
        key: _architecture(value) if isinstance(value, dict) else value
        for key, value in numbers.items()
        if key not in _NO_ARCHITECTURE
    }
