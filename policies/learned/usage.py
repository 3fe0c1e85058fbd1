"""How a learned policy is used, whatever its weights: memory, chunk rule, device, precision. Read from policy specs."""

from dataclasses import dataclass, replace

import torch

from calvinbench.envs.names import require_name
from calvinbench.policies.chunk_rule import ChunkRule
from calvinbench.policies.learned.policy_config import PolicyConfig
from calvinbench.policies.policy import Memory
from calvinbench.policies.spec import PolicySpecError, parse_switch

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
"""Precisions of the VLM by name."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Where and how the model runs.

    Attributes:
        device: As torch spells it.
        dtype: Precision of the VLM; [LRN] and head keep 32 bits.
        compiled: Whether the VLM's parts are compiled with `torch.compile`; the first steps then take minutes.
    """

    device: torch.device
    dtype: torch.dtype = torch.float32
    compiled: bool = False

    @classmethod
    def parse(cls, device: str = "auto", dtype: str = "float32", compiled: str = "false") -> "Usage":
        """Reads the settings of a policy spec.

        Args:
            device: `auto` (a GPU where torch has one), `cpu`, `cuda`, `cuda:1`, `mps`.
            dtype: One of `DTYPES`.
            compiled: `true` or `false`.

        Raises:
            PolicySpecError: torch does not have the device, or not that precision on it.
            UnknownNameError: There is no such precision.
        """
        chosen = _device(device)
        precision = DTYPES[require_name(dtype, DTYPES, "dtype")]
        if precision == torch.float16 and chosen.type == "cpu":
            raise PolicySpecError(
                "expected dtype float32 or bfloat16 on a CPU, got float16: its range is too small without a GPU's "
                "kernels. Write dtype=bfloat16."
            )
        return cls(chosen, precision, parse_switch("compile", compiled))


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        if device.type == "meta":
            raise RuntimeError("it holds no numbers")
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, ImportError) as error:
        raise PolicySpecError(
            f"expected a device that torch has here (auto, cpu{', cuda' if torch.cuda.is_available() else ''}), "
            f"got '{name}': {str(error).splitlines()[0]}"
        ) from error
    return device


def with_memory(
    config: PolicyConfig, memory_span: str | None, memory_reset: str | None, chunk_rule: str | None
) -> PolicyConfig:
    """The settings with another memory or chunk rule; None leaves what the model was trained with.

    Raises:
        ValueError: There is no such span, reset or rule.
    """
    memory = Memory(
        span=config.memory.span if memory_span is None else memory_span,
        reset=config.memory.reset if memory_reset is None else memory_reset,
    )
    rule = config.chunk_rule if chunk_rule is None else str(ChunkRule.parse(chunk_rule))
    return replace(config, memory=memory, chunk_rule=rule)
