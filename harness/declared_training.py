"""A suite's policies as its file lists them, and what their user declares of the training of those of his own."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from calvinbench.envs.names import require_name

NOT_TRAINED = ("expert", "random", "untrained")
"""Kinds of policies that were trained on nothing, so that nothing is declared for them."""


@dataclass(frozen=True, slots=True)
class DeclaredTraining:
    """What a policy was trained on and how, as its user declares it; None for what the policy says itself.

    Attributes:
        policy: The policy's spec.
        train: Scenes or split, such as `"ABC"`.
        training_seed: Seed of the training.
        training_recipe: A name for the training but for its seed: runs of one recipe and several seeds have a mean.

    Raises:
        ValueError: A value is empty or below 0, or the policy is one that is not trained.
    """

    policy: str
    train: str | None = None
    training_seed: int | None = None
    training_recipe: str | None = None

    def __post_init__(self) -> None:
        require_training(self.train, self.training_seed, self.training_recipe)
        kind = self.policy.partition(":")[0].partition(",")[0].strip()
        if kind in NOT_TRAINED and (self.train, self.training_seed, self.training_recipe) != (None, None, None):
            raise ValueError(
                f"expected nothing declared of the training of '{self.policy}', which was trained on nothing. "
                f"Write '{self.policy}' alone."
            )


_KEYS = tuple(field.name for field in fields(DeclaredTraining))


@dataclass(frozen=True, slots=True)
class ListedPolicies:
    """The policies of a suite's file.

    Attributes:
        specs: Of all of them, in order.
        declared: For those entries that declare something.
    """

    specs: tuple[str, ...]
    declared: tuple[DeclaredTraining, ...]


def require_training(train: Any, training_seed: Any, training_recipe: Any) -> None:
    """Refuses what cannot be declared of a training.

    Raises:
        ValueError: A value is of another kind.
    """
    for name, value in (("train", train), ("training_recipe", training_recipe)):
        if value is not None and (not isinstance(value, str) or not value.strip()):
            what = "what the policy was trained on" if name == "train" else "how the policy was trained"
            raise ValueError(f"expected {name} to name {what}, got {value!r}.")
    seed = training_seed
    if seed is not None and (not isinstance(seed, int) or isinstance(seed, bool) or seed < 0):
        raise ValueError(f"expected training_seed to be a whole number of at least 0, got {seed!r}.")


def read_policies(value: Any, origin: str) -> ListedPolicies:
    """Reads the key `policy` of a suite's file: a spec, a mapping with a spec, or a list of both.

    Args:
        value: As YAML has it.
        origin: Where it is from, for messages.

    Raises:
        UnknownNameError: A mapping has a key that it cannot have.
        ValueError: An entry is neither a spec nor such a mapping.
    """
    entries = value if isinstance(value, list | tuple) else [value]
    specs, declared = [], []
    for entry in entries:
        if isinstance(entry, str):
            specs.append(entry)
            continue
        if not isinstance(entry, Mapping) or "policy" not in entry:
            raise ValueError(
                f"expected policy in suite '{origin}' to be a list of specs, or of mappings such as "
                f"{{policy: SPEC, train: ABC}}, got {entry!r}."
            )
        for key in entry:
            require_name(str(key), _KEYS, f"key of a policy in suite '{origin}':")
        if not isinstance(entry["policy"], str):
            raise ValueError(f"expected policy to be a spec, got {entry['policy']!r}.")
        require_training(*(entry.get(key) for key in _KEYS[1:]))
        declared.append(DeclaredTraining(**entry))
        specs.append(declared[-1].policy)
    return ListedPolicies(tuple(specs), tuple(declared))
