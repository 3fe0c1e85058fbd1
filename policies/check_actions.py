"""The part of `check_policy` that looks at the actions a policy returns: shape, type, range and gripper."""

import numpy as np

from calvinbench.policies.policy import PolicyTraits


class PolicyCheckError(AssertionError):
    """A policy that does not keep to the interface. The message says what was expected and what came."""


def check_actions(actions: object, traits: PolicyTraits, batch_size: int) -> None:
    """Checks what `act` returned.

    Args:
        actions: What it returned.
        traits: What the policy says of itself.
        batch_size: Number of worlds.

    Raises:
        PolicyCheckError: The actions are not float64 of the right shape, are not finite, or their gripper is not
            exactly -1 or +1.
    """
    shape = (batch_size, traits.action_convention.action_dim)
    if not isinstance(actions, np.ndarray):
        raise PolicyCheckError(f"expected actions as a numpy array, got {_kind(actions)}. {_array_advice(actions)}")
    shapes = [(batch_size, dim) for dim in traits.action_convention.dims]
    if actions.dtype != np.float64 or actions.shape not in shapes:
        raise PolicyCheckError(
            f"expected float64 actions of shape {shape}, got {actions.dtype} of {actions.shape}. "
            f"{_shape_advice(actions, shape)}"
        )
    if not np.isfinite(actions).all():
        raise PolicyCheckError(
            f"expected finite actions, got {actions.tolist()}. A NaN usually comes from a diverged or half-loaded "
            "checkpoint, or from a division by 0 in normalisation."
        )
    if not np.isin(actions[:, -1], (-1.0, 1.0)).all():
        raise PolicyCheckError(
            f"expected gripper actions of exactly -1 or +1, got {actions[:, -1].tolist()}. Threshold the last number "
            "in act: np.where(number > 0, 1.0, -1.0) for numbers of -1..1, np.where(number > 0.5, 1.0, -1.0) for 0..1."
        )


def _kind(actions: object) -> str:
    """The type of the actions, and the device of a tensor."""
    device = getattr(actions, "device", None)
    return type(actions).__name__ if device is None else f"{type(actions).__name__} on {device}"


def _array_advice(actions: object) -> str:
    if hasattr(actions, "detach"):
        return "Return actions.detach().cpu().double().numpy()."
    return "Return np.asarray(actions, dtype=np.float64)."


def _shape_advice(actions: np.ndarray, shape: tuple[int, int]) -> str:
    """How to get the expected shape."""
    if actions.shape == shape:
        return "Return actions.astype(np.float64)."
    if actions.shape == shape[1:]:
        return "Return actions[np.newaxis]: one row for each world."
    if actions.ndim == 3 and (actions.shape[0], actions.shape[2]) == shape:
        return "Return one action for each world, actions[:, 0], and keep the rest of the chunk in the state."
    return "Return one row for each world, in the order of the observations."
