"""`ws://host:port`: a policy that a server answers for, such as those that openpi's `serve_policy.py` serves."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64

from calvinbench.envs.names import require_name
from calvinbench.envs.observation import ActionConvention, Observation, require_finite_action
from calvinbench.envs.world_info import PrivilegedState
from calvinbench.policies.adapters.absolute_pose import with_euler_angles
from calvinbench.policies.adapters.gripper import GripperReader, GripperRule
from calvinbench.policies.adapters.remote.connection import PolicyConnection
from calvinbench.policies.backbones.images.pil_resize import resize_with_pil
from calvinbench.policies.batch import require_batch, require_rows
from calvinbench.policies.chunk_rule import ChunkRule
from calvinbench.policies.policy import Decision, Memory, PolicyTraits
from calvinbench.policies.spec import PolicySpecError, parse_integer, parse_switch, require_argument

INSTRUCTION = "instruction"
"""What stands for the sentence among the names of our observations."""
KEYS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "calvinbench": MappingProxyType(
            {
                "rgb_static": "rgb_static",
                "rgb_gripper": "rgb_gripper",
                "robot_obs": "robot_obs",
                "prompt": INSTRUCTION,
            }
        ),
        "openpi": MappingProxyType(
            {
                "observation/image": "rgb_static",
                "observation/wrist_image": "rgb_gripper",
                "observation/state": "robot_obs",
                "prompt": INSTRUCTION,
            }
        ),
    }
)
"""What a server's observations are called, and which of ours each is. `openpi`: as its LIBERO policy reads them."""
_OBSERVED = ("rgb_static", "rgb_gripper", "depth_static", "depth_gripper", "robot_obs")


@dataclass(frozen=True, slots=True)
class RemoteState:
    """Actions that the server predicted and that are still to be executed, a row each."""

    pending: Float64[np.ndarray, "num_pending action_dim"]


@dataclass(frozen=True, slots=True)
class RemoteSettings:
    """How a server is spoken to.

    Attributes:
        keys: What its observations are called, and which of ours each is.
        action_convention: What its actions mean.
        num_executed: Actions of a chunk that are executed before it is asked again.
        picture_size: Side in pixels that pictures are resized to, bilinearly as PIL does; None for their own.
        label: What tables call it.
        gripper: How the action's last number is read.
        uses_proprioception: Whether the server is known to use the robot's state that it is sent.
    """

    keys: Mapping[str, str]
    action_convention: ActionConvention
    num_executed: int
    picture_size: int | None
    label: str
    gripper: GripperRule = field(default_factory=GripperRule)
    uses_proprioception: bool = False


class RemotePolicy:
    """Asks a server for a chunk of actions, and executes some of it before it asks again.

    The protocol has no word for the beginning of a subtask: a server that remembers what it saw is not told.
    """

    def __init__(self, connection: PolicyConnection, settings: RemoteSettings) -> None:
        """Takes the connection, which is opened here, so that an unreachable server is reported at once.

        Raises:
            RemotePolicyError: There is no server.
        """
        self._connection, self._settings = connection, settings
        self._gripper = GripperReader(settings.gripper)
        self.metadata = connection.first_open()
        sent = tuple(key for key in _OBSERVED if key in settings.keys.values())
        self._traits = PolicyTraits(
            label=settings.label,
            action_convention=settings.action_convention,
            observation_keys=sent,
            may_read=tuple(key for key in sent if key == "robot_obs" and not settings.uses_proprioception),
            chunk_length=settings.num_executed,
            chunk_rule=str(ChunkRule("first", settings.num_executed)),
            memory=Memory(span="none"),
            max_batch_size=1,
        )

    @property
    def traits(self) -> PolicyTraits:
        """One world a connection: each world's process has a connection of its own."""
        return self._traits

    def initial_state(self, batch_size: int, seeds: Sequence[int] | None = None) -> RemoteState:
        """Nothing is pending.

        Raises:
            ValueError: More than one world is asked for.
        """
        require_batch("a remote policy", batch_size, 1)
        return RemoteState(np.zeros((0, self._settings.action_convention.action_dim)))

    def reset_state(self, state: RemoteState, rows: Bool[np.ndarray, " B"]) -> RemoteState:
        """What was about to be executed is dropped, if the one row is marked."""
        require_rows(rows, 1)
        return self.initial_state(1) if rows[0] else state

    def act(
        self,
        observations: Observation,
        instructions: Sequence[str],
        state: RemoteState,
        privileged: Sequence[PrivilegedState] | None = None,
    ) -> Decision:
        """The next pending action, or the first of a new chunk.

        Raises:
            RemotePolicyError: The server does not answer, or with an error.
            MessageError: Its answer is not what the protocol says.
            ValueError: Its actions are of another shape, not finite, or their gripper is none that its rule reads.
        """
        require_batch("instructions", len(instructions), 1)
        pending = state.pending
        if not len(pending):
            answer = self._connection.ask(self._question(observations, instructions[0]))
            pending = self._read_chunk(answer)[: self._settings.num_executed]
        return Decision(pending[:1], RemoteState(pending[1:]))

    def _question(self, observations: Observation, instruction: str) -> dict[str, Any]:
        """The observation as the server calls it."""
        question: dict[str, Any] = {}
        for name, ours in self._settings.keys.items():
            if ours == INSTRUCTION:
                question[name] = instruction
                continue
            value = getattr(observations, ours)
            if self._settings.picture_size is not None and ours.startswith("rgb_"):
                value = resize_with_pil(value, self._settings.picture_size, "bilinear")
            question[name] = np.ascontiguousarray(value[0])
        return question

    def _read_chunk(self, answer: Any) -> Float64[np.ndarray, "chunk_length action_dim"]:
        """The actions of an answer, each looked at."""
        if not isinstance(answer, Mapping) or "actions" not in answer:
            keys = sorted(map(str, answer)) if isinstance(answer, Mapping) else type(answer).__name__
            raise ValueError(
                f"expected an answer with 'actions' from the policy server, got {keys}. "
                "Make the server answer with a mapping whose 'actions' are an array (chunk_length, action_dim)."
            )
        try:
            actions = np.array(answer["actions"], dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(f"expected numbers as actions from the policy server, got: {error}.") from error
        convention = self._settings.action_convention
        if actions.ndim == 3 and len(actions) == 1:
            actions = actions[0]
        actions = np.atleast_2d(actions)
        if actions.ndim != 2 or not len(actions) or actions.shape[1] not in convention.dims:
            numbers = " or ".join(str(dim) for dim in convention.dims)
            raise ValueError(
                f"expected actions of shape (chunk_length, {numbers}) for '{convention}' from the policy server, got "
                f"{np.shape(answer['actions'])}.{_shape_advice(actions)}"
            )
        read = np.stack(
            [with_euler_angles(require_finite_action(action, convention), convention) for action in actions]
        )
        self._gripper.see(*read[:, -1])
        read[:, -1] = [self._gripper.read(float(number)) for number in read[:, -1]]
        return read


def make_remote_policy(
    argument: str | None,
    *,
    keys: str = "calvinbench",
    actions: str = "rel_actions",
    chunk_rule: str = "first",
    picture_size: str | None = None,
    gripper: str = "exact",
    proprioception: str | None = None,
    timeout: str = "60",
    connect_timeout: str = "60",
    label: str | None = None,
    api_key_env: str | None = None,
    secure: str = "false",
) -> RemotePolicy:
    """Makes `ws://host:port`.

    Args:
        argument: `//host:port`, with a path behind it if the server wants one.
        keys: What the server's observations are called: one of `KEYS`, or a JSON file that maps its names to ours
            (`rgb_static`, `rgb_gripper`, `depth_static`, `depth_gripper`, `robot_obs`, `instruction`).
        actions: What its actions mean, an action convention.
        chunk_rule: `first`, or `first:K` to execute K actions of a chunk before it is asked again.
        picture_size: Side in pixels that pictures are resized to; None for their own.
        gripper: How the action's last number is read, see `gripper.GripperRule`.
        proprioception: `false` does not send the robot's state; `true` says that the server uses it; by default it
            is sent if `keys` has it, and tables say that the server may use it.
        timeout: Seconds that an answer may take.
        connect_timeout: Seconds that the server may take to start, and to come back.
        label: What tables call it; the address by default.
        api_key_env: Environment variable with the key, for servers that want one: a spec is written to `run.json`.
        secure: `true` for `wss://`.

    Raises:
        PolicySpecError: A setting cannot be used.
        RemotePolicyError: There is no server.
    """
    place = require_argument("ws", argument, "//host:port")
    if not place.startswith("//") or len(place) < 3:
        raise PolicySpecError(f"expected an address ws://host:port, got 'ws:{place}'.")
    rule = ChunkRule.parse(chunk_rule)
    if rule.kind != "first":
        raise PolicySpecError(f"expected chunk rule first or first:K for a remote policy, got '{chunk_rule}'.")
    gripper_rule = GripperRule.parse(gripper)
    sent, uses_robot = _sent(_keys(keys), proprioception)
    connection = PolicyConnection(
        f"{'wss' if parse_switch('secure', secure) else 'ws'}:{place}",
        _seconds("timeout", timeout),
        _seconds("connect_timeout", connect_timeout),
        _api_key(api_key_env),
    )
    settings = RemoteSettings(
        keys=sent,
        action_convention=ActionConvention(require_name(actions, list(ActionConvention), "action convention")),
        num_executed=rule.num_executed,
        picture_size=None if picture_size is None else parse_integer("picture_size", picture_size, minimum=1),
        label=label or f"remote {place.removeprefix('//')}",
        gripper=gripper_rule,
        uses_proprioception=uses_robot,
    )
    return RemotePolicy(connection, settings)


def _shape_advice(actions: Float64[np.ndarray, "..."]) -> str:
    """What numbers of another shape may be."""
    if actions.ndim == 2 and len(actions) and actions.shape[1] == ActionConvention.ABS_JOINTS.action_dim:
        return (
            " Eight numbers are joints, or a pose with a quaternion xyzw: add ',actions=rel_joints', "
            "',actions=abs_joints' or ',actions=abs_actions' to the policy spec."
        )
    if actions.ndim == 2 and len(actions) and actions.shape[1] > ActionConvention.ABS_JOINTS.action_dim:
        return " If the server pads its actions, cut them in the server."
    return ""


def _api_key(variable: str | None) -> str | None:
    if variable is None:
        return None
    if not os.environ.get(variable):
        raise PolicySpecError(
            f"expected the environment variable {variable} to hold the policy server's key, as api_key_env says, found "
            f"{'an empty one' if variable in os.environ else 'none'}. Set it on each machine that runs the policy."
        )
    return os.environ[variable]


def _seconds(key: str, text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < float("inf"):
        raise PolicySpecError(f"expected a number of seconds above 0 for setting '{key}', got '{text}'.")
    return seconds


def _sent(keys: Mapping[str, str], proprioception: str | None) -> tuple[Mapping[str, str], bool]:
    """What is sent, and whether the robot's state in it is said to be used."""
    if proprioception is None:
        return keys, False
    is_used = parse_switch("proprioception", proprioception)
    if is_used and "robot_obs" not in keys.values():
        raise PolicySpecError(
            "expected 'robot_obs' among the setting keys beside proprioception=true, found none: the server is not "
            "sent the robot's state. Add it to the keys' file, or remove 'proprioception=true'."
        )
    return {name: ours for name, ours in keys.items() if is_used or ours != "robot_obs"}, is_used


def _keys(name: str) -> Mapping[str, str]:
    """A mapping of a server's names to ours, by name or from a file."""
    if not name.endswith(".json"):
        return KEYS[require_name(name, KEYS, "setting keys (or the path of a .json file)")]
    try:
        content: Any = json.loads(Path(name).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise PolicySpecError(f"expected a JSON file of keys at '{name}', got: {error}.") from error
    known = (*_OBSERVED, INSTRUCTION)
    if not isinstance(content, dict) or not content or not all(isinstance(value, str) for value in content.values()):
        raise PolicySpecError(f"expected a mapping of the server's names to ours in '{name}', got {str(content)[:80]}.")
    for value in content.values():
        require_name(value, known, f"observation in '{name}'")
    return content
