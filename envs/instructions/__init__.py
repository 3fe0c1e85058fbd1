"""Instructions: the sentences that tell a policy what to do.

Read in this order:

1. `instruction_set`: the sentences for every task, and the rule that picks one for a subtask;
2. `instructions_file`: a user's own sentences, read from a YAML or JSON file;
3. `loading`: an instruction set by its name.

Other rooms import the names below from here.
"""

from calvinbench.envs.instructions.instruction_set import InstructionSet
from calvinbench.envs.instructions.loading import (
    AUTO,
    CALVIN,
    CALVIN_TRAINING,
    INSTRUCTIONS,
    OURS,
    OURS_HELD_OUT,
    OURS_TRAINING,
    embedded_instructions,
    is_instructions_file,
    load_instructions,
)

__all__ = [
    "AUTO",
    "CALVIN",
    "CALVIN_TRAINING",
    "INSTRUCTIONS",
    "OURS",
    "OURS_HELD_OUT",
    "OURS_TRAINING",
    "InstructionSet",
    "embedded_instructions",
    "is_instructions_file",
    "load_instructions",
]
