"""Memory and time of gradient checkpointing: `python benchmarks/gradient_checkpointing.py`.

    python benchmarks/gradient_checkpointing.py                              qwen-vl, tiny, batch 8, window 8
    python benchmarks/gradient_checkpointing.py --backbones llava paligemma  others
    python benchmarks/gradient_checkpointing.py --rounds 5 --csv memory.csv  more rounds; saves the table

Three variants: layers kept; layers computed again by `gradient_checkpointing`; and transformers' own switch, which was
used before and with which frozen parts keep more. Each measurement is a process of its own. It makes the model, takes
some steps of training, and reports its peak memory, what a forward pass keeps besides the weights, and the most bytes
of tensors that are alive at once in a forward and in a backward pass. All variants take turns in every round. The
process's peak also holds what allocator and libraries keep. With frozen vision, the most tensors may be alive in the
vision tower's forward pass, where nothing is kept. Then that number does not fall.
"""

import argparse
import csv
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

SETUPS: dict[str, dict[str, Any]] = {
    "all parameters": {},
    "frozen": {"freeze_backbone": True},
    "adapters": {"lora_enable": True},
}
SIDES = ("kept", "computed again", "transformers' switch")
SENTENCE = "push the red block to the left"


def measure(backbone: str, setup: str, side: str, batch_size: int, window: int, num_steps: int) -> dict[str, float]:
    """Peak memory and time of some steps, in this process."""
    import torch

    from calvinbench.policies.backbones.images.preprocessing import CameraImages
    from calvinbench.policies.backbones.registry import backbone_class
    from calvinbench.policies.heads.config import HeadConfig
    from calvinbench.policies.learned.trainable import TrainableParts, apply_trainable_parts
    from calvinbench.policies.learned.vlm_lstm import VLMLSTM

    generator = torch.Generator().manual_seed(0)
    model: Any = VLMLSTM(backbone_class(backbone).tiny(generator), HeadConfig(hidden_dim=256))
    again = side == "computed again"
    apply_trainable_parts(model, TrainableParts(**SETUPS[setup], gradient_checkpointing=again))
    if side == "transformers' switch":
        switch = getattr(model.backbone.model, "activation_checkpointing_enable", None)  # from transformers 5.24 on
        (switch or model.backbone.model.gradient_checkpointing_enable)({"use_reentrant": False})
    model.train()
    shape = (2, batch_size, window, 200, 200, 3)
    static, gripper = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    optimizer = torch.optim.AdamW([weight for weight in model.parameters() if weight.requires_grad])
    before, began = _peak_mib(), time.perf_counter()
    for _ in range(num_steps):
        optimizer.zero_grad()
        model(CameraImages(static, gripper), [SENTENCE] * batch_size).chunks.square().mean().backward()
        optimizer.step()
    seconds = (time.perf_counter() - began) / num_steps
    peak = _peak_mib()
    kept: dict[int, int] = {}
    weights = {weight.untyped_storage().data_ptr() for weight in model.parameters()}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    def loss() -> torch.Tensor:
        chunks: torch.Tensor = model(CameraImages(static, gripper), [SENTENCE] * batch_size).chunks
        return chunks.square().mean()

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss()
    optimizer.zero_grad()
    return {
        "peak_mib": peak,
        "steps_mib": peak - before,
        "kept_mib": sum(kept.values()) / 2**20,
        "seconds": seconds,
        **_alive_mib(loss),
    }


def _alive_mib(loss: Callable[[], Any]) -> dict[str, float]:
    """The most MiB of new tensors that are alive at once, in a forward pass and in the backward pass after it."""
    from torch.profiler import ProfilerActivity, profile, record_function

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        with record_function("forward"):
            result = loss()
        with record_function("backward"):
            result.backward()
    events = profiled.profiler.kineto_results.events()
    changes = sorted((event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]")
    (turn,) = [event.start_ns() for event in events if event.name() == "backward"]
    alive, most = 0, {"forward_mib": 0.0, "backward_mib": 0.0}
    for when, change in changes:
        alive += change
        name = "backward_mib" if when >= turn else "forward_mib"
        most[name] = max(most[name], alive / 2**20)
    return most


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbones", nargs="*", default=["qwen-vl"])
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--window", type=int, default=8)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    numbers = (options.batch_size, options.window, options.steps)
    if options.one:
        backbone, setup, side = options.one
        print(json.dumps(measure(backbone, setup, side, *numbers)))
        return
    cases = [(backbone, setup, side) for backbone in options.backbones for setup in SETUPS for side in SIDES]
    found: dict[tuple[str, str, str], list[dict[str, float]]] = {case: [] for case in cases}
    flags = [f"--batch-size={options.batch_size}", f"--window={options.window}", f"--steps={options.steps}"]
    for _ in range(options.rounds):
        for case in cases:
            command = [sys.executable, __file__, *flags, "--one", *case]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found[case].append(json.loads(done.stdout.splitlines()[-1]))
            print(*case, found[case][-1], file=sys.stderr)
    rows = [
        {
            "backbone": backbone,
            "trained": setup,
            "layers": side,
            "peak memory, MiB": f"{median(one['peak_mib'] for one in measured):.0f}",
            "of it for the steps": f"{median(one['steps_mib'] for one in measured):.0f}",
            "kept for the backward pass": f"{median(one['kept_mib'] for one in measured):.0f}",
            "alive at most, forward": f"{median(one['forward_mib'] for one in measured):.0f}",
            "alive at most, backward": f"{median(one['backward_mib'] for one in measured):.0f}",
            "s a step": f"{median(one['seconds'] for one in measured):.2f}",
        }
        for (backbone, setup, side), measured in found.items()
    ]
    print("| " + " | ".join(rows[0]) + " |\n|" + "---|" * len(rows[0]))
    for row in rows:
        print("| " + " | ".join(row.values()) + " |")
    if options.csv:
        with options.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
