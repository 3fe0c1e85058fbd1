"""The settings of `checkpoint:FOLDER`."""

from dataclasses import dataclass

from calvinbench.policies.learned.use_settings import UseSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointSettings(UseSettings):
    """Settings of a policy that is read from a checkpoint.

    Attributes:
        blind: Whether the policy is given black images. A control.
        deaf: Whether the policy is given an instruction that says nothing. A control.
        trained_on: The scenes that the policy was trained on, such as `D` or `ABC`. Only needed if the checkpoint says
            it wrongly or not at all.
    """

    blind: bool = False
    deaf: bool = False
    trained_on: str | None = None
