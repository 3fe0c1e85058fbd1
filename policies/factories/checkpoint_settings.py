"""The settings of `checkpoint:FOLDER`."""

from dataclasses import dataclass

from calvinbench.policies.learned.use_settings import UseSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointSettings(UseSettings):
    """Settings of a policy that is read from a checkpoint.

    Attributes:
        blank_images: Whether the policy gets blank images. A control.
        no_instruction: Whether the policy gets a sentence that says nothing instead of the instruction. A control.
        trained_on: The scenes that the policy was trained on, such as `D` or `ABC`. Only needed if the checkpoint says
            it wrongly or not at all.
    """

    blank_images: bool = False
    no_instruction: bool = False
    trained_on: str | None = None
