"""The loop: windows in, gradients of the chunk loss through head, [LRN] and VLM, a step of AdamW; saved as it goes.

accelerate does devices, mixed precision and several processes. Losses are sums over valid actions divided by how many
the whole step has, over all micro-batches and processes: accumulation gives the gradient of the large batch.
"""

import json
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, set_seed
from safetensors.torch import save_file
from torch import Tensor

from calvinbench.policies.checkpoint import save_checkpoint
from calvinbench.policies.demonstrations.demonstrations import Demonstrations
from calvinbench.policies.demonstrations.windows import Windows, WindowSettings
from calvinbench.policies.losses import ChunkLoss, chunk_loss
from calvinbench.policies.optimizer import make_optimizer, make_schedule
from calvinbench.policies.policy_config import PolicyConfig
from calvinbench.policies.trainable import apply_trainable_parts
from calvinbench.policies.training.batches import WindowBatch
from calvinbench.policies.training.data_loader import BatchPlan, make_loader, validation_batches
from calvinbench.policies.training.failures import NotFiniteError, memory_told_in_words
from calvinbench.policies.training.log import LogLine, TrainingLog
from calvinbench.policies.training.saved_state import load_state, save_state
from calvinbench.policies.training.settings import Sentences, TrainingSettings
from calvinbench.policies.vlm_lstm import VLMLSTM

CHECKPOINT_FOLDER, BEST_FOLDER = "checkpoint", "best"
BAD_BATCH_FOLDER = "bad_batch"
_logger = logging.getLogger(__name__)


class Subscriber(Protocol):
    """Who is told how training goes; called on the main process alone."""

    def began(self, training: "Training") -> None:
        """Before the first step of a sitting."""

    def logged(self, line: LogLine) -> None:
        """After each line of the log."""

    def saved(self, training: "Training", step: int) -> float | None:
        """After each checkpoint; the average length of chains that were run with it, or None."""

    def ended(self) -> None:
        """After the last step, or when training is left early."""


@dataclass(frozen=True, slots=True)
class Training:
    """What is trained on what, made and ready.

    Attributes:
        settings: What was asked for.
        model: The model.
        config: The policy's settings, as its checkpoints have them.
        windows: Of the training split.
        validation: Of the validation split; None for none.
        plan: How windows become steps.
        notes: What checkpoints say of their origin.
    """

    settings: TrainingSettings
    model: VLMLSTM
    config: PolicyConfig
    windows: Windows
    validation: Windows | None
    plan: BatchPlan
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def num_steps(self) -> int:
        """Optimiser steps of the whole training."""
        optimization = self.settings.optimization
        by_epochs = optimization.max_epochs * self.plan.steps_per_epoch
        return by_epochs if optimization.max_steps is None else min(by_epochs, optimization.max_steps)


def prepare(
    settings: TrainingSettings,
    model: VLMLSTM,
    config: PolicyConfig,
    training: Demonstrations,
    validation: Demonstrations | None = None,
    sentences: Sentences | None = None,
    num_processes: int = 1,
) -> Training:
    """Freezes and adapts the model, and cuts the data into windows as its memory wants them.

    Args:
        settings: What is asked for.
        model: The model, its weights as training begins with them.
        config: The policy's settings.
        training: The data.
        validation: Data for the validation loss.
        sentences: Sentences by task that windows draw from; None for those of the data set.
        num_processes: Processes that train together.

    Raises:
        ValueError: Settings contradict each other.
        DataError: There is nothing to train on.
    """
    apply_trainable_parts(model, settings.trainable)
    cut = window_settings(settings, config, model.head.config.chunk_length)
    cut = replace(
        cut,
        paraphrases=sentences if settings.paraphrases else None,
        input_sizes=model.backbone.input_sizes,
        resample=model.backbone.resample,
    )
    optimization = settings.optimization
    tasks = settings.tasks or None
    windows = Windows(training, cut, tasks)
    plain = replace(cut, static_shift=0, gripper_shift=0, paraphrases=None)
    plan = BatchPlan(len(windows), optimization.batch_size, optimization.gradient_accumulation_steps, num_processes)
    details = training.description.details
    kept = ("form", "scene", "asset_digest", "calvin_env", "renderer", "depth_bits", "reference_frame", "instructions")
    return Training(
        settings=settings,
        model=model,
        config=replace(config, trainable=settings.trainable, origin="trained here"),
        windows=windows,
        validation=None if validation is None else Windows(validation, plain, tasks),
        plan=plan,
        notes={"data": {"path": training.description.path} | {key: details.get(key) for key in kept}},
    )


def window_settings(settings: TrainingSettings, config: PolicyConfig, chunk_length: int) -> WindowSettings:
    """How windows are cut for a memory.

    A memory `window:N` is trained on windows of N frames that begin anywhere; one that is never cut on windows that
    begin where the subtask does; a head without memory on windows that begin anywhere.

    Raises:
        ValueError: The window's size is not that of the memory.
    """
    optimization = settings.optimization
    kind, _, number = config.memory.span.partition(":")
    num_frames = optimization.window_size
    if kind == "window" and int(number) != num_frames:
        raise ValueError(
            f"expected window_size to be that of the memory, {config.memory.span}, got {num_frames}: a policy is "
            "trained on what it will remember. Change one of them."
        )
    return WindowSettings(
        num_frames=num_frames,
        chunk_length=chunk_length,
        from_start=kind == "unbounded",
        cameras=config.backbone_settings.cameras,
        reads_robot=config.proprioception,
        static_shift=optimization.static_shift,
        gripper_shift=optimization.gripper_shift,
        same_shift_in_window=optimization.same_shift_in_window,
        seed=optimization.seed,
    )


class StepResult(NamedTuple):
    """What one optimiser step did: its loss, the gradient's norm before clipping, and what it saw."""

    loss: ChunkLoss
    gradient_norm: float
    windows: int
    frames: int


class Trainer:
    """Steps a training; made anew for each sitting."""

    def __init__(self, training: Training, accelerator: Accelerator, clock: Callable[[], float]) -> None:
        """Gives model, optimiser and schedule to accelerate, and loads the last state.

        Args:
            training: What is trained.
            accelerator: See `make_accelerator`.
            clock: Seconds since some fixed moment.

        Raises:
            ValueError: Nothing is trained, or the last state cannot be read.
        """
        self.training = training
        self._accelerator = accelerator
        self._clock = clock
        optimization = training.settings.optimization
        optimizer = make_optimizer(training.model, optimization)
        schedule = make_schedule(optimizer, optimization, training.plan.steps_per_epoch)
        training.model.train()
        # accelerate would step a prepared schedule once for each process; ours counts steps of all together.
        self._model, self._optimizer = accelerator.prepare(training.model, optimizer)
        self._schedule = schedule
        accelerator.register_for_checkpointing(schedule)
        set_seed(optimization.seed + accelerator.process_index)  # dropout; loaded states have their own
        self.progress = load_state(accelerator, training.settings.out)

    def run(self, subscribers: Sequence[Subscriber] = ()) -> None:
        """Trains to the end.

        Raises:
            TrainingError: Memory ran out, or a loss is not finite.
        """
        training, settings = self.training, self.training.settings
        optimization = settings.optimization
        told = subscribers if self._accelerator.is_main_process else ()
        log = TrainingLog(settings.out, self.progress.step) if self._accelerator.is_main_process else None
        for subscriber in told:
            subscriber.began(training)
        try:
            with memory_told_in_words(
                optimization.batch_size,
                optimization.gradient_accumulation_steps,
                checkpoints=settings.trainable.gradient_checkpointing,
                adapts=settings.trainable.lora_enable,
            ):
                self._run(log, told)
        finally:
            for subscriber in told:
                subscriber.ended()

    def _run(self, log: TrainingLog | None, told: Sequence[Subscriber]) -> None:
        training, settings = self.training, self.training.settings
        batches = iter(
            make_loader(
                training.windows,
                training.plan,
                first_step=self.progress.step,
                process=self._accelerator.process_index,
                num_workers=settings.optimization.num_workers,
            )
        )
        results: list[StepResult] = []
        began = self._clock()
        while self.progress.step < training.num_steps:
            results.append(self._step(batches))
            step = self.progress.step
            is_last = step == training.num_steps
            validates = bool(settings.validate_every) and (step % settings.validate_every == 0 or is_last)
            saves = step % settings.save_every == 0 or is_last
            if step % settings.log_every and not validates and not saves:
                continue
            now = self._clock()
            self.progress = replace(self.progress, seconds=self.progress.seconds + now - began)
            validation_loss = self.validation_loss() if validates and training.validation is not None else None
            average_length = self._save(told, validation_loss) if saves else None
            if log is not None:
                line = self._line(results, validation_loss, average_length)
                log.add(line)
                for subscriber in told:
                    subscriber.logged(line)
            results, began = [], self._clock()

    def _step(self, batches: Iterator[Any]) -> StepResult:
        """One optimiser step over all its micro-batches."""
        optimization, accelerator = self.training.settings.optimization, self._accelerator
        micro: list[WindowBatch] = [
            next(batches).to(accelerator.device) for _ in range(optimization.gradient_accumulation_steps)
        ]
        num_valid = self._summed(sum(batch.num_valid for batch in micro))
        parts: list[ChunkLoss] = []
        for turn, batch in enumerate(micro):
            is_last = turn == len(micro) - 1
            with nullcontext() if is_last else accelerator.no_sync(self._model):
                loss = self._loss(batch, num_valid)
                # DDP takes the mean over processes, and the sum is meant.
                accelerator.backward(loss.total * accelerator.num_processes)
            parts.append(ChunkLoss(*(part.detach() for part in loss)))
        summed = _sum_losses(parts, micro)
        if not math.isfinite(self._summed(float(summed.total))):
            self._refuse(micro, "loss")
        limit = optimization.max_gradient_norm
        norm = float(accelerator.clip_grad_norm_(self._model.parameters(), math.inf if limit is None else limit))
        if not math.isfinite(norm) and accelerator.mixed_precision != "fp16":  # there the scaler skips such a step
            self._refuse(micro, "gradient")
        self._optimizer.step()
        self._schedule.step()
        self._optimizer.zero_grad()
        windows, frames = len(micro) * optimization.batch_size, sum(batch.num_frames for batch in micro)
        self.progress = replace(
            self.progress,
            step=self.progress.step + 1,
            windows=self.progress.windows + windows * accelerator.num_processes,
            frames=self.progress.frames + round(self._summed(frames)),
        )
        return StepResult(summed, norm, windows, frames)

    def _loss(self, batch: WindowBatch, num_valid: float | None) -> ChunkLoss:
        optimization = self.training.settings.optimization
        with self._accelerator.autocast():
            output = self._model(batch.pictures, batch.instructions, robot_obs=batch.robot_obs, is_frame=batch.is_frame)
        labels = batch.labels(self.training.config.pose_range, optimization.gripper_change_weight)
        return chunk_loss(output.chunks, labels, optimization.gripper_loss_ratio, num_valid)

    def validation_loss(self) -> float:
        """The loss over the validation split's windows, without augmentation, in eval mode.

        Raises:
            ValueError: There is no validation split.
        """
        windows, optimization = self.training.validation, self.training.settings.optimization
        if windows is None:
            raise ValueError("expected a validation split, got none. Record one, or set validate_every to 0.")
        self._model.eval()
        total, count = 0.0, 0
        with torch.no_grad():
            for batch in validation_batches(
                windows, optimization.batch_size, self.training.settings.validation_windows
            ):
                total += float(self._loss(batch.to(self._accelerator.device), None).total) * batch.num_valid
                count += batch.num_valid
        self._model.train()
        return total / count

    def _summed(self, number: float) -> float:
        """Over all processes."""
        if self._accelerator.num_processes == 1:
            return number
        gathered = self._accelerator.reduce(
            torch.tensor(number, dtype=torch.float32, device=self._accelerator.device), "sum"
        )
        return float(gathered)

    def _save(self, told: Sequence[Subscriber], validation_loss: float | None) -> float | None:
        """Saves checkpoint and state, then asks who wants to try the policy."""
        best = self.progress.best_validation_loss
        is_best = validation_loss is not None and (best is None or validation_loss < best)
        if is_best:
            self.progress = replace(self.progress, best_validation_loss=validation_loss)
        average_length = None
        if self._accelerator.is_main_process:
            out = self.training.settings.out
            for name in (CHECKPOINT_FOLDER, *((BEST_FOLDER,) if is_best else ())):
                save_checkpoint(out / name, self.training.model, self.training.config, self._notes(validation_loss))
        save_state(self._accelerator, self.training.settings.out, self.progress)
        for subscriber in told:
            found = subscriber.saved(self.training, self.progress.step)
            average_length = found if average_length is None else average_length
        self._model.train()
        return average_length

    def _notes(self, validation_loss: float | None) -> dict[str, Any]:
        """What a checkpoint says of its training."""
        return self.training.notes | {
            "training": {
                "step": self.progress.step,
                "windows": self.progress.windows,
                "frames": self.progress.frames,
                "seconds": round(self.progress.seconds),
                "effective_batch_size": self.training.plan.effective_batch_size,
                "validation_loss": validation_loss,
            }
        }

    def _line(
        self, results: Sequence[StepResult], validation_loss: float | None, average_length: float | None
    ) -> LogLine:
        def mean(values: Iterator[float]) -> float:
            return sum(values) / len(results)

        progress = self.progress
        return LogLine(
            step=progress.step,
            epoch=progress.step / self.training.plan.steps_per_epoch,
            windows=progress.windows,
            frames=progress.frames,
            seconds=progress.seconds,
            loss=mean(float(result.loss.total) for result in results),
            pose_loss=mean(float(result.loss.pose) for result in results),
            gripper_loss=mean(float(result.loss.gripper) for result in results),
            gripper_accuracy=mean(float(result.loss.gripper_accuracy) for result in results),
            learning_rate=float(self._optimizer.param_groups[-1]["lr"]),
            gradient_norm=mean(result.gradient_norm for result in results),
            validation_loss=validation_loss,
            average_length=average_length,
        )

    def _refuse(self, micro: Sequence[WindowBatch], what: str) -> None:
        """Keeps the batches and stops."""
        folder = self.training.settings.out / BAD_BATCH_FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        for number, batch in enumerate(micro):
            tensors: dict[str, Tensor] = {
                "rgb_static": batch.pictures.static,
                "actions": batch.actions,
                "is_valid": batch.is_valid,
                "is_frame": batch.is_frame,
            }
            tensors |= {} if batch.pictures.gripper is None else {"rgb_gripper": batch.pictures.gripper}
            tensors |= {} if batch.robot_obs is None else {"robot_obs": batch.robot_obs}
            words = {"instructions": json.dumps(batch.instructions), "tasks": json.dumps(batch.tasks)}
            name = f"process_{self._accelerator.process_index}_micro_{number}.safetensors"
            save_file({key: tensor.cpu().contiguous() for key, tensor in tensors.items()}, folder / name, words)
        raise NotFiniteError(
            f"expected a finite {what} at step {self.progress.step + 1}, got NaN or infinity. The batch is kept in "
            f"'{folder}'. Lower the learning rate, set --max-gradient-norm, or look for damaged frames: calvinbench "
            "data check --all-frames. The last saved state goes on by the same command."
        )


def _sum_losses(parts: Sequence[ChunkLoss], micro: Sequence[WindowBatch]) -> ChunkLoss:
    """The losses of micro-batches were divided by the step's count already; the accuracy was not."""
    count = sum(batch.num_valid for batch in micro)
    accuracy = sum(
        (part.gripper_accuracy * batch.num_valid for part, batch in zip(parts, micro, strict=True)),
        start=torch.zeros((), device=parts[0].total.device),
    )
    zero = torch.zeros((), device=parts[0].total.device)
    total, pose, gripper = (
        sum((getattr(part, name) for part in parts), start=zero) for name in ("total", "pose", "gripper")
    )
    return ChunkLoss(total, pose, gripper, accuracy / count)


def make_accelerator(precision: str, device: str = "auto") -> Accelerator:
    """Accelerate's own, for a precision and a device.

    Args:
        precision: `"fp32"`, `"bf16"` or `"fp16"` of mixed precision.
        device: `"auto"` for what accelerate finds, `"cpu"` for the CPU where there is a GPU too.

    Raises:
        ValueError: `fp16` is wanted on a CPU, or the device is another.
    """
    if device not in ("auto", "cpu"):
        raise ValueError(
            f"expected device auto or cpu, got '{device}'. CUDA_VISIBLE_DEVICES chooses among GPUs, and `accelerate "
            "launch` starts a process for each."
        )
    on_cpu = device == "cpu" or not torch.cuda.is_available()
    if precision == "fp16" and on_cpu:
        raise ValueError(
            "expected precision bf16 or fp32 on a CPU, got fp16: its range needs a scaled loss and a GPU's kernels. "
            "Say --precision fp32."
        )
    return Accelerator(
        cpu=device == "cpu",
        mixed_precision="no" if precision == "fp32" else precision,
        # A pooled read-out, or a VLM's last norm, may leave weights without a gradient.
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )


def find_checkpoint(out: Path) -> Path:
    """The last checkpoint of a training's folder."""
    return out / CHECKPOINT_FOLDER
