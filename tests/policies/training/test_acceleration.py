"""accelerate is told no more than the project leaves to it."""

import pytest
import torch

from calvinbench.policies.training.acceleration import make_accelerator


def test_fp16_on_a_cpu_is_refused_in_words():
    with pytest.raises(ValueError, match="expected precision bf16 or fp32 on a CPU, got fp16"):
        make_accelerator("fp16", "cpu")


def test_another_device_is_refused_in_words():
    with pytest.raises(ValueError, match=r"expected device auto or cpu, got 'cuda:1'\. CUDA_VISIBLE_DEVICES chooses"):
        make_accelerator("fp32", "cuda:1")


def test_accumulation_of_a_launcher_does_not_divide_gradients(monkeypatch):
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4")
    weight = torch.ones((), requires_grad=True)
    make_accelerator("fp32", "cpu").backward(3 * weight)
    assert weight.grad.item() == 3.0


def test_precision_of_a_launcher_does_not_count(monkeypatch):
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    assert make_accelerator("fp32", "cpu").mixed_precision == "no"
