"""The policy that asks a server for its actions, such as openpi's `serve_policy.py`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64
from typing_extensions import override

from calvinbench.envs.observation import ActionConvention, Observation
from calvinbench.envs.world_info import PrivilegedState
from calvinbench.policies.adapters.gripper import GripperReader, GripperRule
from calvinbench.policies.adapters.remote.answer import read_chunk
from calvinbench.policies.adapters.remote.connection import PolicyConnection
from calvinbench.policies.adapters.remote.keys import INSTRUCTION, OBSERVED
from calvinbench.policies.backbones.images.pil_resize import resize_with_pil
from calvinbench.policies.batch import require_batch, require_rows
from calvinbench.policies.chunk_rule import ChunkRule
from calvinbench.policies.looking import require_rendered
from calvinbench.policies.policy import Decision, Memory, Policy, PolicyTraits


@dataclass(frozen=True, slots=True)
class RemoteState:
    """Predicted actions that are still to be executed, one a row."""

    pending: Float64[np.ndarray, "num_pending action_dim"]


@dataclass(frozen=True, slots=True)
class RemoteUsage:
    """What is sent to a server and how its answers are read.

    Attributes:
        keys: The server's names of observations, each with ours.
        action_convention: What its actions mean.
        num_executed: Number of actions of a chunk that are executed before the next request.
        image_size: Pixels a side that images are resized to, bilinearly as PIL does; None for their own size.
        label: The policy's name in tables.
        gripper: How the action's last number is read.
        uses_proprioception: Whether the server is known to use the robot's state that it is sent.
    """

    keys: Mapping[str, str]
    action_convention: ActionConvention
    num_executed: int
    image_size: int | None
    label: str
    gripper: GripperRule = field(default_factory=GripperRule)
    uses_proprioception: bool = False


class RemotePolicy(Policy):
    """Asks a server for a chunk of actions, and executes some of it before it asks again.

    The protocol has no message for the beginning of a subtask. A server with a memory of its own is not reset.
    """

    def __init__(self, connection: PolicyConnection, usage: RemoteUsage) -> None:
        """Opens the connection, so that an unreachable server is reported at once.

        Raises:
            RemotePolicyError: The server cannot be reached.
        """
        self._connection, self._usage = connection, usage
        self._gripper = GripperReader(usage.gripper)
        self.metadata = connection.first_open()
        sent = tuple(key for key in OBSERVED if key in usage.keys.values())
        self._traits = PolicyTraits(
            label=usage.label,
            action_convention=usage.action_convention,
            observation_keys=sent,
            may_read=tuple(key for key in sent if key == "robot_obs" and not usage.uses_proprioception),
            chunk_length=usage.num_executed,
            chunk_rule=str(ChunkRule("first", usage.num_executed)),
            memory=Memory(span="none"),
            max_batch_size=1,
        )

    @property
    @override
    def traits(self) -> PolicyTraits:
        """It serves one world, because each world's process has its own connection."""
        return self._traits

    @override
    def initial_state(self, batch_size: int, seeds: Sequence[int] | None = None) -> RemoteState:
        """Nothing is pending.

        Raises:
            ValueError: There is more than one world.
        """
        require_batch("a remote policy", batch_size, 1)
        return RemoteState(np.zeros((0, self._usage.action_convention.action_dim)))

    @override
    def reset_state(self, state: RemoteState, rows: Bool[np.ndarray, " B"]) -> RemoteState:
        """Pending actions are dropped if the one row is marked."""
        require_rows(rows, 1)
        return self.initial_state(1) if rows[0] else state

    @override
    def act(
        self,
        observations: Observation,
        instructions: Sequence[str],
        state: RemoteState,
        privileged: Sequence[PrivilegedState] | None = None,
    ) -> Decision:
        """The next pending action, or the first action of a new chunk.

        Raises:
            RemotePolicyError: The server does not answer, or answers with an error.
            MessageError: Its answer does not follow the protocol.
            ValueError: Its actions have another shape or are not finite, or the gripper rule cannot read their gripper.
        """
        require_batch("instructions", len(instructions), 1)
        pending = state.pending
        if not len(pending):
            require_rendered(observations, np.ones(1, dtype=np.bool_))
            answer = self._connection.ask(self._question(observations, instructions[0]))
            pending = self._read_actions(answer)[: self._usage.num_executed]
        return Decision(pending[:1], RemoteState(pending[1:]))

    def looks_next(self, state: RemoteState) -> Bool[np.ndarray, " 1"]:
        """The world is looked at when no action is pending, see `looking.LooksAhead`."""
        return np.array([not len(state.pending)])

    def _question(self, observations: Observation, instruction: str) -> dict[str, Any]:
        """The observation under the server's names."""
        question: dict[str, Any] = {}
        for name, ours in self._usage.keys.items():
            if ours == INSTRUCTION:
                question[name] = instruction
                continue
            value = getattr(observations, ours)
            if self._usage.image_size is not None and ours.startswith("rgb_"):
                value = resize_with_pil(value, self._usage.image_size, "bilinear")
            question[name] = np.ascontiguousarray(value[0])
        return question

    def _read_actions(self, answer: Any) -> Float64[np.ndarray, "chunk_length action_dim"]:
        """The actions of an answer, with the gripper at -1 or +1."""
        actions = read_chunk(answer, self._usage.action_convention)
        self._gripper.see(*actions[:, -1])
        actions[:, -1] = [self._gripper.read(float(number)) for number in actions[:, -1]]
        return actions
