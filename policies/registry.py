"""From a policy spec to a policy. A kind is one line here and one file, or an import string and no line."""

import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from calvinbench.envs.names import UnknownNameError, require_name
from calvinbench.policies.adapters.relabelled import relabelled
from calvinbench.policies.import_string import import_object
from calvinbench.policies.policy import Memory, Policy
from calvinbench.policies.spec import PolicySpec, PolicySpecError, kind_hint

__all__ = ["POLICY_KINDS", "PolicySpec", "make_policy", "require_kind"]

POLICY_KINDS: Mapping[str, str] = MappingProxyType(
    {
        "calvin": "calvinbench.policies.adapters.calvin_model:make_calvin_policy",
        "checkpoint": "calvinbench.policies.learned_policies:make_checkpoint_policy",
        "expert": "calvinbench.policies.baselines.expert:make_expert_policy",
        "python": "calvinbench.policies.adapters.python_policy:make_python_policy",
        "random": "calvinbench.policies.baselines.random:make_random_policy",
        "robovlms": "calvinbench.policies.robovlms.checkpoint:make_robovlms_policy",
        "ws": "calvinbench.policies.adapters.remote.policy:make_remote_policy",
        "untrained": "calvinbench.policies.learned_policies:make_untrained_policy",
    }
)
"""Kind to factory. A factory is a function `(argument: str | None, *, key: str = ..., ...) -> Policy`."""
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
"""Other names for settings of a spec: suggested, not accepted."""

LABEL = "label"
"""The setting that every kind takes: what tables call the policy."""


def require_kind(spec: PolicySpec) -> str:
    """Returns the kind of a spec if there is such a kind.

    Raises:
        UnknownNameError: There is none; the message says which was probably meant, or which kind to put in front.
    """
    try:
        return require_name(spec.kind, POLICY_KINDS, "policy kind")
    except UnknownNameError as error:
        hint = kind_hint(spec.kind, spec.argument)
        raise UnknownNameError(f"{error}{hint}") from None


def make_policy(spec: PolicySpec | str, memory_reset: str | None = None) -> Policy:
    """Makes the policy that a spec names.

    Args:
        spec: `KIND[:ARGUMENT][,key=value...]`, as text or parsed. The setting `label` is taken by every kind.
        memory_reset: `"subtask"` or `"chain"`, None for the policy's own default. A policy that remembers nothing
            takes either.

    Raises:
        PolicySpecError: The spec cannot be read, or a value of it cannot be used.
        UnknownNameError: There is no such kind, backbone or setting; the message says which was probably meant.
        ImportStringError: An import string in the spec leads nowhere.
        ValueError: The policy cannot forget when `memory_reset` says.
    """
    parsed = PolicySpec.parse(spec) if isinstance(spec, str) else spec
    factory = import_object(POLICY_KINDS[require_kind(parsed)])
    parameters = inspect.signature(factory).parameters
    settings = dict(parsed.settings)
    label = settings.get(LABEL) if LABEL in parameters else settings.pop(LABEL, None)
    _require_settings(factory, settings, parsed.kind)
    wanted = _wanted_reset(settings, memory_reset)
    if wanted is not None and "memory_reset" in parameters:
        settings["memory_reset"] = wanted
    policy: Policy = factory(parsed.argument, **settings)
    remembered = policy.traits.memory
    if wanted is not None and remembered.span != "none" and remembered.reset != wanted:
        raise ValueError(
            f"expected a policy whose memory is reset at each {wanted}, but '{parsed}' resets it at each "
            f"{remembered.reset}. Leave the memory reset out for this policy, or make its factory take a parameter "
            "'memory_reset' and say so in its traits."
        )
    return policy if label is None else relabelled(policy, label)


def _require_settings(factory: Callable[..., Any], settings: Mapping[str, str], kind: str) -> None:
    """Refuses settings that the kind's factory does not know."""
    parameters = inspect.signature(factory).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return
    known = [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]
    for key in settings:
        if not known:
            raise PolicySpecError(
                f"expected no settings for '{kind}', got '{key}={settings[key]}'. Write '{kind}', or "
                f"'{kind},{LABEL}=NAME' to name it in tables."
            )
        require_name(key, {*known, LABEL}, f"setting of '{kind}'", _ALIASES)


def _wanted_reset(settings: Mapping[str, str], memory_reset: str | None) -> str | None:
    """When memory is to be forgotten, as the spec or the caller says; refuses the two contradicting each other."""
    in_spec = settings.get("memory_reset")
    if None not in (in_spec, memory_reset) and in_spec != memory_reset:
        raise PolicySpecError(
            f"expected one memory reset, got '{in_spec}' in the policy spec and '{memory_reset}' "
            "beside it. Leave one of them out."
        )
    wanted = in_spec if memory_reset is None else memory_reset
    return None if wanted is None else Memory(reset=wanted).reset
