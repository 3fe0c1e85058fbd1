"""Policy specs: a line of text that says which policy to make, `KIND[:ARGUMENT][,key=value...]`."""

import re
from dataclasses import dataclass
from pathlib import Path

_FORM = "KIND, KIND:ARGUMENT or KIND:ARGUMENT,key=value,..."


class PolicySpecError(ValueError):
    """A policy spec that cannot be read, or a setting of it that cannot be used."""


class NotAPolicyError(PolicySpecError, TypeError):
    """What a policy spec names can be imported, but is not a policy or model."""


@dataclass(frozen=True, slots=True)
class PolicySpec:
    """Which policy to make. `str(spec)` is the text that `parse` reads.

    Attributes:
        kind: One of `registry.POLICY_KINDS`.
        argument: The text after the colon, such as a backbone's name or an import string; None without a colon.
        settings: Pairs of key and value, in the order written.
    """

    kind: str
    argument: str | None = None
    settings: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        keys = [key for key, _ in self.settings]
        if not self.kind or not self.kind.isidentifier():
            hint = kind_hint(self.kind, self.argument)
            raise PolicySpecError(f"expected a policy spec {_FORM}, got kind '{self.kind}'.{hint}")
        if self.argument == "":
            raise PolicySpecError(f"expected something after the colon of '{self.kind}:', got nothing.")
        for key, value in self.settings:
            if not key.isidentifier() or not value.strip():
                raise PolicySpecError(
                    f"expected settings key=value in a policy spec, got '{key}={value}'. Write a name before '=' and "
                    "a value after it, or remove the setting."
                )
        for text in (self.argument or "", *(value for _, value in self.settings)):
            if "," in text:
                raise PolicySpecError(
                    f"expected no comma inside a policy spec's values, got '{text}'. Commas separate settings; "
                    "remove them from the value."
                )
        for key in set(keys):
            if keys.count(key) > 1:
                raise PolicySpecError(
                    f"expected each setting once, got '{key}' {keys.count(key)} times. Remove all but one."
                )

    @classmethod
    def parse(cls, text: str) -> "PolicySpec":
        """Reads `KIND[:ARGUMENT][,key=value...]`.

        Raises:
            PolicySpecError: The text has another form.
        """
        head, *pieces = text.strip().split(",")
        for piece in pieces:
            if "=" not in piece:
                raise PolicySpecError(
                    f"expected settings key=value after the first comma of '{text}', got '{piece}'. "
                    "Commas cannot be part of an argument or a value."
                )
        kind, colon, argument = head.partition(":")
        pairs = [piece.partition("=") for piece in pieces]
        return cls(
            kind=kind.strip(),
            argument=argument if colon else None,
            settings=tuple((key.strip(), value) for key, _, value in pairs),
        )

    def __str__(self) -> str:
        head = self.kind if self.argument is None else f"{self.kind}:{self.argument}"
        return ",".join([head, *(f"{key}={value}" for key, value in self.settings)])


def kind_hint(kind: str, argument: str | None) -> str:
    """What a spec of an unknown kind probably means, as a sentence for the message; empty if that is not known."""
    if argument is None:
        return f" For a checkpoint's folder write 'checkpoint:{kind}'." if kind and Path(kind).is_dir() else ""
    if argument.startswith("//"):
        secure = ",secure=true" if kind in ("wss", "https") else ""
        return f" For a policy server write 'ws:{argument}{secure}'." if kind in ("wss", "http", "https") else ""
    if argument.isascii() and argument.isdigit():
        return f" For a policy server write 'ws://{kind}:{argument}'." if kind else ""
    if re.fullmatch(r"[A-Za-z_][\w.]*", kind) and re.fullmatch(r"[A-Z]\w*|[a-z_]+_\w+", argument):
        return (
            f" For a model with reset() and step(obs, goal) write 'calvin:{kind}:{argument}', for a calvinbench Policy "
            f"'python:{kind}:{argument}'."
        )
    return ""


def kind_of(spec: str) -> str:
    """The kind of a spec that is not parsed yet, such as `"random"` for `"random,label=floor"`."""
    return spec.partition(":")[0].partition(",")[0].strip()


def refuse_argument(kind: str, argument: str | None) -> None:
    """Raises PolicySpecError for an argument of a kind that takes none."""
    if argument is not None:
        raise PolicySpecError(f"expected '{kind}' without an argument, got '{kind}:{argument}'. Write '{kind}'.")


def require_argument(kind: str, argument: str | None, what: str) -> str:
    """Returns the argument. Without one, raises a PolicySpecError that says what it should be."""
    if argument is None:
        raise PolicySpecError(f"expected '{kind}:ARGUMENT' with {what} as the argument, got '{kind}' alone.")
    return argument
