"""Policies of a user's own: `python:package.module:factory`, called with the spec's settings."""

from calvinbench.policies.adapters.user_factory import call_user_factory, named_parameters
from calvinbench.policies.policy import Policy
from calvinbench.policies.spec import NotAPolicyError, require_argument


def make_python_policy(
    argument: str | None, *, memory_reset: str | None = None, label: str | None = None, **settings: str
) -> Policy:
    """Calls a user's factory, which returns a `Policy`.

    Args:
        argument: Import string of a function or class, `package.module:factory`.
        memory_reset: Passed on to a factory that has a parameter of this name or takes any keyword.
        label: Passed on to a factory that names a parameter `label`; `registry.make_policy` sees to the traits.
        settings: Passed on as keyword arguments; see `spec.parse_literal`.

    Raises:
        PolicySpecError: The factory does not take these settings.
        NotAPolicyError: It cannot be called, or returned something that is not a `Policy`.
    """
    import_string = require_argument("python", argument, "an import string package.module:factory")
    if label is not None and named_parameters(import_string, ("label",)):
        settings["label"] = label
    policy = call_user_factory(
        import_string,
        settings,
        own_settings=("memory_reset", "label"),
        offered={} if memory_reset is None else {"memory_reset": memory_reset},
    )
    if not isinstance(policy, Policy):
        raise NotAPolicyError(
            f"expected '{import_string}' to return a calvinbench.policies.policy.Policy (traits, initial_state, "
            f"reset_state, act), got {type(policy).__name__}. See calvinbench.policies.check.check_policy."
        )
    return policy
