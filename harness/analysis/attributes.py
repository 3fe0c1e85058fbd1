"""What sets policies and their runs apart: size, training, memory, inputs, scene, and others, each as short text."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from calvinbench.harness.records.policy_name import policy_name
from calvinbench.harness.records.runs import Run

CONDITIONS = ("scene", "instructions", "world", "renderer", "simulation")
"""Attributes of the evaluation, not of the policy."""


def memory_in_words(run: Run) -> str:
    """What the policy remembers and when it forgets, such as `window:8, reset at subtask`."""
    memory = run.description.memory
    return f"{memory.span}, reset at {memory.reset}" if memory.span != "none" else "none"


def proprioception(run: Run) -> str:
    """Whether a policy uses the robot's state: `yes`, `no`, or `allowed` if nobody knows whether it does."""
    if "robot_obs" in run.description.may_read:
        return "allowed"
    return "yes" if "robot_obs" in run.description.observation_keys else "no"


def cameras(run: Run) -> str:
    """The cameras whose images the policy gets, such as `static, gripper`; `none` without images."""
    keys = [key.removeprefix("rgb_") for key in run.description.observation_keys if key.startswith("rgb_")]
    return ", ".join(keys) or "none"


_READERS: Mapping[str, Callable[[Run], str | None]] = MappingProxyType(
    {
        "policy name": lambda run: policy_name(run.description).base,
        "variant": lambda run: run.description.variant,
        "size": lambda run: policy_name(run.description).size,
        "origin": lambda run: policy_name(run.description).origin,
        "trained on": lambda run: run.description.train,
        "training seed": lambda run: _text(run.description.training_seed),
        "memory": lambda run: run.description.memory.span,
        "memory reset": lambda run: None if run.description.memory.span == "none" else run.description.memory.reset,
        "chunk length": lambda run: str(run.description.chunk_length),
        "chunk rule": lambda run: run.description.chunk_rule,
        "cameras": cameras,
        "proprioception": proprioception,
        "policy": lambda run: run.description.policy,
        "seed": lambda run: str(run.description.seed),
        "worlds at once": lambda run: str(run.description.batch_size),
        "scene": lambda run: run.description.scene,
        "instructions": lambda run: run.description.instructions,
        "world": lambda run: run.description.world,
        "renderer": lambda run: run.description.renderer,
        "simulation": lambda run: run.description.simulation,
    }
)
ATTRIBUTE_NAMES = tuple(_READERS)
"""Names of all attributes, in their order in tables."""


def attributes_of(run: Run) -> Mapping[str, str]:
    """The attributes of a run by name; those that its record does not know are left out."""
    read = ((name, reader(run)) for name, reader in _READERS.items())
    return MappingProxyType({name: value for name, value in read if value is not None})


def _text(value: int | None) -> str | None:
    return None if value is None else str(value)
