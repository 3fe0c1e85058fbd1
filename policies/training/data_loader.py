"""The windows of each step on each process. They depend only on settings and step, so no loader state is saved."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from calvinbench.envs.system.child_process import SPAWN
from calvinbench.policies.demonstrations.windows import Window, WindowKey, Windows
from calvinbench.policies.training.batches import WindowBatch, collate_windows


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """How windows become steps.

    Attributes:
        num_windows: Windows of an epoch.
        batch_size: Windows of a forward pass on one process (the micro-batch).
        accumulation_steps: Forward passes of a step.
        num_processes: Processes that share a step.
    """

    num_windows: int
    batch_size: int
    accumulation_steps: int = 1
    num_processes: int = 1

    def __post_init__(self) -> None:
        if self.num_windows < self.effective_batch_size:
            raise ValueError(
                f"expected at least as many windows as a step takes, {self.batch_size} x {self.accumulation_steps} x "
                f"{self.num_processes} = {self.effective_batch_size}, got {self.num_windows}. Take a smaller batch, or "
                "record more demonstrations."
            )

    @property
    def effective_batch_size(self) -> int:
        """Windows of a step: micro-batch x accumulation x processes."""
        return self.batch_size * self.accumulation_steps * self.num_processes

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps in one pass over the data. The remaining windows are shuffled again in the next epoch."""
        return self.num_windows // self.effective_batch_size


class _ByKey(Dataset[Window]):
    """`Windows` as a torch data set."""

    def __init__(self, windows: Windows) -> None:
        self._windows = windows

    def __getitem__(self, key: WindowKey) -> Window:
        return self._windows[key]


class _MicroBatches(Sampler[list[WindowKey]]):
    """Keys of one process's micro-batches from a step on. It never ends."""

    def __init__(self, windows: Windows, plan: BatchPlan, first_step: int, process: int) -> None:
        self._windows, self._plan, self._first_step, self._process = windows, plan, first_step, process

    def __iter__(self) -> Iterator[list[WindowKey]]:
        plan = self._plan
        epoch, step = divmod(self._first_step, plan.steps_per_epoch)
        while True:
            order = self._windows.order(epoch)
            while step < plan.steps_per_epoch:
                for turn in range(plan.accumulation_steps):
                    place = (step * plan.accumulation_steps + turn) * plan.num_processes + self._process
                    yield order[place * plan.batch_size : (place + 1) * plan.batch_size]
                step += 1
            epoch, step = epoch + 1, 0


def make_loader(
    windows: Windows, plan: BatchPlan, *, first_step: int = 0, process: int = 0, num_workers: int = 0
) -> DataLoader[Window]:
    """Micro-batches (`WindowBatch`) of one process. It never ends.

    Args:
        windows: The data.
        plan: How they are divided into steps.
        first_step: The step to begin with.
        process: The index of this process.
        num_workers: Processes that read data ahead; 0 for none.
    """
    return DataLoader(
        _ByKey(windows),
        batch_sampler=_MicroBatches(windows, plan, first_step, process),
        collate_fn=collate_windows,
        num_workers=num_workers,
        # The default draws a seed from the global generator, which would change dropout after resuming.
        generator=torch.Generator(),
        prefetch_factor=4 if num_workers else None,
        multiprocessing_context=SPAWN if num_workers else None,
    )


def validation_batches(windows: Windows, batch_size: int, max_windows: int) -> Iterator[WindowBatch]:
    """The same windows each time, in batches. The last batch may be smaller.

    Args:
        windows: Windows of the validation split, without augmentation.
        batch_size: Windows of a forward pass.
        max_windows: Largest number of windows.
    """
    keys = windows.order(0)[:max_windows]
    for first in range(0, len(keys), batch_size):
        yield collate_windows([windows[key] for key in keys[first : first + batch_size]])
