"""Checks policy spec and data set before a policy is made. This module does not import torch."""

from calvinbench.harness.training.call import TrainingCall
from calvinbench.policies.backbones.names import backbone_import_string
from calvinbench.policies.demonstrations.demonstrations import DataError, Demonstrations
from calvinbench.policies.demonstrations.opening import TRAINING, VALIDATION, open_data
from calvinbench.policies.demonstrations.required_tasks import require_tasks
from calvinbench.policies.learned.checkpoint_folder import checkpoint_folder
from calvinbench.policies.spec import PolicySpec


def require_policy(call: TrainingCall) -> None:
    """Checks that the checkpoint to begin with, or the backbone, exists.

    Raises:
        CheckpointError: There is no such checkpoint.
        UnknownNameError: There is no such backbone.
    """
    spec = PolicySpec.parse(call.settings.policy)
    if spec.kind == "checkpoint" and spec.argument is not None:
        checkpoint_folder(spec.argument)
    elif spec.argument is not None:
        backbone_import_string(spec.argument)


def require_data(call: TrainingCall) -> None:
    """Opens the splits and checks that they have the tasks.

    Raises:
        DataError: A required split is missing, or the training split has no demonstration of a task.
    """
    require_tasks(call.settings.tasks, open_data(call.settings.data, TRAINING))
    open_validation(call)


def open_validation(call: TrainingCall) -> Demonstrations | None:
    """The validation split; None if it is not used, or if it is missing in a smoke run.

    Raises:
        DataError: The split is missing.
    """
    if not call.settings.validate_every:
        return None
    try:
        return open_data(call.settings.data, VALIDATION)
    except DataError as error:
        if call.smoke:
            return None
        raise DataError(f"{error} Or set --validate-every 0 to train without a validation loss.") from error
