"""The settings of `ws://host:port`."""

from dataclasses import dataclass, field
from typing import Annotated

from annotated_types import Ge, Gt, Unit

from calvinbench.envs.observation import ActionConvention
from calvinbench.policies.adapters.gripper import GripperRule
from calvinbench.policies.chunk_rule import ChunkRule

Seconds = Annotated[float, Gt(0), Unit("seconds")]


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteSettings:
    """Settings of the policy of a server.

    Attributes:
        keys: What the server calls its observations: `calvinbench`, `openpi`, or a JSON file that maps the server's
            names to ours (`rgb_static`, `rgb_gripper`, `depth_static`, `depth_gripper`, `robot_obs`, `instruction`).
        actions: The convention of the server's actions.
        chunk_rule: How many actions of a chunk are executed before the next request to the server: `first` (one) or
            `first:K`.
        image_size: Pixels a side that images are resized to. By default images keep their own size.
        gripper: How the last number of an action is read. `exact`: only -1 (close) and +1 (open). `sign`: above 0
            opens. `unit`: numbers of 0..1, above 0.5 opens. `threshold:T`: above T opens. A `-` in front swaps open
            and close.
        proprioception: Whether the server uses proprioception, the robot's own state. `false` does not send it. By
            default it is sent if `keys` has it, and tables say that the server may use it.
        timeout: Seconds that an answer may take.
        connect_timeout: Seconds that the server may take to start, and to come back after a lost connection.
        label: The policy's name in tables. By default the server's address.
        api_key_env: The environment variable with the server's key, for servers that need one. The key itself does not
            belong into a spec, because specs are written to `run.json`.
        secure: Whether the connection is encrypted (`wss://`).
    """

    keys: str = "calvinbench"
    actions: ActionConvention = ActionConvention.REL_ACTIONS
    chunk_rule: ChunkRule = field(default_factory=ChunkRule)
    image_size: Annotated[int, Ge(1)] | None = None
    gripper: GripperRule = field(default_factory=GripperRule)
    proprioception: bool | None = None
    timeout: Seconds = 60.0
    connect_timeout: Seconds = 60.0
    label: str | None = None
    api_key_env: str | None = None
    secure: bool = False
