"""The settings of `calvin:package.module:Class`."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge

from calvinbench.envs.observation import ActionConvention
from calvinbench.policies.adapters.gripper import GripperRule


@dataclass(frozen=True, slots=True, kw_only=True)
class CalvinSettings:
    """Settings of a user's CALVIN model. All other settings go to the model's class.

    A class with a parameter `gripper`, `proprioception`, `looks_every` or `label` is given that setting.

    Attributes:
        actions: The convention of the model's actions.
        depth: Whether depth images are rendered and given to the model.
        memory_reset: When the model's `reset()` is called: at each new `subtask`, as CALVIN does, or at each new
            `chain`.
        gripper: How the last number of an action is read. `exact`: only -1 (close) and +1 (open). `sign`: above 0
            opens. `unit`: numbers of 0..1, above 0.5 opens. `threshold:T`: above T opens. A `-` in front swaps open
            and close.
        proprioception: Whether the model uses proprioception, the robot's own state. `false` withholds `robot_obs`. By
            default the model is given it, and tables say that it may use it.
        looks_every: For a model that executes K actions of each predicted chunk: K. It uses the images of the first
            step after `reset()`, and then of every K-th step. Other images are not rendered, which makes a run faster,
            and are missing in `obs`. By default the model's attribute `looks_every`; without it, 1.
        label: The policy's name in tables. By default the import string.
    """

    actions: ActionConvention = ActionConvention.REL_ACTIONS
    depth: bool = False
    memory_reset: Literal["subtask", "chain"] = "subtask"
    gripper: GripperRule = field(default_factory=GripperRule)
    proprioception: bool | None = None
    looks_every: Annotated[int, Ge(1)] | None = None
    label: str | None = None
