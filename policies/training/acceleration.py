"""Configures accelerate, which handles devices, mixed precision and several processes."""

from datetime import timedelta

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, GradientAccumulationPlugin, InitProcessGroupKwargs

_PATIENCE = timedelta(hours=12)
"""How long processes wait for the main one while it runs chains. accelerate's default is ten minutes."""


def make_accelerator(precision: str, device: str = "auto") -> Accelerator:
    """Makes an accelerator for a precision and a device.

    Args:
        precision: `"fp32"`, `"bf16"` or `"fp16"` of mixed precision.
        device: `"auto"` for the device that accelerate finds, `"cpu"` for the CPU even if there is a GPU.

    Raises:
        ValueError: The precision is `fp16` on a CPU, or the device has another name.
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
            "Use --precision fp32."
        )
    return Accelerator(
        # Without this, accelerate does not connect the processes that torchrun starts on a CPU.
        cpu=device == "cpu" or not torch.accelerator.is_available(),
        mixed_precision="no" if precision == "fp32" else precision,
        # The trainer accumulates gradients itself. accelerate would divide gradients by a number in its configuration.
        gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),
        kwargs_handlers=[
            # With a pooled read-out, or because of a VLM's last norm, some weights may have no gradient.
            DistributedDataParallelKwargs(find_unused_parameters=True),
            InitProcessGroupKwargs(timeout=_PATIENCE),
        ],
    )
