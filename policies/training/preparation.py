"""Prepares model and data for training: freezes parts, adds adapters, cuts demonstrations to fit the memory."""

import json
import re
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

from calvinbench.policies.backbones.weights.random import weights_from
from calvinbench.policies.demonstrations.demonstrations import DataError, Demonstrations
from calvinbench.policies.demonstrations.required_tasks import require_tasks
from calvinbench.policies.demonstrations.windows import Windows, WindowSettings
from calvinbench.policies.image_facts import facts_of_data, written
from calvinbench.policies.learned.policy_config import PolicyConfig
from calvinbench.policies.learned.trainable import TrainableParts, apply_trainable_parts
from calvinbench.policies.learned.vlm_lstm import VLMLSTM
from calvinbench.policies.training.data_loader import BatchPlan
from calvinbench.policies.training.optimization import OptimizationSettings
from calvinbench.policies.training.optimizer import total_steps
from calvinbench.policies.training.recipe.history import Stretch
from calvinbench.policies.training.recipe.roles import recipe_names
from calvinbench.policies.training.settings import Sentences, TrainingSettings

_KEPT_OF_DATA = (
    *("form", "scene", "asset_digest", "calvin_env", "renderer", "depth_bits", "reference_frame", "instructions"),
)
"""Facts about the data that a checkpoint records."""


@dataclass(frozen=True, slots=True)
class Training:
    """A prepared training: model, data and settings.

    Attributes:
        settings: The settings.
        model: The model.
        config: The policy's settings, as in its checkpoints.
        windows: Windows of the training split.
        validation: Windows of the validation split; None without validation.
        plan: How windows are divided into steps.
        notes: Facts about the origin that checkpoints record.
        origin: The policy's spec with digests in place of paths (`origin.policy_origin`); empty for the plain spec.
        history: The stretches of a training that was resumed with changes (`history`).
        forgets_best: Whether the lowest validation loss so far was computed on other windows.
    """

    settings: TrainingSettings
    model: VLMLSTM
    config: PolicyConfig
    windows: Windows
    validation: Windows | None
    plan: BatchPlan
    notes: dict[str, Any] = field(default_factory=dict)
    origin: str = ""
    history: tuple[Stretch, ...] = ()
    forgets_best: bool = False

    def recipe(self, step: int) -> str:
        """Digest of what the weights depend on, except random seeds. Policies of one recipe differ only by chance.

        Args:
            step: Optimiser steps.
        """
        optimization, trainable = asdict(self.settings.optimization), asdict(self.settings.trainable)
        if optimization["window_stride"] is None:
            del optimization["window_stride"]  # older recipes do not have it, and their digests must not change
        # Older versions had it in the recipe, and it was false by default.
        trainable = {name: trainable[name] for name in recipe_names(TrainableParts)} | {"gradient_checkpointing": False}
        content = {
            "policy": re.sub(r",seed=[^,]*", "", self.origin or self.settings.policy),
            "data": self.notes["data"],
            "windows": len(self.windows),
            "tasks": self.settings.tasks,
            "paraphrases": self.settings.paraphrases,
            "trainable": trainable,
            "optimization": {
                name: optimization[name] for name in recipe_names(OptimizationSettings) if name in optimization
            },
            "effective_batch_size": self.plan.effective_batch_size,
            "step": step,
            **self.changes(),
        }
        return sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()

    @property
    def num_steps(self) -> int:
        """Optimiser steps of the whole training."""
        return total_steps(self.settings.optimization, self.plan.steps_per_epoch)

    def changes(self) -> dict[str, Any]:
        """The history as JSON, for a training that was resumed with changes; empty for an unbroken training."""
        return {"history": [asdict(stretch) for stretch in self.history]} if len(self.history) > 1 else {}


def prepare(
    settings: TrainingSettings,
    model: VLMLSTM,
    config: PolicyConfig,
    training: Demonstrations,
    validation: Demonstrations | None = None,
    sentences: Sentences | None = None,
    num_processes: int = 1,
) -> Training:
    """Freezes and adapts the model, and cuts the data into windows that fit its memory.

    Args:
        settings: The settings.
        model: The model with its initial weights.
        config: The policy's settings.
        training: The training split.
        validation: The validation split; None without validation.
        sentences: Sentences by task to draw from; None for the sentences of the data set.
        num_processes: Processes that train together.

    Raises:
        ValueError: Settings contradict each other.
        DataError: There is nothing to train on.
    """
    optimization = settings.optimization
    _require_same_adapters(config.trainable, settings.trainable)
    with weights_from(torch.Generator().manual_seed(optimization.seed)):  # for new adapters
        apply_trainable_parts(model, settings.trainable)
    _require_32_bits(model)
    cut = window_settings(settings, config, model.head.config.chunk_length)
    cut = replace(
        cut,
        paraphrases=sentences if settings.paraphrases else None,
        input_sizes=model.backbone.input_sizes,
        resample=model.backbone.resample,
    )
    tasks = settings.tasks or None
    require_tasks(settings.tasks, training)
    windows = Windows(training, cut, tasks)
    _require_reach(windows, config, optimization.window_size)
    plain = replace(cut, static_shift=0, gripper_shift=0, paraphrases=None)
    plan = BatchPlan(len(windows), optimization.batch_size, optimization.gradient_accumulation_steps, num_processes)
    name, details = Path(training.description.path).name, training.description.details
    images = facts_of_data(training, windows.annotations, model.backbone.input_sizes, cut.cameras)
    return Training(
        settings=settings,
        model=model,
        config=replace(config, trainable=settings.trainable, origin=_origin(config.origin)),
        windows=windows,
        validation=None if validation is None else _validation_windows(validation, plain, settings),
        plan=plan,
        notes={
            "data": {"name": name} | {key: details.get(key) for key in _KEPT_OF_DATA} | _said_scenes(settings),
            "images": written(images),  # not in "data", which is part of every recipe's digest
        },
    )


def _said_scenes(settings: TrainingSettings) -> dict[str, str]:
    """The scenes of the data if the user gave them."""
    return {} if settings.data_scenes is None else {"scene": settings.data_scenes}


def _origin(before: str) -> str:
    """The origin that labels show. It includes pretrained weights."""
    return "pretrained VLM, trained here" if before.startswith("pretrained VLM") else "trained here"


def window_settings(settings: TrainingSettings, config: PolicyConfig, chunk_length: int) -> WindowSettings:
    """Chooses how windows are cut for a memory.

    A memory of `window:N` trains on windows of N frames that begin anywhere. An unbounded memory trains on windows that
    begin with the subtask. A head without memory trains on windows that begin anywhere.

    Raises:
        ValueError: The window size differs from that of the memory, or the memory is kept across subtasks.
    """
    if config.memory.reset != "subtask":
        raise ValueError(
            f"expected memory_reset=subtask for training, got {config.memory.reset}: a window is within one subtask. "
            "So training does not show a memory that is kept across subtasks. Set it when you run chains: "
            "run --policy checkpoint:FOLDER,memory_reset=chain."
        )
    optimization = settings.optimization
    kind, _, number = config.memory.span.partition(":")
    num_frames = optimization.window_size
    if kind == "window" and int(number) != num_frames:
        raise ValueError(
            f"expected window_size to be that of the memory, {config.memory.span}, got {num_frames}: a policy is "
            "trained with the memory that it will have. Change one of them."
        )
    return WindowSettings(
        num_frames=num_frames,
        chunk_length=chunk_length,
        from_start=kind == "unbounded",
        stride=None if kind == "unbounded" else optimization.window_stride,
        cameras=config.backbone_settings.cameras,
        reads_robot=config.proprioception,
        static_shift=optimization.static_shift,
        gripper_shift=optimization.gripper_shift,
        same_shift_in_window=optimization.same_shift_in_window,
        seed=optimization.seed,
    )


def _validation_windows(data: Demonstrations, cut: WindowSettings, settings: TrainingSettings) -> Windows:
    """Windows of the validation split, which may lack the tasks."""
    try:
        return Windows(data, cut, settings.tasks or None)
    except DataError as error:
        raise DataError(
            f"In the validation split: {error} Or set --validate-every 0 to train without a validation loss."
        ) from error


def _require_reach(windows: Windows, config: PolicyConfig, window_size: int) -> None:
    """Raises an error if windows that begin with the subtask contain less than half of the data."""
    if config.memory.span == "unbounded" and windows.reach < 0.5:
        raise ValueError(
            f"expected windows with at least half of the annotated frames, got {100 * windows.reach:.0f}%. An "
            "unbounded memory is trained from the start of each subtask, here only on its first "
            f"{window_size} frames. Raise --window-size and lower --batch-size, or set a limited memory in the "
            "policy's spec: memory_span=window:8."
        )


def _require_same_adapters(before: TrainableParts, now: TrainableParts) -> None:
    """Raises an error if adapters differ from those of the model, because a checkpoint describes only one kind."""
    if not before.lora_enable:
        return
    for name in ("lora_enable", "lora_r", "lora_alpha", "lora_dropout"):
        was, said = getattr(before, name), getattr(now, name)
        if was != said:
            raise ValueError(
                f"expected {name} {was}, as in the adapters that this policy already has, got {said}. Set "
                f"{name} to {was}, or start from a policy without adapters."
            )


def _require_32_bits(model: VLMLSTM) -> None:
    """Raises an error for trained weights of 16 bits, which are too coarse for small steps."""
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and parameter.dtype != torch.float32:
            raise ValueError(
                f"expected weights of 32 bits to train, got {parameter.dtype} in '{name}'. Leave dtype out of the "
                "policy's spec, or freeze the VLM. --precision bf16 computes in 16 bits with weights of 32."
            )
