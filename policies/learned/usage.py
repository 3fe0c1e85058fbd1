"""How a learned policy is used, whatever its weights: device, precision, memory, chunk rule."""

from dataclasses import dataclass, replace

import torch

from calvinbench.policies.learned.policy_config import PolicyConfig
from calvinbench.policies.learned.use_settings import UseSettings
from calvinbench.policies.policy import Memory
from calvinbench.policies.spec import PolicySpecError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
"""Precisions of the VLM by name."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Where and how the model runs.

    Attributes:
        device: The torch device.
        dtype: Precision of the VLM. [LRN] and head keep 32 bits.
        compiled: Whether the VLM's parts are compiled with `torch.compile`. The first steps then take minutes.
    """

    device: torch.device
    dtype: torch.dtype = torch.float32
    compiled: bool = False

    @classmethod
    def of(cls, settings: UseSettings) -> "Usage":
        """The usage that a policy spec asks for.

        Raises:
            PolicySpecError: torch does not have the device, or not that precision on it.
        """
        chosen = _device(settings.device)
        precision = DTYPES[settings.dtype]
        if precision == torch.float16 and chosen.type == "cpu":
            raise PolicySpecError(
                "expected dtype float32 or bfloat16 on a CPU, got float16: its range is too small without a GPU's "
                "kernels. Write dtype=bfloat16."
            )
        return cls(chosen, precision, settings.compile)


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        if device.type == "meta":
            raise RuntimeError("it stores no numbers")
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, ImportError) as error:
        raise PolicySpecError(
            f"expected a device that torch has here (auto, cpu{', cuda' if torch.cuda.is_available() else ''}), "
            f"got '{name}': {str(error).splitlines()[0]}"
        ) from error
    return device


def with_memory(config: PolicyConfig, settings: UseSettings) -> PolicyConfig:
    """The policy's settings with the memory and the chunk rule of a spec; None keeps those of the policy.

    Raises:
        ValueError: There is no such memory span.
    """
    memory = Memory(
        span=config.memory.span if settings.memory_span is None else settings.memory_span,
        reset=config.memory.reset if settings.memory_reset is None else settings.memory_reset,
    )
    rule = config.chunk_rule if settings.chunk_rule is None else str(settings.chunk_rule)
    return replace(config, memory=memory, chunk_rule=rule)
