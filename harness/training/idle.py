"""Finds settings of a training that have no effect with its policy and data.

`call` finds settings without effect because of other settings. This module needs the policy and the windows, because
the policy's settings may come from its spec, from a JSON file of blocks or from a checkpoint.
"""

from calvinbench.harness.training.call import TrainingCall, TrainingCallError
from calvinbench.harness.training.conflicts import batch_conflict, idle_words, warmup_words
from calvinbench.policies.training.optimizer import num_warmup_steps
from calvinbench.policies.training.preparation import Training


def refuse_idle(call: TrainingCall, training: Training) -> None:
    """Raises an error for settings without effect.

    Args:
        call: The given settings.
        training: The training that was prepared from them.

    Raises:
        TrainingCallError: A setting has no effect; the message says why.
    """
    optimization, cameras = call.settings.optimization, training.config.backbone_settings.cameras
    shifts = {"static": optimization.static_shift, "gripper": optimization.gripper_shift}
    alone = f"the policy sees the {' and '.join(cameras)} camera alone"
    idle = {
        **{f"{camera}_shift": (bool(shift) and camera not in cameras, alone) for camera, shift in shifts.items()},
        "same_shift_in_window": (not any(shifts[camera] for camera in cameras), "images are not shifted"),
        "window_stride": (
            training.config.memory.span == "unbounded",
            "windows of a memory without end begin at starts",
        ),
    }
    changing = ("policy", "static_shift", "gripper_shift", "window_size")
    found = [
        idle_words(key, call.said[key], reason)
        for key, (is_idle, reason) in idle.items()
        if is_idle and call.is_refused_as_idle(key, *changing)
    ]
    per_epoch = training.plan.steps_per_epoch
    by_epochs = optimization.max_epochs * per_epoch
    is_refused = "max_steps" in call.said and call.is_refused_as_idle("max_steps", "max_epochs", "batch_size")
    if optimization.max_steps is not None and is_refused and optimization.max_steps > by_epochs:
        found.append(
            f"expected max_steps of at most max_epochs x steps an epoch, {optimization.max_epochs} x {per_epoch} = "
            f"{by_epochs}, got {optimization.max_steps}: training would end before. Raise --max-epochs to "
            f"{-(-optimization.max_steps // per_epoch)}, or lower --max-steps to {by_epochs}."
        )
    rising, steps = num_warmup_steps(optimization, per_epoch), training.num_steps
    if rising > steps:
        parts = [
            f"{key} {getattr(optimization, key)} ({call.source(key)})" for key in ("warmup_epochs", "warmup_steps")
        ]
        found.append(warmup_words(rising, steps, " and ".join(parts), call.source))
    batch = batch_conflict(call.settings, training.plan.num_processes, call.effective_batch_size, call.source)
    if batch is not None:
        found.append(batch)
    if found:
        raise TrainingCallError("\n".join(found))
