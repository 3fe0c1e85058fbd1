"""Milliseconds of a learned policy's step, by memory, history, worlds, precision: `python benchmarks/policy.py`.

    python benchmarks/policy.py                                   Kosmos-2's architecture, 73M, on torch's best device
    python benchmarks/policy.py --backbone llava --size tiny      another backbone, small
    python benchmarks/policy.py --backbone kosmos2 --size full    published size, random weights

Each variant has a process of its own. All variants of a table take turns in every round, so that changes of the
machine's speed affect all alike. Tables give medians over rounds, and ratios within the run. Images are noise: speed
does not depend on their content. Memory is the peak while stepping: on a CPU of the whole process, with torch; on a GPU
what torch allocated there.
"""

import argparse
from dataclasses import replace
from statistics import median

from policy_variants import WINDOW, Process, Variant, make_model, measure

WORLDS = (1, 2, 4, 8, 16, 32)
STEPS_SEEN = (1, 8, 64, 256)


def show(title: str, rows: list[dict[str, object]]) -> None:
    """Prints one table."""
    from tabulate import tabulate

    print(f"\n## {title}\n")
    print(tabulate(rows, headers="keys", tablefmt="github"), flush=True)


def memory_table(base: Variant, rounds: int) -> None:
    """One frame a step, compared with the whole window."""
    import numpy as np

    variants = [
        replace(base, name=f"all {WINDOW} frames through the VLM at each step", recomputes=True),
        replace(base, name=f"one frame, window:{WINDOW} of features"),
        replace(base, name="one frame, unbounded", span="unbounded"),
    ]
    found = measure(variants, rounds, steps=6)
    first = median(found[0].milliseconds)
    show(
        "Memory",
        [
            {
                "a step, one world": variant.name,
                "ms": round(median(entry.milliseconds), 2),
                "fastest": round(min(entry.milliseconds), 2),
                "slowest": round(max(entry.milliseconds), 2),
                "times as fast": round(first / median(entry.milliseconds), 1),
                "difference of actions from the first": float(f"{np.abs(entry.actions - found[0].actions).max():.1e}"),
                "peak memory, MiB": round(entry.peak_mib),
            }
            for variant, entry in zip(variants, found, strict=True)
        ],
    )


def history_table(base: Variant, rounds: int) -> None:
    """Whether a step takes longer after more frames."""
    rows = []
    for span in (f"window:{WINDOW}", "unbounded"):
        process = Process(replace(base, span=span))
        row: dict[str, object] = {"ms a step after so many, one world": span}
        seen = 0
        for steps_seen in STEPS_SEEN:
            if steps_seen > seen:
                process.ask(steps_seen - seen)
            spent = [process.ask(4)[0] for _ in range(rounds)]
            seen = steps_seen + 4 * rounds
            row[str(steps_seen)] = round(median(spent), 2)
        rows.append(row)
        process.close()
    show("History", rows)


def worlds_table(base: Variant, rounds: int) -> None:
    """Worlds stepped together by one policy."""
    variants = [replace(base, name=str(worlds), worlds=worlds) for worlds in WORLDS]
    found = measure(variants, rounds, steps=2)
    first = median(found[0].milliseconds)
    show(
        "Worlds in one batch",
        [
            {
                "worlds": variant.worlds,
                "ms a step": round(median(entry.milliseconds), 2),
                "ms a world": round(median(entry.milliseconds) / variant.worlds, 2),
                "times the worlds a second": round(first * variant.worlds / median(entry.milliseconds), 2),
                "peak memory, MiB": round(entry.peak_mib),
            }
            for variant, entry in zip(variants, found, strict=True)
        ],
    )


def precision_table(base: Variant, rounds: int) -> None:
    """Precision and compilation, and how they change the actions."""
    import numpy as np

    dtypes = ("float32", "bfloat16", *(("float16",) if base.device.startswith("cuda") else ()))
    variants = [
        replace(base, name=f"{dtype}{', compiled' if compiled else ''}", dtype=dtype, compiled=compiled)
        for dtype in dtypes
        for compiled in (False, True)
    ]
    found = measure(variants, rounds, steps=6)
    exact, first = found[0].actions, median(found[0].milliseconds)
    scale = np.abs(exact[:, :6]).mean()
    show(
        "Precision and compilation",
        [
            {
                "VLM, one world": variant.name,
                "ms a step": round(median(entry.milliseconds), 2),
                "times as fast": round(first / median(entry.milliseconds), 2),
                "pose off, of its mean size": f"{np.abs(entry.actions - exact)[:, :6].mean() / scale:.1e}",
                "peak memory, MiB": round(entry.peak_mib),
            }
            for variant, entry in zip(variants, found, strict=True)
        ],
    )


def training_table(base: Variant, rounds: int) -> None:
    """Gradient checkpointing: memory against time."""
    variants = [replace(base, name="layers kept", trains="kept"), replace(base, name="recomputed", trains="recomputed")]
    found = measure(variants, rounds, steps=1)
    show(
        f"Gradient checkpointing: forward and backward over {WINDOW} frames, all parameters",
        [
            {
                "layers": variant.name,
                "ms": round(median(entry.milliseconds), 1),
                "peak memory, MiB": round(entry.peak_mib),
            }
            for variant, entry in zip(variants, found, strict=True)
        ],
    )


TABLES = {
    "memory": memory_table,
    "history": history_table,
    "worlds": worlds_table,
    "precision": precision_table,
    "training": training_table,
}


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="kosmos2", help="a backbone's name (default: kosmos2)")
    parser.add_argument("--size", default="small", choices=("tiny", "small", "full"), help="small: kosmos2 only")
    parser.add_argument("--device", default="auto", help="a torch device (default: a GPU if there is one)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tables", nargs="+", choices=tuple(TABLES), default=tuple(TABLES))
    chosen = parser.parse_args()
    if chosen.size == "small" and chosen.backbone != "kosmos2":
        parser.error("expected --size tiny or full for another backbone than kosmos2.")
    import torch

    device = ("cuda" if torch.cuda.is_available() else "cpu") if chosen.device == "auto" else chosen.device
    base = Variant("", chosen.backbone, chosen.size, device)
    model, _ = make_model(replace(base, device="meta" if chosen.size != "tiny" else "cpu"))
    where = torch.cuda.get_device_name() if device.startswith("cuda") else f"{torch.get_num_threads()} CPU threads"
    num_vlm = sum(parameter.numel() for parameter in model.backbone.parameters())
    num_head = sum(parameter.numel() for parameter in model.head.parameters())
    print(f"{chosen.backbone}, {chosen.size}: VLM {num_vlm / 1e6:.0f}M, head {num_head / 1e6:.0f}M; {where}")
    print(f"torch {torch.__version__}; {chosen.rounds} rounds")
    for name in chosen.tables:
        TABLES[name](base, chosen.rounds)


if __name__ == "__main__":
    main()
