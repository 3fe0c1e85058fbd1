"""A user's own class or function, called with the settings of a policy spec."""

import inspect
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Any

from calvinbench.policies.import_string import import_object
from calvinbench.policies.spec import NotAPolicyError, PolicySpecError
from calvinbench.policies.spec_values import parse_literal

_MISSPELT = 0.8
"""A key this similar (`difflib`'s ratio) to one of our own settings counts as misspelt."""


def named_parameters(import_string: str, keys: Collection[str]) -> frozenset[str]:
    """Which of these keys are parameters of a user's class or function; `**keywords` does not count.

    A setting that we added later may already be a parameter of a user's class. It then goes to that class.

    Raises:
        ImportStringError: The import string cannot be resolved.
        UnknownNameError: The module has no such name.
    """
    try:
        parameters = inspect.signature(import_object(import_string)).parameters.values()
    except (TypeError, ValueError):  # it cannot be called, or its parameters are not known
        return frozenset()
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return frozenset(parameter.name for parameter in parameters if parameter.kind in kinds) & frozenset(keys)


def call_user_factory(
    import_string: str,
    settings: Mapping[str, str],
    own_settings: Collection[str],
    offered: Mapping[str, str] | None = None,
) -> Any:
    """Calls what an import string names, with the settings as keyword arguments.

    Args:
        import_string: A class or a function.
        settings: The spec's settings that are not our own, as texts. `spec_values.parse_literal` reads them.
        own_settings: Names of our own settings.
        offered: Keyword arguments for a parameter of that name, or for `**keywords`; left out without such a parameter.

    Raises:
        ImportStringError: The import string cannot be resolved.
        UnknownNameError: The module has no such name.
        NotAPolicyError: What it names cannot be called.
        PolicySpecError: It does not take these settings, or one of ours is misspelt.
    """
    factory = import_object(import_string)
    if not callable(factory):
        raise NotAPolicyError(
            f"expected '{import_string}' to be a class or a function, got an object of {type(factory).__name__}. "
            "Name the class or function that makes the policy, not the policy itself."
        )
    keywords: dict[str, Any] = {key: parse_literal(value) for key, value in settings.items()}
    try:
        signature = inspect.signature(factory)
        _refuse_misspelt(settings, own_settings, signature, import_string)
        keywords |= {key: value for key, value in (offered or {}).items() if _takes(signature, key)}
        signature.bind(**keywords)
    except TypeError as error:
        raise PolicySpecError(
            f"expected '{import_string}' to be called with settings {sorted(keywords)}, but: {error}. "
            "Give exactly the keyword arguments that it takes, as ',key=value' in the policy spec."
        ) from error
    return factory(**keywords)


def _takes(signature: inspect.Signature, key: str) -> bool:
    """Whether there is a parameter of this name, or `**keywords`."""
    parameters = signature.parameters.values()
    return key in signature.parameters or any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)


def _refuse_misspelt(
    settings: Collection[str], own_settings: Collection[str], signature: inspect.Signature, import_string: str
) -> None:
    """Raises an error for a key that is nearly one of ours, because a class with `**kwargs` would accept it."""
    for key in settings:
        guesses = get_close_matches(key, own_settings, n=1, cutoff=_MISSPELT)
        if guesses and key not in signature.parameters:
            raise PolicySpecError(
                f"expected a setting of '{import_string}' or {', '.join(sorted(own_settings))}, got '{key}'. "
                f"Did you mean '{guesses[0]}'? If not, make '{key}' a named parameter of '{import_string}'."
            )
