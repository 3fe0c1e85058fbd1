"""The policies in a suite's file, and what the user declares about them: their training, and a name in tables."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from calvinbench.envs.names import require_name
from calvinbench.policies.spec import PolicySpec, kind_of

NOT_TRAINED = ("expert", "random", "untrained")
"""Kinds of policies without training, so that no training can be declared for them."""


@dataclass(frozen=True, slots=True)
class DeclaredPolicy:
    """What a user declares about a policy; None for what the policy says itself.

    Attributes:
        policy: The policy's spec.
        train: Scenes or split, such as `"ABC"`.
        training_seed: Seed of the training.
        training_recipe: A name for the training without its seed. Runs of one recipe with several seeds are averaged.
        variant: Distinguishes it in tables from policies of the same label, such as `"no history"`.

    Raises:
        ValueError: A value is empty or below 0, or training is declared for a policy without training.
    """

    policy: str
    train: str | None = None
    training_seed: int | None = None
    training_recipe: str | None = None
    variant: str | None = None

    def __post_init__(self) -> None:
        require_declared(self.train, self.training_seed, self.training_recipe, self.variant)
        if kind_of(self.policy) in NOT_TRAINED and (self.train, self.training_seed, self.training_recipe) != (
            None,
            None,
            None,
        ):
            raise ValueError(
                f"expected no training declared for '{self.policy}', which is not trained. Write '{self.policy}' alone."
            )

    def training(self) -> dict[str, Any]:
        """The declared values, by their names in `RunSettings`."""
        said = {name: getattr(self, name) for name in _KEYS[1:]}
        return {name: value for name, value in said.items() if value is not None}


_KEYS = tuple(field.name for field in fields(DeclaredPolicy))
LABEL = "label"
"""A further key: the policy's name in tables. It becomes a setting of the spec, which every kind accepts."""


@dataclass(frozen=True, slots=True)
class ListedPolicies:
    """The policies in a suite's file.

    Attributes:
        specs: Of all of them, in order.
        declared: Of entries that declare something.
    """

    specs: tuple[str, ...]
    declared: tuple[DeclaredPolicy, ...]


def require_declared(train: Any, training_seed: Any, training_recipe: Any, variant: Any) -> None:
    """Raises an error for values that cannot be declared.

    Raises:
        ValueError: A value has another type.
    """
    meanings = {
        "train": "what the policy was trained on",
        "training_recipe": "how the policy was trained",
        "variant": "what sets the policy apart",
    }
    examples = {"train": "ABC", "training_recipe": "baseline", "variant": "no history"}
    for (name, meaning), value in zip(meanings.items(), (train, training_recipe, variant), strict=True):
        if value is not None and (not isinstance(value, str) or not value.strip()):
            raise ValueError(
                f"expected {name} to name {meaning}, got {value!r}. Write text, such as {name}: {examples[name]}, or "
                "leave it out."
            )
    seed = training_seed
    if seed is not None and (not isinstance(seed, int) or isinstance(seed, bool) or seed < 0):
        raise ValueError(
            f"expected training_seed to be a whole number of at least 0, got {seed!r}. Write it without quotes, such "
            "as training_seed: 0, or leave it out."
        )


def read_policies(value: Any, origin: str) -> ListedPolicies:
    """Reads the key `policy` of a suite's file: a spec, a mapping with a spec, or a list of both.

    Args:
        value: The value read from YAML.
        origin: Its file, for messages.

    Raises:
        UnknownNameError: A mapping has an unknown key.
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
            require_name(str(key), (*_KEYS, LABEL), f"key of a policy in suite '{origin}':")
        if not isinstance(entry["policy"], str):
            raise ValueError(f"expected policy to be a spec, got {entry['policy']!r}.")
        require_declared(*(entry.get(key) for key in _KEYS[1:]))
        spec = _labelled(entry["policy"], entry.get(LABEL), origin)
        declared.append(DeclaredPolicy(**{key: entry[key] for key in _KEYS if key in entry} | {"policy": spec}))
        specs.append(spec)
    return ListedPolicies(tuple(specs), tuple(declared))


def _labelled(spec: str, label: Any, origin: str) -> str:
    """The spec with the label that a suite's file gives it."""
    if label is None:
        return spec
    if not isinstance(label, str) or not label.strip() or "," in label:
        raise ValueError(
            f"expected label in suite '{origin}' to be text without commas, got {label!r}. Write for example "
            "label: my model."
        )
    if LABEL in dict(PolicySpec.parse(spec).settings):
        raise ValueError(
            f"expected one label for a policy in suite '{origin}', got '{label}' beside '{spec}'. Leave one of them "
            "out."
        )
    return f"{spec},{LABEL}={label}"
