"""How a learned policy is used, whatever its weights, as settings of a policy spec. Imports no torch."""

from dataclasses import dataclass
from typing import Literal

from calvinbench.policies.chunk_rule import ChunkRule

MemoryReset = Literal["subtask", "chain"]
"""When a policy's memory is reset."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UseSettings:
    """Settings that every kind of learned policy takes.

    Attributes:
        memory_span: What the policy remembers: `unbounded` (the head's state is kept), `window:N` (exactly the last N
            frames) or `none`. By default what the policy was trained with; for an untrained policy, what suits its
            head.
        memory_reset: When the memory is reset: at each new `subtask`, as in CALVIN's protocol, or at each new `chain`.
            By default what the policy was trained with; `subtask` for an untrained policy.
        chunk_rule: Which predicted actions are executed. `first`: predict at each step and execute the first action.
            `first:K`: execute K actions, then predict again. `ensemble:M`: predict at each step and execute the mean
            of all predictions for that step; a prediction made n steps ago has weight exp(-M n). By default what the
            policy was trained with; `first` for an untrained policy.
        device: The torch device: `auto` (a GPU if torch has one), `cpu`, `cuda`, `cuda:1` or `mps`.
        dtype: Precision of the VLM. [LRN] and head always keep 32 bits.
        compile: Whether the VLM is compiled with `torch.compile`. The first steps then take minutes.
    """

    memory_span: str | None = None
    memory_reset: MemoryReset | None = None
    chunk_rule: ChunkRule | None = None
    device: str = "auto"
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    compile: bool = False
