"""Whether the data loader keeps a model busy: `python benchmarks/data_loader.py [--data DIR]`.

    python benchmarks/data_loader.py                        records a few episodes in both forms first, a minute or two
    python benchmarks/data_loader.py --data demonstrations  a data set that is there, in the form that it has
    python benchmarks/data_loader.py --policy untrained:cnn,memory_span=window:24

Windows are cut, shifted and resized as `calvinbench train` would for the policy. The model's row is forward and
backward on one thread, on windows that are in memory already; those of the loader are windows that nobody learns from,
read in the same process or by one worker beside it. In every round all take turns. The last column is a loop of
both: the share of its time in which the model waits for windows. Files come from the system's cache, which a second
pass over a data set that fits into memory finds them in.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

WORKERS = {0: "in this process", 1: "one worker"}
_SHIFTS = {"static_shift": 10, "gripper_shift": 4, "same_shift_in_window": True}


@dataclass(slots=True)
class Row:
    """One source of windows, or the model itself.

    Attributes:
        name: Of its row.
        batches: Windows, without end; None for the model.
        num_ready: Batches that may have been made while others took their turn.
        windows_per_second: Of each round.
        frames_per_second: Of each round; padding does not count.
        waiting: Share of the loop's time, of each round.
    """

    name: str
    batches: Iterator[Any] | None = None
    num_ready: int = 0
    windows_per_second: list[float] = field(default_factory=list)
    frames_per_second: list[float] = field(default_factory=list)
    waiting: list[float] = field(default_factory=list)

    def note(self, seconds: float, batches: list[Any]) -> None:
        """Keeps what a round took."""
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
    """Forward and backward on batches that are there."""
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
    """A small data set in either form, at CALVIN's sizes and, compact, with the static camera's halved."""
    from calvinbench.harness.recording.recorder import RecordingSettings, record

    made = {}
    for form, static_size in (("compact", 100), ("calvin", 200)):
        settings = RecordingSettings(
            out=folder / form, form=form, episodes=episodes, validation_episodes=0, static_size=static_size
        )
        record(settings)
        made[f"{form}, static {static_size}"] = folder / form
    return made


def make_step(model: Any, config: Any) -> Callable[[Any], None]:
    """Forward, loss and backward, as the trainer takes them."""
    from calvinbench.policies.losses import chunk_loss

    def step(batch: Any) -> None:
        model.zero_grad()
        output = model(batch.pictures, batch.instructions, robot_obs=batch.robot_obs, is_frame=batch.is_frame)
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
    parser.add_argument("--data", type=Path, help="a data set's folder (default: some episodes are recorded)")
    parser.add_argument("--policy", default="untrained:cnn", help="whose training is measured (default: untrained:cnn)")
    parser.add_argument("--window-size", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--batches", type=int, default=8, help="of a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--episodes", type=int, default=6, help="that are recorded where no data are given")
    chosen = parser.parse_args()
    import torch

    from calvinbench.policies.registry import make_policy
    from calvinbench.policies.vlm_lstm_policy import VLMLSTMPolicy

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
    print(f"{chosen.policy}, {size:.1f}M parameters, pictures of {dict(model.backbone.input_sizes)} pixels")
    print(f"torch {torch.__version__}, one thread; {chosen.rounds} rounds of {chosen.batches} batches of "
          f"{chosen.batch_size} windows of {chosen.window_size} frames\n")  # fmt: skip
    show(model_row, rows)


if __name__ == "__main__":
    main()
