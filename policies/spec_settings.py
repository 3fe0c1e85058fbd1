"""The settings of a policy spec: from its `key=value` texts to the dataclass of its kind of policy.

Each kind has one frozen dataclass with a docstring line for each setting. The names and types of its fields say which
settings a spec may have and how their texts are read.
"""

import logging
from collections.abc import Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import Any, TypeVar, get_type_hints

from calvinbench.envs.names import require_name
from calvinbench.policies.spec import PolicySpecError
from calvinbench.policies.spec_values import read_value

SettingsT = TypeVar("SettingsT")
LABEL = "label"
"""The setting that every kind takes: the policy's name in tables."""
_RENAMED: Mapping[str, str] = MappingProxyType(
    {"picture_size": "image_size", "blind": "blank_images", "deaf": "no_instruction"}
)
"""Old names of settings, which are still accepted, and their new ones."""
_ALIASES: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("window", "window_size", "memory", "history"), "memory_span"),
        **dict.fromkeys(("reset",), "memory_reset"),
        **dict.fromkeys(("hidden", "hidden_size", "width"), "hidden_dim"),
        **dict.fromkeys(("layers", "depth"), "num_layers"),
        **dict.fromkeys(("chunk", "chunk_size", "action_horizon", "horizon"), "chunk_length"),
        **dict.fromkeys(("ensemble", "chunking", "execute"), "chunk_rule"),
        **dict.fromkeys(("precision", "torch_dtype"), "dtype"),
        **dict.fromkeys(("camera", "views"), "cameras"),
        **dict.fromkeys(("resolution", "img_size"), "image_size"),
        **dict.fromkeys(("state", "use_state", "robot_state", "proprio"), "proprioception"),
        **dict.fromkeys(("weights", "pretrained", "path", "model_path"), "vlm"),
        **dict.fromkeys(("cuda", "gpu"), "device"),
        **dict.fromkeys(("random_seed",), "seed"),
    }
)
"""Names that other projects use for our settings. They are suggested in error messages, not accepted."""
_logger = logging.getLogger(__name__)


def setting_names(settings: type[Any] | None) -> tuple[str, ...]:
    """Names of the settings that a dataclass declares; none for None."""
    return () if settings is None else tuple(field.name for field in fields(settings))


def with_new_names(settings: type[Any] | None, texts: Mapping[str, str]) -> dict[str, str]:
    """The texts with old names of settings replaced by new ones; each logs a warning.

    Args:
        settings: The dataclass of the kind.
        texts: Values by key, as the spec has them.

    Raises:
        PolicySpecError: A setting is given under both names.
    """
    names = setting_names(settings)
    renamed: dict[str, str] = {}
    for key, text in texts.items():
        name = _RENAMED.get(key, key)
        if key in names or name not in names:
            name = key
        if name != key and name in texts:
            raise PolicySpecError(f"expected '{name}' once, got it also under its old name '{key}'. Remove '{key}'.")
        if name != key:
            _logger.warning("the setting '%s' of a policy spec is now called '%s'; write '%s'", key, name, name)
        renamed[name] = text
    return renamed


def require_settings(settings: type[Any] | None, texts: Mapping[str, str], kind: str) -> None:
    """Raises an error for a setting that the kind does not have.

    Args:
        settings: The dataclass of the kind; None for a kind without settings.
        texts: Values by key, as the spec has them.
        kind: The kind of policy, for messages.

    Raises:
        PolicySpecError: The kind has no settings.
        UnknownNameError: The kind has other settings. The message says which was probably meant.
    """
    names = setting_names(settings)
    for key in texts:
        if not names and key != LABEL:
            raise PolicySpecError(
                f"expected no settings for '{kind}', got '{key}={texts[key]}'. Write '{kind}', or "
                f"'{kind},{LABEL}=NAME' to name it in tables."
            )
        require_name(key, {*names, LABEL}, f"setting of '{kind}'", _ALIASES)


def read_settings(settings: type[SettingsT], texts: Mapping[str, str], kind: str) -> SettingsT:
    """Reads the settings of a spec into the dataclass of its kind.

    Args:
        settings: The dataclass.
        texts: Values by key, as the spec has them.
        kind: The kind of policy, for messages.

    Raises:
        PolicySpecError: A value is not of its setting's type, or is outside its limits.
        UnknownNameError: There is no such setting or choice. The message says which was probably meant.
    """
    require_settings(settings, texts, kind)
    types = get_type_hints(settings, include_extras=True)
    return settings(**{key: read_value(key, types[key], text) for key, text in texts.items()})
