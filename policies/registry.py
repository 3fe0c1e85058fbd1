"""From a policy spec to a policy. A new kind is one file and one line here, or an import string and no line."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from calvinbench.envs.names import UnknownNameError, require_name
from calvinbench.policies.adapters.relabelled import relabelled
from calvinbench.policies.import_string import import_object
from calvinbench.policies.policy import Memory, Policy
from calvinbench.policies.spec import PolicySpec, PolicySpecError, kind_hint
from calvinbench.policies.spec_settings import LABEL, read_settings, require_settings, setting_names, with_new_names

__all__ = ["POLICY_KINDS", "PolicyKind", "PolicySpec", "make_policy", "require_kind", "settings_of"]


class PolicyKind(NamedTuple):
    """A kind of policy, by import strings.

    Attributes:
        factory: A function `(argument: str | None, settings) -> Policy`. `settings` is an instance of the dataclass; it
            is left out for a kind without settings.
        settings: The frozen dataclass of its settings; None for a kind without settings.
        passes_on: Whether further settings of the spec go to a user's own code. The factory is then given all settings
            as a mapping of texts, because the user's code may take a setting of ours for itself.
    """

    factory: str
    settings: str | None = None
    passes_on: bool = False


POLICY_KINDS: Mapping[str, PolicyKind] = MappingProxyType(
    {
        "calvin": PolicyKind(
            "calvinbench.policies.adapters.calvin_model:make_calvin_policy",
            "calvinbench.policies.adapters.calvin_settings:CalvinSettings",
            passes_on=True,
        ),
        "checkpoint": PolicyKind(
            "calvinbench.policies.factories.checkpoint:make_checkpoint_policy",
            "calvinbench.policies.factories.checkpoint_settings:CheckpointSettings",
        ),
        "expert": PolicyKind(
            "calvinbench.policies.baselines.expert:make_expert_policy",
            "calvinbench.policies.baselines.expert:ExpertSettings",
        ),
        "python": PolicyKind(
            "calvinbench.policies.adapters.python_policy:make_python_policy",
            "calvinbench.policies.adapters.python_policy:PythonSettings",
            passes_on=True,
        ),
        "random": PolicyKind("calvinbench.policies.baselines.random:make_random_policy"),
        "robovlms": PolicyKind(
            "calvinbench.policies.robovlms.checkpoint:make_robovlms_policy",
            "calvinbench.policies.robovlms.settings:RoboVLMsSettings",
        ),
        "ws": PolicyKind(
            "calvinbench.policies.adapters.remote.factory:make_remote_policy",
            "calvinbench.policies.adapters.remote.settings:RemoteSettings",
        ),
        "untrained": PolicyKind(
            "calvinbench.policies.factories.untrained:make_untrained_policy",
            "calvinbench.policies.factories.untrained_settings:UntrainedSettings",
        ),
    }
)
"""Kinds of policies by name."""


def require_kind(spec: PolicySpec) -> str:
    """Returns the kind of a spec if there is such a kind.

    Raises:
        UnknownNameError: There is none. The message says which was probably meant, or which kind to put in front.
    """
    try:
        return require_name(spec.kind, POLICY_KINDS, "policy kind")
    except UnknownNameError as error:
        hint = kind_hint(spec.kind, spec.argument)
        raise UnknownNameError(f"{error}{hint}") from None


def settings_of(kind: str) -> type[Any] | None:
    """The dataclass of a kind's settings, without importing torch; None for a kind without settings.

    Its fields are the settings that a spec may have. Its docstring, with those of its base classes, says what each
    means. Every kind also takes `label`, the policy's name in tables.

    Raises:
        UnknownNameError: There is no such kind.
    """
    found = POLICY_KINDS[require_name(kind, POLICY_KINDS, "policy kind")].settings
    return None if found is None else import_object(found)


def make_policy(spec: PolicySpec | str, memory_reset: str | None = None) -> Policy:
    """Makes the policy that a spec names.

    Args:
        spec: `KIND[:ARGUMENT][,key=value...]`, as text or parsed. Every kind takes the setting `label`.
        memory_reset: `"subtask"` or `"chain"`; None for the policy's own default. A policy without memory accepts both.

    Raises:
        PolicySpecError: The spec cannot be read, or one of its values cannot be used.
        UnknownNameError: There is no such kind, backbone or setting. The message says which was probably meant.
        ImportStringError: An import string in the spec cannot be resolved.
        ValueError: The policy cannot reset its memory at that moment.
    """
    parsed = PolicySpec.parse(spec) if isinstance(spec, str) else spec
    kind = POLICY_KINDS[require_kind(parsed)]
    settings = settings_of(parsed.kind)
    names = setting_names(settings)
    texts = with_new_names(settings, dict(parsed.settings))
    label = texts.get(LABEL) if LABEL in names else texts.pop(LABEL, None)
    if not kind.passes_on:
        require_settings(settings, texts, parsed.kind)
    wanted = _wanted_reset(texts, memory_reset)
    if wanted is not None and "memory_reset" in names:
        texts["memory_reset"] = wanted
    policy = _make(parsed, kind, settings, texts)
    remembered = policy.traits.memory
    if wanted is not None and remembered.span != "none" and remembered.reset != wanted:
        raise ValueError(
            f"expected a policy whose memory is reset at each {wanted}, but '{parsed}' resets it at each "
            f"{remembered.reset}. Remove the memory reset for this policy, or make its factory take a parameter "
            "'memory_reset' and put it into its traits."
        )
    return policy if label is None else relabelled(policy, label)


def _make(spec: PolicySpec, kind: PolicyKind, settings: type[Any] | None, texts: Mapping[str, str]) -> Policy:
    """Calls the kind's factory."""
    factory = import_object(kind.factory)
    arguments: tuple[Any, ...] = ()
    if kind.passes_on:
        arguments = (texts,)
    elif settings is not None:
        arguments = (read_settings(settings, texts, spec.kind),)
    policy: Policy = factory(spec.argument, *arguments)
    return policy


def _wanted_reset(texts: Mapping[str, str], memory_reset: str | None) -> str | None:
    """When memory is reset, as the spec or the caller says; raises an error if the two disagree."""
    in_spec = texts.get("memory_reset")
    if None not in (in_spec, memory_reset) and in_spec != memory_reset:
        raise PolicySpecError(
            f"expected one memory reset, got '{in_spec}' in the policy spec and '{memory_reset}' "
            "outside of it. Remove one of them."
        )
    wanted = in_spec if memory_reset is None else memory_reset
    return None if wanted is None else Memory(reset=wanted).reset
