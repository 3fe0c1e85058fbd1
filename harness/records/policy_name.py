"""The short name of a run's policy, and what the label says besides: size and origin."""

import re
from dataclasses import dataclass

from calvinbench.harness.records.description import RunDescription
from calvinbench.policies.spec import PolicySpec, PolicySpecError, kind_of

_LABEL_OF_A_MODEL = re.compile(r"(?P<name>.+?) \((?P<size>[0-9.]+[MB]), (?P<origin>[^()]+)\)(?P<rest>.*)")
"""The label that `VLMLSTMPolicy` gives itself, such as `paligemma (1.5M, trained here)`."""
_IN_PLAIN_WORDS = {"blind": "blank images", "deaf": "no instruction"}
"""What the labels of older runs call a policy's missing inputs."""
_IMPORTED_KINDS = ("calvin", "python")


@dataclass(frozen=True, slots=True)
class PolicyName:
    """What tables and figures call a policy.

    Attributes:
        base: The name without the variant, such as `"paligemma"`.
        variant: What a suite declares to distinguish policies of one name; None for nothing.
        size: Number of parameters, such as `"1.5M"`; None if the label does not say.
        origin: Where the weights come from, such as `"trained here"`; None if the label does not say.
    """

    base: str
    variant: str | None = None
    size: str | None = None
    origin: str | None = None

    @property
    def name(self) -> str:
        """The base name with the variant."""
        return f"{self.base}, {self.variant}" if self.variant else self.base


def policy_name(description: RunDescription) -> PolicyName:
    """The short name of a run's policy. A label that the user set in the spec is kept as it is.

    By default, it is the backbone of a model of this package (`paligemma`, or `untrained paligemma` with random
    weights), the class of an imported model (`MyModel`), and otherwise the policy's own label (`expert`, `random`).

    Args:
        description: The content of `run.json`, of any age.
    """
    spec = _spec(description.policy)
    variant = description.variant
    if spec is not None and "label" in dict(spec.settings):
        return PolicyName(description.label, variant)
    found = _LABEL_OF_A_MODEL.fullmatch(description.label)
    if found is not None:
        name = f"untrained {found['name']}" if kind_of(description.policy) == "untrained" else found["name"]
        return PolicyName(name + _plain(found["rest"]), variant, found["size"], found["origin"])
    is_imported = spec is not None and spec.kind in _IMPORTED_KINDS and description.label == spec.argument
    return PolicyName(_last_part(description.label) if is_imported else description.label, variant)


def _spec(text: str) -> PolicySpec | None:
    """The parsed spec; None for a text that is not one, as in runs with a policy from Python code."""
    try:
        return PolicySpec.parse(text)
    except PolicySpecError:
        return None


def _plain(rest: str) -> str:
    return ", ".join(_IN_PLAIN_WORDS.get(word, word) for word in rest.split(", "))


def _last_part(import_string: str) -> str:
    """The class of an import string: `MyModel` of `my_package.my_module:MyModel`."""
    return import_string.rpartition(":")[2].rpartition(".")[2]
