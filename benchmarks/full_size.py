"""Time and memory of the seven backbones at their published sizes: `python benchmarks/full_size.py --device cuda`.

Weights are random and images are noise. Speed and memory depend on neither. For each backbone, with RoboVLMs' head:

- a policy's step, with weights in bfloat16 and several worlds in one batch (one frame a world, both cameras);
- forward and backward pass of a training step, with the backbone's shipped configuration (micro-batch, window,
  precision, frozen parts, gradient checkpointing). The optimiser is left out. `calvinbench list backbones` counts its
  memory.

Each backbone is made, measured and deleted before the next one. Times are medians over rounds. Memory is the peak that
torch allocated. On a CPU, `--size tiny` tests the command.
"""

import argparse
import gc
import time
from collections.abc import Callable
from dataclasses import replace
from statistics import median
from typing import Any

SEVEN = ("kosmos2", "paligemma", "llava", "qwen-vl", "uform", "moondream", "flamingo")
SENTENCE = "take the blue block and rotate it to the right"


def main() -> None:
    """Prints a row for each backbone as soon as it is known, then the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("backbones", nargs="*", default=SEVEN, metavar="BACKBONE")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--size", default="full", choices=("tiny", "full"))
    parser.add_argument("--worlds", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    import torch
    from tabulate import tabulate

    rows = []
    for name in args.backbones:
        row: dict[str, object] = {"backbone": name}
        for part in (stepping, training):
            try:
                row |= part(name, args)
            except torch.OutOfMemoryError:
                row |= {"training, ms a frame" if part is training else "ms a frame": "out of memory"}
            free_memory(args.device)
        print(row, flush=True)
        rows.append(row)
    print(f"\n{device_name(args.device)}, {args.size} size, {args.worlds} worlds, {args.rounds} rounds\n")
    print(tabulate(rows, headers="keys", tablefmt="github"))


def stepping(name: str, args: argparse.Namespace) -> dict[str, object]:
    """Milliseconds of a step of all worlds, and memory."""
    import numpy as np
    import torch

    from calvinbench.policies.learned.policy_config import PolicyConfig
    from calvinbench.policies.learned.usage import Usage
    from calvinbench.policies.learned.vlm_lstm_policy import VLMLSTMPolicy
    from calvinbench.policies.policy import Memory

    model, head = make_model(name, args, torch.bfloat16)
    usage = Usage(torch.device(args.device), torch.bfloat16, False)
    policy = VLMLSTMPolicy(model, PolicyConfig(name, head=head, memory=Memory("window:16")), usage)
    frame, state = noise(np.random.default_rng(0), args.worlds), [policy.initial_state(args.worlds)]

    def step() -> None:
        _, state[0] = policy.act(frame, [SENTENCE] * args.worlds, state[0])

    milliseconds = timed(step, args)
    return {
        f"a step of {args.worlds} worlds, ms": round(milliseconds, 1),
        "ms a frame": round(milliseconds / args.worlds, 2),
        "memory, GiB": peak_gib(args.device),
    }


def training(name: str, args: argparse.Namespace) -> dict[str, object]:
    """Milliseconds a frame, forward and backward, and memory."""
    import numpy as np
    import torch

    from calvinbench.harness.training.call import read_configuration
    from calvinbench.policies.backbones.images.preprocessing import CameraImages

    settings = read_configuration(name)
    model, _ = make_model(name, args, torch.float32)
    model.train()
    micro, window = settings["batch_size"], settings["window_size"]
    generator = np.random.default_rng(0)
    frames = [noise(generator, micro) for _ in range(window)]
    static, gripper = (
        torch.tensor(np.stack([getattr(frame, f"rgb_{camera}") for frame in frames], axis=1), device=args.device)
        for camera in ("static", "gripper")
    )
    kind = torch.device(args.device).type

    def step() -> None:
        model.zero_grad()
        with torch.autocast(kind, torch.bfloat16, enabled=settings["precision"] == "bf16"):
            chunks = model(CameraImages(static, gripper), [SENTENCE] * micro).chunks
        chunks.float().square().mean().backward()

    milliseconds = timed(step, args)
    return {
        "micro-batch x window": f"{micro} x {window}",
        "training, ms a frame": round(milliseconds / micro / window, 2),
        "training memory without optimiser, GiB": peak_gib(args.device),
    }


def make_model(name: str, args: argparse.Namespace, dtype: Any) -> tuple[Any, Any]:
    """The model that the backbone's shipped configuration trains, with random weights, and its head's settings."""
    import torch

    from calvinbench.harness.training.call import TRAINABLE_KEYS, read_configuration
    from calvinbench.policies.backbones.prompts.tiny_tokenizer import tiny_tokenizer
    from calvinbench.policies.backbones.registry import backbone_class
    from calvinbench.policies.backbones.settings import LRN_READOUT, BackboneSettings, layout_by_name
    from calvinbench.policies.heads.config import head_preset
    from calvinbench.policies.learned.trainable import TrainableParts, apply_trainable_parts
    from calvinbench.policies.learned.vlm_lstm import VLMLSTM
    from calvinbench.policies.spec import PolicySpec

    configuration = read_configuration(name)
    said = dict(PolicySpec.parse(configuration["policy"]).settings)
    settings = BackboneSettings(
        layout=layout_by_name(
            said.get("layout", "native")
        ),  # the setting of published weights, if the configuration has none
        readout=said.get("readout", LRN_READOUT),
        image_size=int(said["image_size"]) if "image_size" in said else None,
    )
    head = replace(
        head_preset(said["head"]), hidden_dim=int(said["hidden_dim"]), chunk_length=int(said["chunk_length"])
    )
    kind = backbone_class(name)
    torch.manual_seed(0)
    with torch.device(args.device):
        if args.size == "tiny":
            backbone = kind.tiny(torch.Generator().manual_seed(0), settings)
        else:
            backbone = kind.from_config(kind.full_config(), tiny_tokenizer(kind.special_tokens), settings)
        model = VLMLSTM(backbone.to(dtype), head)
    parts = {key: configuration[key] for key in TRAINABLE_KEYS if key in configuration}
    apply_trainable_parts(model, TrainableParts(**parts))
    return model.to(args.device), head


def noise(generator: Any, worlds: int) -> Any:
    """One frame of each world."""
    import numpy as np

    from calvinbench.envs.observation import CAMERA_SIZES, Observation

    return Observation(
        **{
            f"rgb_{camera}": generator.integers(0, 256, (worlds, size, size, 3), dtype=np.uint8)
            for camera, size in CAMERA_SIZES.items()
        }
    )


def timed(step: Callable[[], None], args: argparse.Namespace) -> float:
    """Median milliseconds, after two steps that allocate memory."""
    import torch

    is_gpu = torch.device(args.device).type == "cuda"
    if is_gpu:
        torch.cuda.reset_peak_memory_stats()
    spent = []
    for _ in range(2 + args.rounds):
        began = time.perf_counter()
        step()
        if is_gpu:
            torch.cuda.synchronize()
        spent.append((time.perf_counter() - began) * 1e3)
    return median(spent[2:])


def peak_gib(device: str) -> float | str:
    """The peak memory that torch allocated."""
    import torch

    if torch.device(device).type != "cuda":
        return "not measured"
    return round(torch.cuda.max_memory_allocated() / 2**30, 1)


def device_name(device: str) -> str:
    """The device's own name."""
    import torch

    return torch.cuda.get_device_name() if torch.device(device).type == "cuda" else "CPU"


def free_memory(device: str) -> None:
    """Frees the memory of the last model."""
    import torch

    gc.collect()
    if torch.device(device).type == "cuda":
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
