"""Whether the data loader keeps a model busy: `python benchmarks/data_loader.py [--data DIR]`.

    python benchmarks/data_loader.py                        first records a few episodes in both layouts, in a minute
    python benchmarks/data_loader.py --data demonstrations  an existing data set in its own layout
    python benchmarks/data_loader.py --policy untrained:cnn,memory_span=window:24
    python benchmarks/data_loader.py --memory 400           memory of a training of 400 steps instead, see below

Windows are cut, shifted and resized as `calvinbench train` would do for the policy. The model's row is a forward and a
backward pass on one thread, on windows that are already in memory. The loader's rows are windows that are read in the
same process or by one worker, without a model. All rows take turns in every round. The last column is from a loop of
both: the share of its time in which the model waits for windows. Files come from the system's cache, as in the second
pass over a data set that fits into memory.

`--memory N` trains the policy for N steps on each data set, in a process of its own with one worker that loads. It
prints the peak resident memory of both processes after a tenth of the steps and after all of them, which shows what
grows with the steps. Memory that is mapped from files or libraries counts too, in each process.
"""

import argparse
import multiprocessing
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

WORKERS = {0: "in this process", 1: "one worker"}
_SHIFTS: Mapping[str, Any] = {"static_shift": 10, "gripper_shift": 4, "same_shift_in_window": True}

POLICY = "untrained:cnn,memory_span=window:8"


@dataclass(slots=True)
class Row:
    """One source of windows, or the model itself.

    Attributes:
        name: The name of its row.
        batches: Windows, without end; None for the model.
        num_ready: Most batches that were prepared while other rows took their turn.
        windows_per_second: One number for each round.
        frames_per_second: One number for each round, without padding.
        waiting: Share of the loop's time, one number for each round.
    """

    name: str
    batches: Iterator[Any] | None = None
    num_ready: int = 0
    windows_per_second: list[float] = field(default_factory=list)
    frames_per_second: list[float] = field(default_factory=list)
    waiting: list[float] = field(default_factory=list)

    def note(self, seconds: float, batches: list[Any]) -> None:
        """Stores the results of a round."""
        self.windows_per_second.append(sum(len(batch.instructions) for batch in batches) / seconds)
        self.frames_per_second.append(sum(batch.num_frames for batch in batches) / seconds)


def measure_loading(row: Row, num_batches: int) -> None:
    """Takes batches as fast as they come."""
    assert row.batches is not None
    _skip_ready(row)
    began = time.perf_counter()
    batches = [next(row.batches) for _ in range(num_batches)]
    row.note(time.perf_counter() - began, batches)


def measure_training(row: Row, step: Callable[[Any], None], batches: list[Any]) -> None:
    """Forward and backward passes on batches in memory."""
    began = time.perf_counter()
    for batch in batches:
        step(batch)
    row.note(time.perf_counter() - began, batches)


def measure_waiting(row: Row, step: Callable[[Any], None], num_batches: int) -> None:
    """Takes a batch, steps, takes the next one."""
    assert row.batches is not None
    _skip_ready(row)
    waited = 0.0
    began = time.perf_counter()
    for _ in range(num_batches):
        asked = time.perf_counter()
        batch = next(row.batches)
        waited += time.perf_counter() - asked
        step(batch)
    row.waiting.append(waited / (time.perf_counter() - began))


def _skip_ready(row: Row) -> None:
    for _ in range(row.num_ready):
        next(row.batches)  # type: ignore[arg-type]


def record_both(folder: Path, episodes: int) -> dict[str, Path]:
    """A small data set in both layouts: with CALVIN's image sizes, and compact with the static camera's size halved."""
    from calvinbench.harness.recording.recorder import record
    from calvinbench.harness.recording.settings import RecordingSettings

    made = {}
    for form, static_size in (("compact", 100), ("calvin", 200)):
        settings = RecordingSettings(
            out=folder / form, form=form, episodes=episodes, validation_episodes=0, static_size=static_size
        )
        record(settings)
        made[f"{form}, static {static_size}"] = folder / form
    return made


def make_step(model: Any, config: Any) -> Callable[[Any], None]:
    """Forward pass, loss and backward pass, as in the trainer."""
    from calvinbench.policies.training.losses import chunk_loss

    def step(batch: Any) -> None:
        model.zero_grad()
        output = model(batch.images, batch.instructions, robot_obs=batch.robot_obs, is_frame=batch.is_frame)
        chunk_loss(output.chunks, batch.labels(config.pose_range)).total.backward()

    return step


def make_rows(sources: dict[str, Path], model: Any, config: Any, batch_size: int, window_size: int) -> list[Row]:
    """A row for each data set and number of workers."""
    from calvinbench.policies.demonstrations.opening import open_data
    from calvinbench.policies.demonstrations.windows import Windows, WindowSettings
    from calvinbench.policies.training.data_loader import BatchPlan, make_loader

    settings = WindowSettings(
        num_frames=window_size,
        chunk_length=model.head.config.chunk_length,
        cameras=config.backbone_settings.cameras,
        reads_robot=config.proprioception,
        input_sizes=model.backbone.input_sizes,
        resample=model.backbone.resample,
        **_SHIFTS,
    )
    rows = []
    for name, folder in sources.items():
        windows = Windows(open_data(folder, "training"), settings)
        plan = BatchPlan(len(windows), min(batch_size, len(windows)))
        for num_workers, where in WORKERS.items():
            loader = make_loader(windows, plan, num_workers=num_workers)
            ready = 1 + (loader.prefetch_factor or 0) * num_workers
            rows.append(Row(f"{name}, {where}", iter(loader), ready))
    return rows


@dataclass(frozen=True, slots=True)
class Memory:
    """Peak resident memory of a training so far, MB.

    Attributes:
        step: Number of optimiser steps.
        training: The process that trains.
        worker: The process that loads for it.
    """

    step: int
    training: float
    worker: float


class MemoryWatcher:
    """Stores the peak memory at some steps of a training."""

    def __init__(self, steps: Iterable[int]) -> None:
        self._steps = frozenset(steps)
        self.found: list[Memory] = []

    def began(self, training: Any) -> None:
        """Has no effect."""

    def logged(self, line: Any) -> None:
        """Reads the peaks, if this is one of the steps."""
        if line.step in self._steps:
            workers = [peak_mb(child.pid) for child in multiprocessing.active_children()]
            self.found.append(Memory(line.step, peak_mb("self"), max(workers)))

    def saved(self, training: Any, step: int) -> None:
        """Has no effect."""

    def ended(self) -> None:
        """Has no effect."""


def peak_mb(process: Any) -> float:
    """The peak resident memory of a process so far, MB, from /proc."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 2**10


def measure_memory(data: Path, policy: str, num_steps: int, batch_size: int, window_size: int) -> list[Memory]:
    """Trains in this process, which should be a new one."""
    import torch

    from calvinbench.harness.training.call import make_call
    from calvinbench.harness.training.training import train

    torch.set_num_threads(1)
    steps = (max(1, num_steps // 10), num_steps)
    watcher = MemoryWatcher(steps)
    with TemporaryDirectory() as out:
        said = {"policy": policy, "data": str(data), "out": out, "precision": "fp32", "device": "cpu", "num_workers": 1}
        said |= {"batch_size": batch_size, "gradient_accumulation_steps": 1, "window_size": window_size}
        said |= {"max_steps": num_steps, "max_epochs": num_steps, "warmup_epochs": 0, "validate_every": 0}
        train(make_call(said | {"log_every": 1, "save_every": steps[0]}), lambda _: None, (watcher,))
    return watcher.found


def show_memory(sources: dict[str, Path], policy: str, num_steps: int, batch_size: int, window_size: int) -> None:
    """Measures each data set in a process of its own, and prints the table."""
    from tabulate import tabulate

    table = []
    for name, data in sources.items():
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            for found in pool.submit(measure_memory, data, policy, num_steps, batch_size, window_size).result():
                table.append(
                    {"a training on": name, "steps": found.step}
                    | {"peak of the training process, MB": round(found.training)}
                    | {"peak of its worker, MB": round(found.worker)}
                )
    print(tabulate(table, headers="keys", tablefmt="github"), flush=True)


def show(model_row: Row, rows: list[Row]) -> None:
    """Prints the table."""
    from tabulate import tabulate

    needed = median(model_row.frames_per_second)
    table = [
        {
            "windows of": row.name,
            "windows a second": round(median(row.windows_per_second), 1),
            "frames a second": round(median(row.frames_per_second)),
            "fastest": round(max(row.frames_per_second)),
            "slowest": round(min(row.frames_per_second)),
            "times the model's": round(median(row.frames_per_second) / needed, 2),
            "model waits, % of a loop": round(100 * median(row.waiting), 1) if row.waiting else "",
        }
        for row in (model_row, *rows)
    ]
    print(tabulate(table, headers="keys", tablefmt="github"), flush=True)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of a data set (default: records some episodes)")
    parser.add_argument("--policy", default=POLICY, help=f"whose training is measured (default: {POLICY})")
    parser.add_argument("--window-size", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--batches", type=int, default=8, help="of a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--episodes", type=int, default=6, help="number of episodes that are recorded without --data")
    parser.add_argument("--memory", type=int, metavar="N", help="measure the memory of a training of N steps instead")
    chosen = parser.parse_args()
    if chosen.memory is not None:
        if chosen.memory < 2:
            parser.error(f"expected --memory of at least 2 steps, got {chosen.memory}.")
        with TemporaryDirectory() as folder:
            sources = {chosen.data.name: chosen.data} if chosen.data else record_both(Path(folder), chosen.episodes)
            show_memory(sources, chosen.policy, chosen.memory, chosen.batch_size, chosen.window_size)
        return
    import torch

    from calvinbench.policies.learned.vlm_lstm_policy import VLMLSTMPolicy
    from calvinbench.policies.registry import make_policy

    torch.set_num_threads(1)
    policy = make_policy(chosen.policy)
    if not isinstance(policy, VLMLSTMPolicy):
        parser.error(f"expected a learned policy, got {chosen.policy}.")
    model, step = policy.model.train(), make_step(policy.model, policy.config)
    with TemporaryDirectory() as folder:
        sources = {chosen.data.name: chosen.data} if chosen.data else record_both(Path(folder), chosen.episodes)
        rows = make_rows(sources, model, policy.config, chosen.batch_size, chosen.window_size)
        model_row = Row(f"{chosen.policy}, forward and backward, in memory")
        assert rows[0].batches is not None
        kept = [next(rows[0].batches) for _ in range(chosen.batches)]
        step(kept[0])
        for _ in range(chosen.rounds):
            measure_training(model_row, step, kept)
            for row in rows:
                measure_loading(row, chosen.batches)
            for row in rows:
                measure_waiting(row, step, chosen.batches)
    size = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    print(f"{chosen.policy}, {size:.1f}M parameters, images of {dict(model.backbone.input_sizes)} pixels")
    print(f"torch {torch.__version__}, one thread; {chosen.rounds} rounds of {chosen.batches} batches of "
          f"{chosen.batch_size} windows of {chosen.window_size} frames\n")  # fmt: skip
    show(model_row, rows)


if __name__ == "__main__":
    main()
