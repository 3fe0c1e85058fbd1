"""Policies of a user's own: `python:package.module:factory`, called with the spec's settings."""

import inspect

from calvinbench.policies.import_string import import_object
from calvinbench.policies.policy import Policy
from calvinbench.policies.spec import NotAPolicyError, PolicySpecError, require_argument


def make_python_policy(argument: str | None, *, memory_reset: str | None = None, **settings: str) -> Policy:
    """Calls a user's factory, which returns a `Policy`.

    Args:
        argument: Import string of a function or class, `package.module:factory`.
        memory_reset: Passed on to a factory that has a parameter of this name.
        settings: Passed on as keyword arguments, as text.

    Raises:
        PolicySpecError: The factory does not take these settings.
        NotAPolicyError: It returned something that is not a `Policy`.
    """
    import_string = require_argument("python", argument, "an import string package.module:factory")
    factory = import_object(import_string)
    keywords = dict(settings)
    try:
        signature = inspect.signature(factory)
        if memory_reset is not None and "memory_reset" in signature.parameters:
            keywords["memory_reset"] = memory_reset
        signature.bind(**keywords)
    except TypeError as error:
        raise PolicySpecError(
            f"expected '{import_string}' to be called with settings {sorted(keywords)}, but: {error}. "
            "Give exactly the keyword arguments that it takes, as ',key=value' in the policy spec."
        ) from error
    policy = factory(**keywords)
    if not isinstance(policy, Policy):
        raise NotAPolicyError(
            f"expected '{import_string}' to return a calvinbench.policies.policy.Policy (traits, initial_state, "
            f"reset_state, act), got {type(policy).__name__}. See calvinbench.policies.check.check_policy."
        )
    return policy
