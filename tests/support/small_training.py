"""A training of less than a second: a small convolutional policy on a few small frames."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from accelerate.state import AcceleratorState, GradientState

from calvinbench.policies.backbones.cnn.cnn import CNNBackbone
from calvinbench.policies.backbones.prompts.tiny_tokenizer import tiny_tokenizer
from calvinbench.policies.demonstrations.compact import DATASET_FILE, episode_file, write_episode
from calvinbench.policies.demonstrations.demonstrations import Annotation
from calvinbench.policies.demonstrations.opening import TRAINING, VALIDATION, open_data
from calvinbench.policies.factories.untrained import make_untrained_policy
from calvinbench.policies.factories.untrained_settings import UntrainedSettings
from calvinbench.policies.spec_settings import read_settings
from calvinbench.policies.training.preparation import prepare
from calvinbench.policies.training.settings import TrainingSettings

STATIC, GRIPPER = 20, 12
TASKS = ("open_drawer", "turn_on_led", "close_drawer")
SENTENCES = ("open the drawer", "push the button", "close the drawer")
LENGTHS = (5, 9, 7, 4, 8, 6)
"""Frames of the episodes, each one annotation; windows of 3 frames have 2, 3, 3, 2, 3 and 2 parts of them."""
SMALLER = {
    "static": {"image_size": STATIC, "layers": [[5, 4, 2, 8], [3, 2, 1, 16]]},
    "gripper": {"image_size": GRIPPER, "layers": [[3, 2, 1, 8], [3, 2, 1, 16]]},
    "text": {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": 128,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "initializer_range": 0.08,
    },
    "readout": {
        "grid_width": 8,
        "block_width": 8,
        "num_blocks": 1,
        "num_maps": 4,
        "num_layers": 1,
        "num_heads": 2,
        "intermediate_size": 32,
    },
}


@contextmanager
def separate_training() -> Iterator[None]:
    """One torch thread, and none of accelerate's global state: each test trains as a process of its own would."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    forget_accelerator()
    yield
    torch.set_num_threads(num_threads)
    forget_accelerator()


def forget_accelerator() -> None:
    """Resets what accelerate keeps for the whole process, so that the next training can have other settings."""
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


def write_numbers(folder: Path) -> Path:
    """The policy's numbers, for `size=FILE`."""
    usual = CNNBackbone.tiny_config(tiny_tokenizer())
    file = folder / "numbers.json"
    file.write_text(json.dumps({name: numbers | SMALLER[name] for name, numbers in usual.items()}))
    return file


def write_data(folder: Path, lengths=LENGTHS) -> Path:
    """Both splits of a compact data set."""
    generator = np.random.default_rng(0)
    for split in (TRAINING, VALIDATION):
        (folder / split).mkdir(parents=True)
        for number, length in enumerate(lengths):
            actions = generator.uniform(-0.9, 0.9, (length, 7)).astype(np.float32)
            actions[:, 6] = np.where(np.arange(length) < length // 2, 1, -1)
            arrays = {
                "rgb_static": generator.integers(0, 256, (length, STATIC, STATIC, 3), dtype=np.uint8),
                "rgb_gripper": generator.integers(0, 256, (length, GRIPPER, GRIPPER, 3), dtype=np.uint8),
                "rel_actions": actions,
                "robot_obs": generator.normal(size=(length, 15)).astype(np.float32),
            }
            annotation = Annotation(0, 0, length, TASKS[number % 3], SENTENCES[number % 3])
            write_episode(episode_file(folder / split, number), arrays, [annotation], {})
    content = {"schema_version": 1, "picture_sizes": {"static": STATIC, "gripper": GRIPPER}, "scene": "embedded"}
    (folder / DATASET_FILE).write_text(json.dumps(content))
    return folder


def settings_of(data: Path, out: Path, trainable=None, policy="untrained:cnn", **changes) -> TrainingSettings:
    """Settings of a training on a CPU; what is not a field of them is one of the optimisation's."""
    names = set(TrainingSettings.__slots__)
    own = {name: changes.pop(name) for name in list(changes) if name in names}
    settings = TrainingSettings(policy=policy, data=data, out=out, **{"validate_every": 0, "save_every": 1000} | own)
    chosen = {
        "precision": "fp32",
        "learning_rate": 1e-3,
        "batch_size": 2,
        "gradient_accumulation_steps": 1,
        "warmup_epochs": 0.0,
        "window_size": 3,
        "max_steps": 1,
    }
    settings = replace(settings, optimization=replace(settings.optimization, **chosen | changes))
    return settings if trainable is None else replace(settings, trainable=trainable)


def make_training(data: Path, out: Path, spec=None, num_processes=1, backbone="cnn", **changes):
    """A training of a small policy: `spec` has settings of it, `changes` of the training; a VLM has its tiny size."""
    out.mkdir(parents=True, exist_ok=True)
    chosen = {"memory_span": "window:3", "hidden_dim": "16", "chunk_length": "4", "device": "cpu"} | (spec or {})
    size = str(write_numbers(data.parent)) if backbone == "cnn" else "tiny"
    policy = make_untrained_policy(backbone, read_settings(UntrainedSettings, {"size": size, **chosen}, "untrained"))
    settings = settings_of(data, out, **changes)
    validation = open_data(data, VALIDATION) if settings.validate_every else None
    return prepare(
        settings,
        policy.model,
        policy.config,
        open_data(data, TRAINING),
        validation,
        num_processes=num_processes,
    )
