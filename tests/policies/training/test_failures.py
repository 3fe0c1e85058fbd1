"""What ends a training early is told in words, and what was saved stays."""

import json
import math

import pytest
import torch
from safetensors import safe_open

from calvinbench.policies.backbones.images.preprocessing import CameraImages
from calvinbench.policies.backbones.registry import backbone_class
from calvinbench.policies.heads.config import HeadConfig
from calvinbench.policies.learned.trainable import TrainableParts, apply_trainable_parts
from calvinbench.policies.learned.vlm_lstm import VLMLSTM
from calvinbench.policies.training.failures import NotFiniteError, OutOfMemoryError, explaining_out_of_memory
from calvinbench.policies.training.log import read_log
from support.small_training import settings_of

ALLOCATOR = (
    "[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."
)
CUDA = "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has 80 GiB.\nMore lines."


def raising(error):
    def forward(*_, **__):
        raise error

    return forward


@pytest.mark.parametrize("error", [torch.OutOfMemoryError(CUDA), RuntimeError(ALLOCATOR), MemoryError()])
def test_out_of_memory_is_told_with_what_to_change(trainer, monkeypatch, error):
    made = trainer(batch_size=6, gradient_accumulation_steps=2)
    monkeypatch.setattr(made.training.model.head, "forward", raising(error))
    with pytest.raises(OutOfMemoryError) as raised:
        made.run()
    words = str(raised.value)
    assert "the activations of 6 windows to fit into memory" in words
    assert "--batch-size 3 --gradient-accumulation-steps 4 (the same effective batch)" in words
    assert "--gradient-checkpointing true" in words
    assert "--lora-enable true" in words
    assert (str(error).splitlines() or ["MemoryError"])[0] in words
    assert "More lines" not in words


@pytest.mark.parametrize(
    ("batch_size", "parts", "advice"),
    [
        (
            9,
            {"lora_enable": True},
            "Try --batch-size 3 --gradient-accumulation-steps 3 (the same effective batch); or --gr",
        ),
        (1, {"gradient_checkpointing": True}, "Try --lora-enable true. "),
        (1, {"gradient_checkpointing": True, "freeze_backbone": True}, "Try a smaller backbone, or a device with more"),
    ],
)
def test_what_is_set_already_is_not_advised(tmp_path, batch_size, parts, advice):
    settings = settings_of(tmp_path, tmp_path, TrainableParts(**parts), batch_size=batch_size)
    assert advice in words_of(settings, model_of("kosmos2", settings))


def model_of(name, settings):
    """A tiny model whose parts are trained as the settings say."""
    model = VLMLSTM(backbone_class(name).tiny(torch.Generator()), HeadConfig(hidden_dim=16))
    apply_trainable_parts(model, settings.trainable)
    return model


def words_of(settings, model):
    """What is said when memory runs out."""
    with pytest.raises(OutOfMemoryError) as raised, explaining_out_of_memory(settings, model):
        raise torch.OutOfMemoryError(CUDA)
    return str(raised.value)


def test_checkpointing_is_advised_for_a_frozen_vlm_only_where_it_saves_memory(tmp_path):
    # What it saves in each setup is measured in test_trainable.
    settings = settings_of(tmp_path, tmp_path, TrainableParts(freeze_backbone=True), batch_size=1)
    assert "Try --gradient-checkpointing true. " in words_of(settings, model_of("kosmos2", settings))
    assert "Try a smaller backbone, or a device with more memory. " in words_of(settings, model_of("cnn", settings))


@pytest.mark.parametrize(("train_vision", "is_advised"), [(False, False), (True, True)])
def test_checkpointing_is_not_advised_where_a_frozen_vision_tower_runs_out(tmp_path, train_vision, is_advised):
    """The tower's forward pass comes first, and without gradients it keeps nothing that could be computed again."""
    parts = TrainableParts(lora_enable=True, train_vision=train_vision)
    settings = settings_of(tmp_path, tmp_path, parts, batch_size=1)
    model = model_of("kosmos2", settings)
    model.backbone.parts.vision[0].forward = raising(torch.OutOfMemoryError(CUDA))
    images = torch.zeros(1, 2, 8, 8, 3, dtype=torch.uint8)
    with pytest.raises(OutOfMemoryError) as raised, explaining_out_of_memory(settings, model):
        model(CameraImages(images, images), ["open the drawer"])
    assert ("--gradient-checkpointing true" in str(raised.value)) == is_advised


def test_other_errors_pass_as_they_are(trainer, monkeypatch):
    made = trainer()
    error = RuntimeError("shapes do not fit")
    monkeypatch.setattr(made.training.model.head, "forward", raising(error))
    with pytest.raises(RuntimeError) as raised:
        made.run()
    assert raised.value is error


class Poisoner:
    """Spoils a weight after a step."""

    def __init__(self, step, value):
        self._step, self._value = step, value

    def began(self, training):
        self._model = training.model

    def saved(self, training, step):
        return None

    def logged(self, line):
        if line.step == self._step:
            self._model.head.decoder.linear.weight.data[0, 0] = self._value

    def ended(self):
        pass


def test_a_loss_that_is_nan_stops_with_its_batch_kept_and_the_state_as_it_was(trainer):
    changes = {"max_steps": 4, "save_every": 2, "log_every": 1, "gradient_accumulation_steps": 2}
    made = trainer(**changes)
    with pytest.raises(NotFiniteError, match="expected a finite loss at step 3, got NaN or infinity"):
        made.run([Poisoner(2, math.nan)])
    out = made.training.settings.out
    kept = sorted((out / "bad_batch").iterdir())
    assert [file.name for file in kept] == [f"process_0_micro_{turn}.safetensors" for turn in (0, 1)]
    order = made.training.windows.order(0)
    for turn, file in enumerate(kept):
        with safe_open(file, "pt") as opened:
            window = made.training.windows[order[8 + 2 * turn]]
            assert opened.get_tensor("actions")[0].numpy().tolist() == window.actions.tolist()
            assert opened.get_tensor("rgb_static").shape == (2, 3, 20, 20, 3)
            assert json.loads(opened.metadata()["instructions"])[0] == window.instruction
    assert [line.step for line in read_log(out)] == [1, 2]
    again = trainer(out=out, **changes)
    assert again.progress.step == 2
    again.run()
    assert read_log(out)[-1].step == 4
    assert math.isfinite(read_log(out)[-1].loss)


def test_a_gradient_that_is_infinite_stops_too(trainer):
    made = trainer()
    made.training.model.head.decoder.linear.weight.register_hook(lambda gradient: gradient * math.inf)
    before = made.training.model.head.decoder.linear.weight.clone()
    with pytest.raises(NotFiniteError, match="expected a finite gradient at step 1"):
        made.run()
    assert torch.equal(made.training.model.head.decoder.linear.weight, before)
