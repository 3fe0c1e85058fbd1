"""Variants of a learned policy, each stepped or trained in a process of its own. `policy.py` makes tables of them."""

import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

WINDOW = 8
SENTENCE = "take the blue block and rotate it to the right"
SMALL = {
    "model_type": "kosmos-2",
    "text_config": {"embed_dim": 512, "layers": 6, "ffn_dim": 2048, "attention_heads": 8, "init_std": 0.04},
    "vision_config": {
        "hidden_size": 512,
        "intermediate_size": 2048,
        "num_hidden_layers": 6,
        "num_attention_heads": 8,
        "initializer_range": 0.04,
    },
}
"""Kosmos-2 with a quarter of its layers and of its width, which two cores can step."""


@dataclass(frozen=True, slots=True)
class Variant:
    """How one policy runs.

    Attributes:
        name: The name of its row.
        backbone: Name of the backbone.
        size: `tiny`, `small` or `full`.
        device: A torch device.
        span: Memory span.
        recomputes: Whether every frame of the window passes the VLM again at each step.
        dtype: Precision of the VLM.
        compiled: Whether its parts are compiled.
        worlds: Number of worlds that are stepped together.
        trains: Whether a training step is measured instead, and if so whether layers are computed again.
    """

    name: str
    backbone: str
    size: str
    device: str
    span: str = f"window:{WINDOW}"
    recomputes: bool = False
    dtype: str = "float32"
    compiled: bool = False
    worlds: int = 1
    trains: str = ""


@dataclass(frozen=True, slots=True)
class Measured:
    """The results of a variant: milliseconds a step of each round, its actions, its peak memory in MiB."""

    milliseconds: list[float]
    actions: Any
    peak_mib: float


class Process:
    """A variant in a process of its own, which waits between commands."""

    def __init__(self, variant: Variant) -> None:
        """Starts the process and waits for its policy."""
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(variant, other), daemon=True)
        self._process.start()
        self._expect()

    def ask(self, steps: int) -> tuple[float, Any, float]:
        """Milliseconds a step over this number of steps, the last actions, and the peak memory so far in MiB."""
        self._pipe.send(steps)
        answer: tuple[float, Any, float] = self._expect()
        return answer

    def close(self) -> None:
        """Ends the process."""
        self._pipe.send(0)
        self._process.join()

    def _expect(self) -> Any:
        answer = self._pipe.recv()
        if isinstance(answer, Exception):
            raise answer
        return answer


def _serve(variant: Variant, pipe: Connection) -> None:
    """The other process."""
    try:
        import torch

        torch.manual_seed(0)
        if variant.device == "cpu":
            torch.set_num_threads(max(torch.get_num_threads(), 1))
        work = _make_trainer(variant) if variant.trains else _make_stepper(variant)
        work(3)  # compiles and allocates
        base = _memory_mib(variant.device, reset=True)
        pipe.send(base)
        while steps := pipe.recv():
            began = time.perf_counter()
            actions = work(steps)
            spent = (time.perf_counter() - began) / steps * 1e3
            pipe.send((spent, actions, _memory_mib(variant.device)))
    except Exception as error:  # noqa: BLE001  reported to the waiting process
        pipe.send(RuntimeError(f"{variant.name}: {type(error).__name__}: {error}"))


def make_model(variant: Variant) -> Any:
    """The model and its settings."""
    import torch

    from calvinbench.policies.backbones.prompts.tiny_tokenizer import tiny_tokenizer
    from calvinbench.policies.backbones.registry import backbone_class
    from calvinbench.policies.backbones.settings import BackboneSettings
    from calvinbench.policies.heads.config import head_preset
    from calvinbench.policies.learned.policy_config import PolicyConfig
    from calvinbench.policies.learned.vlm_lstm import VLMLSTM
    from calvinbench.policies.policy import Memory

    kind = backbone_class(variant.backbone)
    if variant.size == "tiny":
        backbone = kind.tiny(torch.Generator().manual_seed(0))
    else:
        numbers = kind.full_config() if variant.size == "full" else SMALL
        with torch.device(variant.device):
            backbone = kind.from_config(numbers, tiny_tokenizer(kind.special_tokens), BackboneSettings())
    head = head_preset("seed")
    head = replace(head, hidden_dim=256) if variant.size == "tiny" else head
    model = VLMLSTM(backbone, head)
    with torch.no_grad():
        model.lrn.embedding.normal_(std=0.02)
    return model, PolicyConfig(variant.backbone, head=head, memory=Memory(variant.span))


def _make_stepper(variant: Variant) -> Callable[[int], Any]:
    """Steps a policy through new frames. Its state continues from call to call."""
    import numpy as np
    import torch

    from calvinbench.policies.backbones.images.preprocessing import CameraImages
    from calvinbench.policies.heads.actions import executed_actions
    from calvinbench.policies.learned.usage import DTYPES, Usage
    from calvinbench.policies.learned.vlm_lstm_policy import VLMLSTMPolicy

    model, config = make_model(variant)
    usage = Usage(torch.device(variant.device), DTYPES[variant.dtype], variant.compiled)
    policy = VLMLSTMPolicy(model, config, usage)
    sentences = [SENTENCE] * variant.worlds
    generator = np.random.default_rng(0)
    state = [policy.initial_state(variant.worlds)]
    last: list[Any] = []

    def work(steps: int) -> Any:
        actions = None
        for _ in range(steps):
            seen = _frame(generator, variant.worlds)
            if variant.recomputes:
                last[:] = [*last, seen][-WINDOW:]
                static, gripper = (
                    np.stack([getattr(o, f"rgb_{c}") for o in last], axis=1) for c in ("static", "gripper")
                )
                with torch.inference_mode():
                    chunks = model(CameraImages(torch.tensor(static), torch.tensor(gripper)), sentences).chunks
                actions = executed_actions(chunks[:, -1, 0].double()).cpu().numpy()
            else:
                actions, state[0] = policy.act(seen, sentences, state[0])
        return actions

    return work


def _make_trainer(variant: Variant) -> Callable[[int], Any]:
    """Steps of training, forward and backward, on windows of frames."""
    import numpy as np
    import torch

    from calvinbench.policies.backbones.images.preprocessing import CameraImages
    from calvinbench.policies.learned.trainable import TrainableParts, apply_trainable_parts

    model, _ = make_model(variant)
    apply_trainable_parts(model, TrainableParts(gradient_checkpointing=variant.trains == "recomputed"))
    model.to(variant.device).train()
    generator = np.random.default_rng(0)
    frames = [_frame(generator, variant.worlds) for _ in range(WINDOW)]
    static, gripper = (
        torch.tensor(np.stack([getattr(frame, f"rgb_{camera}") for frame in frames], axis=1))
        for camera in ("static", "gripper")
    )

    def work(steps: int) -> Any:
        for _ in range(steps):
            model.zero_grad()
            chunks = model(CameraImages(static, gripper), [SENTENCE] * variant.worlds).chunks
            chunks.square().mean().backward()
        if variant.device.startswith("cuda"):
            torch.cuda.synchronize()
        return np.zeros(1)

    return work


def _frame(generator: Any, worlds: int) -> Any:
    """One frame of noise for each world."""
    import numpy as np

    from calvinbench.envs.observation import CAMERA_SIZES, Observation

    images = {
        f"rgb_{camera}": generator.integers(0, 256, (worlds, size, size, 3), dtype=np.uint8)
        for camera, size in CAMERA_SIZES.items()
    }
    return Observation(**images)


def _memory_mib(device: str, reset: bool = False) -> float:
    """The peak memory since the last reset."""
    if device.startswith("cuda"):
        import torch

        if reset:
            torch.cuda.reset_peak_memory_stats()
        return torch.cuda.max_memory_allocated() / 2**20
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 2**10


def measure(variants: list[Variant], rounds: int, steps: int) -> list[Measured]:
    """All variants of a table, each in every round."""
    processes = [Process(variant) for variant in variants]
    spent: list[list[float]] = [[] for _ in variants]
    answers: list[Any] = [None] * len(variants)
    peaks = [0.0] * len(variants)
    for _ in range(rounds):
        for index, process in enumerate(processes):
            milliseconds, answers[index], peaks[index] = process.ask(steps)
            spent[index].append(milliseconds)
    for process in processes:
        process.close()
    return [Measured(*entry) for entry in zip(spent, answers, peaks, strict=True)]
