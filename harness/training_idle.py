"""Refuses what was said of a training and would do nothing with the policy and the data that it came to.

`training_call` refuses what is idle beside the other keys; this is what only shows once policy and windows are made,
wherever the policy's settings come from: its spec, a file of the seed's blocks, a checkpoint.
"""

from calvinbench.harness.training_call import TrainingCall, TrainingCallError
from calvinbench.policies.training.preparation import Training


def refuse_idle(call: TrainingCall, training: Training) -> None:
    """Checks what was said against what was made of it.

    Args:
        call: What was asked for.
        training: The same, made ready.

    Raises:
        TrainingCallError: A key does nothing; the message says why.
    """
    optimization, cameras = call.settings.optimization, training.config.backbone_settings.cameras
    shifts = {"static": optimization.static_shift, "gripper": optimization.gripper_shift}
    alone = f"the policy sees the {' and '.join(cameras)} camera alone"
    idle = {
        **{f"{camera}_shift": (bool(shift) and camera not in cameras, alone) for camera, shift in shifts.items()},
        "same_shift_in_window": (not any(shifts[camera] for camera in cameras), "pictures are not shifted"),
        "window_stride": (
            training.config.memory.span == "unbounded",
            "windows of a memory without end begin at starts",
        ),
    }
    for key, (is_idle, reason) in idle.items():
        if is_idle and key in call.said:
            raise TrainingCallError(f"expected no '{key}', got {call.said[key]!r}: it does nothing, for {reason}.")
    by_epochs = optimization.max_epochs * training.plan.steps_per_epoch
    if optimization.max_steps is not None and "max_steps" in call.said and optimization.max_steps > by_epochs:
        raise TrainingCallError(
            f"expected max_steps of at most max_epochs x steps an epoch, {optimization.max_epochs} x "
            f"{training.plan.steps_per_epoch} = {by_epochs}, got {optimization.max_steps}: training would end before. "
            "Raise --max-epochs, or lower --max-steps."
        )
