"""CALVIN users' own models, unchanged: a class with `reset()` and `step(obs, goal)` as a policy.

The protocol is that of `calvin_agent/evaluation/evaluate_policy.py` (`CustomModel`), the actions those that
`Robot.apply_action` of calvin_env takes.
"""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float64
from scipy.spatial.transform import Rotation

from calvinbench.envs.names import require_name
from calvinbench.envs.observation import ActionConvention, Observation, require_finite_action
from calvinbench.envs.world_info import PrivilegedState
from calvinbench.policies.import_string import import_object
from calvinbench.policies.policy import Decision, Memory, PolicyTraits
from calvinbench.policies.spec import NotAPolicyError, PolicySpecError, parse_switch, require_argument

_TYPES = {
    "cartesian_rel": ActionConvention.REL_ACTIONS,
    "cartesian_abs": ActionConvention.ABS_ACTIONS,
    "joint_rel": ActionConvention.REL_JOINTS,
    "joint_abs": ActionConvention.ABS_JOINTS,
}
"""The `type` of an action dictionary, as calvin_env names them."""


@runtime_checkable
class CustomModel(Protocol):
    """What CALVIN asks of a model."""

    def reset(self) -> None:
        """Called when a subtask begins."""
        ...

    def step(self, obs: Mapping[str, Any], goal: str) -> Any:
        """One action for one observation and sentence."""
        ...


class _ExplainedDict(dict[str, Any]):
    """A dictionary that says why a key is not there."""

    def __init__(self, entries: Mapping[str, Any], reason: str) -> None:
        super().__init__(entries)
        self._reason = reason

    def __missing__(self, key: str) -> NoReturn:
        raise KeyError(f"the observation has no '{key}', only {sorted(self)}. {self._reason}")


@dataclass(frozen=True, slots=True)
class CalvinModelState:
    """A token. The memory itself is inside the user's model, where CALVIN's interface keeps it.

    So only the newest state is good, only one world can be served, and a state cannot be used twice.
    """


class CalvinModelPolicy:
    """One CALVIN model, serving one world."""

    def __init__(
        self,
        model: object,
        label: str,
        action_convention: ActionConvention = ActionConvention.REL_ACTIONS,
        with_depth: bool = False,
        memory_reset: str = "subtask",
    ) -> None:
        """Takes the model.

        Args:
            model: An object with `reset()` and `step(obs, goal)`; see `CustomModel`.
            label: What tables print.
            action_convention: What the model's actions are; others are refused.
            with_depth: Whether depth is rendered and shown to the model.
            memory_reset: When `reset()` is called: `"subtask"`, as CALVIN does, or `"chain"`.

        Raises:
            NotAPolicyError: The model lacks one of the two methods.
        """
        if not isinstance(model, CustomModel):
            raise NotAPolicyError(
                f"expected a CALVIN model with methods reset() and step(obs, goal), got {type(model).__name__}. "
                "For a calvinbench Policy write 'python:package.module:factory' instead."
            )
        self._model: CustomModel = model
        depth_keys = ("depth_static", "depth_gripper") if with_depth else ()
        self._traits = PolicyTraits(
            label=label,
            action_convention=action_convention,
            observation_keys=("rgb_static", "rgb_gripper", *depth_keys, "robot_obs"),
            memory=Memory(span="unbounded", reset=memory_reset),
            max_batch_size=1,
        )

    @property
    def traits(self) -> PolicyTraits:
        """It serves one world. What it remembers is its own affair, so its memory counts as unbounded."""
        return self._traits

    def initial_state(self, batch_size: int, seeds: Sequence[int] | None = None) -> CalvinModelState:
        """Calls the model's `reset()`.

        Raises:
            ValueError: More than one world is asked for.
        """
        self._require_one_world(batch_size)
        self._model.reset()
        return CalvinModelState()

    def reset_state(self, state: CalvinModelState, rows: Bool[np.ndarray, " B"]) -> CalvinModelState:
        """Calls the model's `reset()` if the one row is marked."""
        self._require_one_world(len(rows))
        if rows[0]:
            self._model.reset()
        return state

    def act(
        self,
        observations: Observation,
        instructions: Sequence[str],
        state: CalvinModelState,
        privileged: Sequence[PrivilegedState] | None = None,
    ) -> Decision:
        """Calls the model's `step(obs, goal)`.

        Raises:
            ValueError: The action is of another kind than declared, has another shape, is not finite, or its gripper
                is not -1 or +1.
            KeyError: The model asks for an observation that it is not shown.
        """
        self._require_one_world(len(instructions))
        action = self._model.step(_calvin_observation(observations), instructions[0])
        return Decision(read_action(action, self._traits.action_convention)[np.newaxis], state)

    def _require_one_world(self, batch_size: int) -> None:
        if batch_size != 1:
            raise ValueError(
                f"expected one world for a CALVIN model (its memory is inside the model), got {batch_size}. "
                "Make one policy a world."
            )


def _calvin_observation(observations: Observation) -> dict[str, Any]:
    """The dictionary that calvin_env's `get_obs()` returns, less `scene_obs`, for the one world of a batch."""

    def shown(*keys: str) -> dict[str, Any]:
        values = {key: getattr(observations, key) for key in keys}
        return {key: value[0] for key, value in values.items() if value is not None}

    return _ExplainedDict(
        {
            "rgb_obs": shown("rgb_static", "rgb_gripper"),
            "depth_obs": _ExplainedDict(
                shown("depth_static", "depth_gripper"),
                "Add ',depth=true' to the policy spec to have depth rendered.",
            ),
            **shown("robot_obs"),
        },
        "Learned policies see cameras and proprioception alone; 'scene_obs', the true state of the scene, is withheld.",
    )


def read_action(action: Any, declared: ActionConvention) -> Float64[np.ndarray, " action_dim"]:
    """Turns what a CALVIN model returned into one action of the declared convention.

    Args:
        action: Seven numbers (relative; axes of length 1 are dropped); a tuple of position, orientation (euler xyz or
            quaternion xyzw) and gripper (absolute); or a dictionary with `type` and `action`.
        declared: The convention that the policy declares.

    Raises:
        ValueError: The action is of another kind, has a wrong shape, is not finite, or its gripper is not -1 or +1.
        UnknownNameError: The dictionary's `type` is none of calvin_env's.
    """
    convention, numbers = _tell_convention(action)
    if convention is not declared:
        raise ValueError(
            f"expected an action of convention '{declared}', got one of '{convention}': {action!r}. "
            f"Add ',actions={convention}' to the policy spec."
        )
    array = require_finite_action(numbers, declared)
    if array[-1] not in (-1.0, 1.0):
        raise ValueError(
            f"expected the gripper (the action's last number) to be exactly -1 (close) or +1 (open), got {array[-1]}. "
            "calvin_env refuses it too: threshold the output in the model's step(), as `1 if output > 0 else -1`."
        )
    return array


def _tell_convention(action: Any) -> tuple[ActionConvention, Float64[np.ndarray, " n"]]:
    """Which convention an action is in, and its numbers in one row."""
    if isinstance(action, Mapping):
        if "type" not in action or "action" not in action:
            raise ValueError(f"expected an action dictionary with 'type' and 'action', got keys {sorted(action)}.")
        convention = _TYPES[require_name(str(action["type"]), _TYPES, "action type")]
        if convention is ActionConvention.ABS_ACTIONS:
            return convention, _absolute(action["action"])
        return convention, _flat(action["action"])
    if isinstance(action, (tuple, list)) and len(action) == 3:
        return ActionConvention.ABS_ACTIONS, _absolute(action)
    numbers = _flat(action)
    if numbers.shape != (7,):
        raise ValueError(
            f"expected a relative action of 7 numbers, got {numbers.shape[0]}. calvin_env takes joint actions as "
            "{'type': 'joint_abs', 'action': ...}, absolute ones as (position, orientation, gripper)."
        )
    return ActionConvention.REL_ACTIONS, numbers


def _absolute(action: Any) -> Float64[np.ndarray, " n"]:
    """Position, euler xyz and gripper, from a triple or from one row with a quaternion."""
    if isinstance(action, (tuple, list)) and len(action) == 3:
        numbers = np.concatenate([_flat(part) for part in action])
    else:
        numbers = _flat(action)
    if numbers.shape == (8,):
        if not np.isfinite(numbers).all() or np.linalg.norm(numbers[3:7]) < 1e-6:
            raise ValueError(f"expected a quaternion xyzw of length 1 in an absolute action, got {numbers[3:7]}.")
        euler = Rotation.from_quat(numbers[3:7]).as_euler("xyz")
        numbers = np.concatenate([numbers[:3], euler, numbers[7:]])
    return numbers


def _flat(values: Any) -> Float64[np.ndarray, " n"]:
    """Numbers in one row: torch tensors taken to numpy, axes of length 1 dropped."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().float().numpy()
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"expected an action made of numbers, got {values!r}.") from error
    if array.size != max(array.shape, default=1):
        raise ValueError(
            f"expected one action (7 numbers), got an array of shape {array.shape}. "
            "Return one action a step, not a chunk or a batch."
        )
    return array.reshape(-1)


def make_calvin_policy(
    argument: str | None,
    *,
    actions: str = "rel_actions",
    depth: str = "false",
    memory_reset: str = "subtask",
    **settings: str,
) -> CalvinModelPolicy:
    """Makes `calvin:package.module:Class`.

    Args:
        argument: Import string of the class.
        actions: What the model's actions are: `rel_actions`, `abs_actions`, `rel_joints` or `abs_joints`.
        depth: `true` to render depth.
        memory_reset: When `reset()` is called.
        settings: Given to the class as keyword arguments, as text.

    Raises:
        PolicySpecError: The class does not take these settings.
        UnknownNameError: `actions` is no action convention.
    """
    import_string = require_argument("calvin", argument, "an import string package.module:Class")
    model_class = import_object(import_string)
    convention = ActionConvention(require_name(actions, list(ActionConvention), "action convention"))
    try:
        inspect.signature(model_class).bind(**settings)
    except TypeError as error:
        raise PolicySpecError(
            f"expected '{import_string}' to be made with settings {sorted(settings)}, but: {error}. "
            "Give exactly the keyword arguments that its __init__ takes, as ',key=value' in the policy spec."
        ) from error
    return CalvinModelPolicy(
        model_class(**settings),
        label=import_string.rpartition(":")[2],
        action_convention=convention,
        with_depth=parse_switch("depth", depth),
        memory_reset=memory_reset,
    )
