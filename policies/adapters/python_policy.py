"""A user's own policy: `python:package.module:factory`, called with the settings of the spec."""

from collections.abc import Mapping
from dataclasses import dataclass

from calvinbench.policies.adapters.user_factory import call_user_factory, named_parameters
from calvinbench.policies.policy import Policy
from calvinbench.policies.spec import NotAPolicyError, require_argument
from calvinbench.policies.spec_settings import read_settings, setting_names


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonSettings:
    """Settings of a user's own policy. All other settings go to the user's factory.

    Attributes:
        memory_reset: When the memory is reset: at each new `subtask` or at each new `chain`. It is given to a factory
            with a parameter of this name, or with `**keywords`.
        label: The policy's name in tables. It is also given to a factory with a parameter of this name.
    """

    memory_reset: str | None = None
    label: str | None = None


def make_python_policy(argument: str | None, texts: Mapping[str, str]) -> Policy:
    """Calls a user's factory, which returns a `Policy`.

    Args:
        argument: Import string of a function or class, `package.module:factory`.
        texts: The spec's settings: those of `PythonSettings`, and those of the factory, which are given to it as
            keyword arguments (`spec_values.parse_literal`). `registry.make_policy` puts the label into the traits.

    Raises:
        PolicySpecError: The factory does not take these settings.
        NotAPolicyError: It cannot be called, or returned something that is not a `Policy`.
    """
    import_string = require_argument("python", argument, "an import string package.module:factory")
    names = setting_names(PythonSettings)
    own = read_settings(PythonSettings, {key: text for key, text in texts.items() if key in names}, "python")
    passed_on = {key: text for key, text in texts.items() if key not in names}
    if own.label is not None and named_parameters(import_string, ("label",)):
        passed_on["label"] = own.label
    policy = call_user_factory(
        import_string,
        passed_on,
        own_settings=names,
        offered={} if own.memory_reset is None else {"memory_reset": own.memory_reset},
    )
    if not isinstance(policy, Policy):
        raise NotAPolicyError(
            f"expected '{import_string}' to return a calvinbench.policies.policy.Policy (traits, initial_state, "
            f"reset_state, act), got {type(policy).__name__}. See calvinbench.policies.check.check_policy."
        )
    return policy
