"""The training loop: gradients of the chunk loss through head, [LRN] and VLM, steps of AdamW, checkpoints and log.

accelerate handles devices, mixed precision and several processes. A loss is the sum over valid actions divided by their
number in the whole step, over all micro-batches and processes. So accumulation gives the gradient of the large batch.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed

from calvinbench.policies.learned.checkpoint import save_checkpoint
from calvinbench.policies.training.batches import WindowBatch
from calvinbench.policies.training.data_loader import make_loader, validation_batches
from calvinbench.policies.training.failures import (
    BAD_BATCH_FOLDER,
    NotFiniteError,
    explaining_out_of_memory,
    keep_batches,
)
from calvinbench.policies.training.log import TrainingLog
from calvinbench.policies.training.losses import ChunkLoss, chunk_loss
from calvinbench.policies.training.optimizer import make_optimizer, make_schedule, set_rates
from calvinbench.policies.training.preparation import Training
from calvinbench.policies.training.saved_state import (
    BEST_FOLDER,
    CHECKPOINT_FOLDER,
    checkpoint_notes,
    load_state,
    random_state_kept,
    save_state,
)
from calvinbench.policies.training.step_result import StepResult, log_line
from calvinbench.policies.training.subscriber import Subscriber


class Trainer:
    """Runs a training. Each session makes a new one."""

    def __init__(self, training: Training, accelerator: Accelerator, clock: Callable[[], float]) -> None:
        """Gives model, optimiser and schedule to accelerate, and loads the last state.

        Args:
            training: The prepared training.
            accelerator: From `make_accelerator`.
            clock: Returns seconds since a fixed moment.

        Raises:
            ValueError: Nothing is trained, or the last state cannot be read.
            OutOfMemoryError: The model does not fit into the device's memory.
        """
        self.training = training
        self._accelerator = accelerator
        self._clock = clock
        optimization = training.settings.optimization
        optimizer = make_optimizer(training.model, optimization)
        # Not prepared by accelerate, which would step the schedule once for each process.
        self._schedule = make_schedule(optimizer, optimization, training.plan.steps_per_epoch)
        training.model.train()
        with explaining_out_of_memory(training.settings, training.model):
            self._model, self._optimizer = accelerator.prepare(training.model, optimizer)
            accelerator.register_for_checkpointing(self._schedule)
            set_seed(optimization.seed + accelerator.process_index)  # dropout; loaded states have their own
            self.progress = load_state(accelerator, training.settings.out)
        if self.progress.step:
            set_rates(self._optimizer, self._schedule)
        if training.forgets_best:
            self.progress = replace(self.progress, best_validation_loss=None)

    def run(self, subscribers: Sequence[Subscriber] = ()) -> None:
        """Trains to the end.

        Raises:
            TrainingError: Memory ran out, or a loss is not finite.
        """
        training, settings = self.training, self.training.settings
        subscribers = subscribers if self._accelerator.is_main_process else ()
        log = TrainingLog(settings.out, self.progress.step) if self._accelerator.is_main_process else None
        for subscriber in subscribers:
            subscriber.began(training)
        try:
            with explaining_out_of_memory(settings, self.training.model):
                if log is not None and log.lines and log.lines[-1].step == self.progress.step:
                    # The training may have been killed before this line was reported.
                    self._report(log, subscribers, is_saved=True)
                self._run(log, subscribers)
        finally:
            for subscriber in subscribers:
                subscriber.ended()

    def _run(self, log: TrainingLog | None, subscribers: Sequence[Subscriber]) -> None:
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
            self.progress = replace(self.progress, seconds=self.progress.seconds + self._clock() - began)
            validation_loss = self.validation_loss() if validates and training.validation is not None else None
            self._save_checkpoints(validation_loss, is_due=saves)
            # In this order, a kill loses nothing: a line without a state is dropped, and its steps are repeated.
            if log is not None:
                log.add(log_line(results, self.progress, training.plan.steps_per_epoch, validation_loss))
            if saves:
                save_state(self._accelerator, settings.out, self.progress)
            if log is not None:
                self._report(log, subscribers, is_saved=saves)
            results, began = [], self._clock()

    def _step(self, batches: Iterator[Any]) -> StepResult:
        """One optimiser step over all its micro-batches."""
        optimization, accelerator = self.training.settings.optimization, self._accelerator
        micro: list[WindowBatch] = [
            next(batches).to(accelerator.device) for _ in range(optimization.gradient_accumulation_steps)
        ]
        num_valid, num_frames = self._summed(
            float(sum(batch.num_valid for batch in micro)), float(sum(batch.num_frames for batch in micro))
        )
        sums = torch.zeros(4, dtype=torch.float32, device=accelerator.device)
        for turn, batch in enumerate(micro):
            is_last = turn == len(micro) - 1
            with nullcontext() if is_last else accelerator.no_sync(self._model):
                loss = self._loss(batch, num_valid)
                # DDP takes the mean over processes; we need the sum.
                accelerator.backward(loss.total * accelerator.num_processes)
            # Losses are already divided by the step's count; the accuracy is not.
            share = loss.gripper_accuracy * (batch.num_valid / num_valid)
            sums += torch.stack([loss.total, loss.pose, loss.gripper, share]).detach()
        total, pose, gripper, accuracy = self._summed(*sums.tolist())
        if not math.isfinite(total):
            self._refuse(micro, "loss")
        limit = optimization.max_gradient_norm
        norm = float(accelerator.clip_grad_norm_(self._model.parameters(), math.inf if limit is None else limit))
        if not math.isfinite(norm) and accelerator.scaler is None:  # the scaler of fp16 skips such a step
            self._refuse(micro, "gradient")
        rate = float(self._optimizer.param_groups[-1]["lr"])
        self._optimizer.step()
        is_skipped = bool(self._optimizer.step_was_skipped)
        if not is_skipped:
            self._schedule.step()
        self._optimizer.zero_grad()
        self.progress = replace(
            self.progress,
            step=self.progress.step + 1,
            windows=self.progress.windows + self.training.plan.effective_batch_size,
            frames=self.progress.frames + int(num_frames),
        )
        return StepResult(total, pose, gripper, accuracy, None if is_skipped else norm, rate)

    def _loss(self, batch: WindowBatch, num_valid: float | None) -> ChunkLoss:
        optimization = self.training.settings.optimization
        with self._accelerator.autocast():
            output = self._model(batch.images, batch.instructions, robot_obs=batch.robot_obs, is_frame=batch.is_frame)
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

    def _summed(self, *numbers: float) -> list[float]:
        """Each number's sum over all processes; exact for counts."""
        if self._accelerator.num_processes == 1:
            return list(numbers)
        own = torch.tensor(numbers, dtype=torch.float64, device=self._accelerator.device)
        return [float(number) for number in self._accelerator.reduce(own, "sum").tolist()]

    def _save_checkpoints(self, validation_loss: float | None, *, is_due: bool) -> None:
        """Saves the policy if a checkpoint is due, and as the best one if its validation loss is the lowest so far."""
        folders = [CHECKPOINT_FOLDER] if is_due else []
        best = self.progress.best_validation_loss
        if validation_loss is not None and math.isfinite(validation_loss) and (best is None or validation_loss < best):
            self.progress = replace(self.progress, best_validation_loss=validation_loss)
            folders.append(BEST_FOLDER)
        if self._accelerator.is_main_process:
            training = self.training
            for name in folders:
                notes = checkpoint_notes(training, self.progress, validation_loss)
                save_checkpoint(training.settings.out / name, training.model, training.config, notes)

    def _report(self, log: TrainingLog, subscribers: Sequence[Subscriber], *, is_saved: bool) -> None:
        """Reports a saved policy that was not evaluated yet, then the last line of the log."""
        line = log.lines[-1]
        if is_saved and line.average_length is None:
            with random_state_kept():
                found = [subscriber.saved(self.training, line.step) for subscriber in subscribers]
            self._model.train()
            lengths = [length for length in found if length is not None]
            if lengths:
                line = replace(line, average_length=lengths[0])
                log.amend(line)
        for subscriber in subscribers:
            subscriber.logged(line)

    def _refuse(self, micro: Sequence[WindowBatch], what: str) -> None:
        """Saves the batches and raises an error."""
        folder = self.training.settings.out / BAD_BATCH_FOLDER
        keep_batches(folder, micro, self._accelerator.process_index)
        raise NotFiniteError(
            f"expected a finite {what} at step {self.progress.step + 1}, got NaN or infinity. The batch is saved in "
            f"'{folder}'. Look for damaged frames: calvinbench data check --all-frames. Or lower --learning-rate or "
            "--max-gradient-norm, with another --out. The same command resumes from the last saved state."
        )
