"""What tells one policy from another of the same spec, where there is no file of weights: its code, or its server."""

import sys
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from calvinbench.policies.policy import Policy
from calvinbench.policies.spec import PolicySpec, kind_of


def source_digest(spec: str, policy: Policy) -> str | None:
    """SHA-256 of the file that a user's own policy is in, or of what a policy's server says of itself.

    Of a user's code the one file that the spec names is looked at, not what that imports.

    Args:
        spec: What the policy was made from.
        policy: The policy.

    Returns:
        64 hexadecimal digits; None for policies of other kinds, without a file, or whose server says nothing.
    """
    kind = kind_of(spec)
    if kind in ("calvin", "python"):
        module = sys.modules.get((PolicySpec.parse(spec).argument or "").partition(":")[0])
        return _digest_of_file(getattr(module, "__file__", None))
    metadata = getattr(policy, "metadata", None) if kind == "ws" else None
    return sha256(_in_order(metadata).encode()).hexdigest() if metadata else None


def _digest_of_file(file: str | None) -> str | None:
    if file is None:
        return None
    try:
        return sha256(Path(file).read_bytes()).hexdigest()
    except OSError:
        return None


def _in_order(value: Any) -> str:
    """A value as text that does not depend on the order of mappings."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(sorted(f'{key!r}: {_in_order(entry)}' for key, entry in value.items()))}}}"
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.tolist()!r}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_in_order, value))}]"
    return repr(value)
