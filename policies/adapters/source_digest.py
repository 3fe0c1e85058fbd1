"""A digest of a policy without a file of weights: of its code, or of what its server says about itself."""

import sys
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from calvinbench.policies.policy import Policy
from calvinbench.policies.spec import PolicySpec, kind_of


def source_digest(spec: str, policy: Policy) -> str | None:
    """SHA-256 of the file with a user's own policy, or of the metadata of a policy's server.

    For a user's code it covers the file that the spec names, not what that file imports.

    Args:
        spec: What the policy was made from.
        policy: The policy.

    Returns:
        64 hexadecimal digits; None for other kinds of policies, or if there is no file or no metadata.
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
    """A value as text. It does not depend on the order of mappings."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(sorted(f'{key!r}: {_in_order(entry)}' for key, entry in value.items()))}}}"
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.tolist()!r}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_in_order, value))}]"
    return repr(value)
