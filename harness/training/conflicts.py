"""Finds settings of a training that contradict each other, or have no effect because of others.

It finds all of them at once, says where each value comes from, and does not import torch.
"""

import os
from collections.abc import Callable, Mapping
from typing import Any

from calvinbench.policies.learned.trainable_parts import TrainableParts
from calvinbench.policies.spec import PolicySpec
from calvinbench.policies.training.settings import TrainingSettings

EVALUATION_KEYS = ("evaluate_chains", "evaluate_worlds", "evaluate_scene", "calvin_env")
_PARTS = ("train_vision", "train_connector", "train_text_embedding")
_NUM_PROCESSES = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
"""Variables in which launchers give the number of processes. The first that is set counts, as in accelerate."""
Source = Callable[[str], str]
"""Says where the value of a key comes from."""


def idle_keys(
    said: Mapping[str, Any], settings: TrainingSettings, evaluate_every: int, below: tuple[Mapping[str, Any], ...] = ()
) -> dict[str, str]:
    """Given keys that have no effect, and why.

    Args:
        said: Values by key.
        settings: The resulting settings.
        evaluate_every: The resulting `evaluate_every`.
        below: Values that the keys override; a key that changes one of these has an effect.
    """
    optimization, trainable = settings.optimization, settings.trainable
    parts = tuple(getattr(trainable, part) for part in _PARTS)
    idle = {
        "min_learning_rate_scale": (optimization.schedule == "constant", "the schedule is constant"),
        **dict.fromkeys(
            ("lora_r", "lora_alpha", "lora_dropout", "lora_bias"),
            (not trainable.lora_enable, "lora_enable is false"),
        ),
        "validation_windows": (settings.validate_every == 0, "validate_every is 0"),
        **dict.fromkeys(EVALUATION_KEYS, (evaluate_every == 0, "evaluate_every is 0")),
        "backbone_learning_rate": (trainable.freeze_backbone and True not in parts, "freeze_backbone is true"),
        "same_shift_in_window": (
            (not optimization.static_shift and not optimization.gripper_shift) or optimization.window_size == 1,
            "a window has one frame" if optimization.window_size == 1 else "images are not shifted",
        ),
        "gripper_change_weight": (optimization.gripper_loss_ratio == 0, "gripper_loss_ratio is 0"),
    }
    found = {key: reason for key, (is_idle, reason) in idle.items() if is_idle and said.get(key) is not None}
    return found | _idle_parts(said, trainable, below)


def _idle_parts(
    said: Mapping[str, Any], trainable: TrainableParts, below: tuple[Mapping[str, Any], ...]
) -> dict[str, str]:
    """Settings of a part that repeat the default, unless they change a value that they override."""
    follows = not trainable.freeze_backbone and not trainable.lora_enable
    if trainable.freeze_backbone:
        reason = "freeze_backbone is true"
    else:
        reason = "lora_enable is true" if trainable.lora_enable else "the whole VLM is trained"
    found = {}
    for part in _PARTS:
        undoes = any(keys.get(part) is not None and keys[part] is not said.get(part) for keys in below)
        if said.get(part) is follows and not undoes:
            found[part] = reason
    return found


def idle_words(key: str, value: object, reason: str) -> str:
    """The message for a key without effect."""
    return f"{key}={value!r} has no effect because {reason}; remove it."


def conflicts(
    settings: TrainingSettings, evaluate_every: int, effective_batch_size: int | None, source: Source
) -> list[str]:
    """Messages for contradictions that can be found without the policy and the data.

    Args:
        settings: The training.
        evaluate_every: Steps between evaluations.
        effective_batch_size: Required windows of a step; None to accept any number.
        source: Says where values come from.
    """
    spec = PolicySpec.parse(settings.policy)
    of_policy, optimization = dict(spec.settings), settings.optimization
    found = []
    if "device" in of_policy:
        found.append(
            f"expected no device in the policy's spec, got '{of_policy['device']}': training chooses it. Say --device."
        )
    batch = batch_conflict(settings, num_processes(), effective_batch_size, source)
    if batch is not None:
        found.append(batch)
    steps, rising = optimization.max_steps, optimization.warmup_steps
    if steps is not None and rising > steps:
        found.append(warmup_words(rising, steps, f"warmup_steps {rising} ({source('warmup_steps')})", source))
    kind, _, number = of_policy.get("memory_span", "").partition(":")
    if kind == "window" and number.isdecimal() and int(number) != optimization.window_size:
        found.append(
            f"expected window_size to be that of the policy's memory, memory_span=window:{number} "
            f"({source('policy')}), got {optimization.window_size} ({source('window_size')}). Say --window-size "
            f"{number}, or another memory_span in --policy."
        )
    if evaluate_every > 0 and evaluate_every % settings.save_every:
        found.append(
            f"expected evaluate_every as a multiple of save_every, {settings.save_every}, or 0, got "
            f"{evaluate_every} ({source('evaluate_every')}; save_every: {source('save_every')}): chains are run with "
            "a checkpoint that was saved. Say "
            f"--save-every {evaluate_every}."
        )
    return found


def num_processes() -> int:
    """The number of processes that train together, as given by their launcher."""
    said = [os.environ[name] for name in _NUM_PROCESSES if os.environ.get(name, "").isdecimal()]
    return int(said[0]) if said else 1


def batch_conflict(
    settings: TrainingSettings, processes: int, effective_batch_size: int | None, source: Source
) -> str | None:
    """The message for a wrong product of batch size, accumulation and processes; None if it is right or not given."""
    optimization = settings.optimization
    size, accumulated = optimization.batch_size, optimization.gradient_accumulation_steps
    product = size * accumulated * processes
    if effective_batch_size in (None, product):
        return None
    times, rest = divmod(effective_batch_size, size * processes)
    same = f"--gradient-accumulation-steps {times} for the same windows a step, or " if times and not rest else ""
    return (
        "expected batch_size x gradient_accumulation_steps x processes = effective_batch_size, got "
        f"{size} x {accumulated} x {processes} = {product} and {effective_batch_size}: batch_size {size} "
        f"({source('batch_size')}), effective_batch_size {effective_batch_size} ({source('effective_batch_size')}). "
        f"Say {same}--effective-batch-size {product} for another recipe."
    )


def warmup_words(rising: int, steps: int, said: str, source: Source) -> str:
    """The message for a warm-up that is longer than the training."""
    return (
        f"expected a warm-up of at most the {steps} steps of the whole training (max_steps: {source('max_steps')}; "
        f"max_epochs: {source('max_epochs')}), got {rising}: {said}. Say --warmup-epochs 0 "
        f"--warmup-steps {steps // 10}, or train for longer."
    )
