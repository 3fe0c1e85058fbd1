"""The training part of a configuration: rates, precision, batches, schedule, augmentation."""

from typing import Any

from calvinbench.envs.names import require_name
from calvinbench.policies.robovlms.config_keys import ConfigBlockError, ConfigKeys
from calvinbench.policies.training.optimization import PRECISIONS, OptimizationSettings

_ROBOVLMS = OptimizationSettings(
    gradient_accumulation_steps=1,
    warmup_epochs=0.0,
    precision="fp32",
    window_stride=1,
    static_shift=0,
    gripper_shift=0,
    same_shift_in_window=True,
)
"""RoboVLMs' defaults."""
_PRECISIONS_THERE = {
    **dict.fromkeys(("32", "32-true", "float32"), "fp32"),
    **dict.fromkeys(("bf16-mixed", "bfloat16"), "bf16"),
    **dict.fromkeys(("16", "16-mixed", "float16"), "fp16"),
    **{name: name for name in PRECISIONS},
}
_SCHEDULES_THERE = {"constant": "constant", "cosine": "cosine", "half-cosine": "cosine"}


def read_optimization(keys: ConfigKeys, *, is_robovlms: bool) -> OptimizationSettings:
    """Takes all keys about training, except the window.

    Args:
        keys: The configuration.
        is_robovlms: Whether defaults are RoboVLMs' and not the seed's.

    Raises:
        ConfigBlockError: Keys contradict each other, or ask for something that is not supported.
    """
    default = _ROBOVLMS if is_robovlms else OptimizationSettings()
    said: dict[str, Any] = {
        "learning_rate": _one_of(keys, "number", "learning rate", "train_setup.learning_rate", "learning_rate"),
        "weight_decay": _one_of(keys, "number", "weight decay", "train_setup.weight_decay", "weight_decay"),
        "precision": _read_precision(keys),
        "warmup_epochs": keys.number("warmup_epochs"),
        "warmup_steps": keys.count("warmup_steps", minimum=0),
        "max_gradient_norm": _one_of(
            keys, "number", "gradient clipping", "gradient_clip_val", "trainer.gradient_clip_val"
        ),
        "max_epochs": keys.count("trainer.max_epochs"),
        "gripper_loss_ratio": keys.number("arm_gripper_loss_ratio"),
        "static_shift": _read_shift(keys, "train_dataset.rgb_pad"),
        "gripper_shift": _read_shift(keys, "train_dataset.gripper_pad"),
        "same_shift_in_window": keys.flag("train_dataset.traj_cons"),
        "window_stride": keys.count("train_dataset.skip_frames"),
        "num_workers": keys.count("num_workers", minimum=0),
        "seed": keys.count("seed", minimum=0),
        **_read_batches(keys, default),
        **_read_schedule(keys),
    }
    if said["max_gradient_norm"] == 0:
        said["max_gradient_norm"] = None  # as Lightning reads it
    max_steps = keys.count("trainer.max_steps", minimum=-1)
    said["max_steps"] = None if max_steps == -1 else max_steps
    _read_optimizer(keys, said["weight_decay"] or default.weight_decay)
    fields = {name: getattr(default, name) for name in OptimizationSettings.__slots__}
    return OptimizationSettings(**(fields | {name: value for name, value in said.items() if value is not None}))


def _read_shift(keys: ConfigKeys, key: str) -> int | None:
    """Pixels. RoboVLMs writes -1 for none."""
    pixels = keys.count(key, minimum=-1)
    return None if pixels is None else max(pixels, 0)


def _one_of(keys: ConfigKeys, kind: str, what: str, *names: str) -> Any:
    """A value that may have several names."""
    return keys.agreed({name: getattr(keys, kind)(name) for name in names}, what)


def _read_batches(keys: ConfigKeys, default: OptimizationSettings) -> dict[str, int | None]:
    """Batch size and accumulation steps. Their product is the effective batch size."""
    batch_size = keys.count("batch_size")
    accumulated = _one_of(
        keys, "count", "gradient accumulation", "gradient_accumulation_steps", "trainer.accumulate_grad_batches"
    )
    effective = keys.count("effective_batch_size")
    first = batch_size or default.batch_size
    second = accumulated or default.gradient_accumulation_steps
    if effective not in (None, first * second):
        raise ConfigBlockError(
            f"expected effective_batch_size to be batch_size x gradient_accumulation_steps, {first} x {second} = "
            f"{first * second}, got {effective}. Change one of the three, or leave effective_batch_size out."
        )
    return {"batch_size": batch_size, "gradient_accumulation_steps": accumulated}


def _read_precision(keys: ConfigKeys) -> str | None:
    """One precision from five keys."""
    from_flags = _read_precision_flags(keys)
    in_trainer = _named_precision(keys, "trainer.precision")
    if keys.strict:
        in_setup = _named_precision(keys, "train_setup.precision")
    else:
        in_setup = None
        keys.take_idle("train_setup.precision", "RoboVLMs itself takes the trainer's")
    said = {
        "mixed_precision, fp16, bf16": from_flags,
        "trainer.precision": in_trainer,
        "train_setup.precision": in_setup,
    }
    precision: str | None = keys.agreed(said, "precision")
    return precision


def _read_precision_flags(keys: ConfigKeys) -> str | None:
    mixed, fp16, bf16 = (keys.flag(name) for name in ("mixed_precision", "fp16", "bf16"))
    if (mixed, fp16, bf16) == (None, None, None):
        return None
    if fp16 and bf16:
        raise ConfigBlockError("expected one precision, got fp16: true and bf16: true. Set one of them to false.")
    if mixed is False and (fp16 or bf16):
        raise ConfigBlockError(
            f"expected mixed_precision: true beside {'fp16' if fp16 else 'bf16'}: true, got false: trained weights "
            "stay in 32 bits, so that half precision is always mixed. Change one of them."
        )
    if mixed and fp16 is False and not bf16:
        raise ConfigBlockError("expected fp16: true or bf16: true beside mixed_precision: true, got neither.")
    if bf16:
        return "bf16"
    return "fp16" if fp16 or mixed else "fp32"


def _named_precision(keys: ConfigKeys, key: str) -> str | None:
    name = keys.text(key)
    if name in ("16-true", "bf16-true"):
        raise keys.refused(key, name, "trained weights stay in 32 bits; write '16-mixed' or 'bf16-mixed'")
    return None if name is None else _PRECISIONS_THERE[require_name(name, _PRECISIONS_THERE, f"'{key}'")]


def _read_schedule(keys: ConfigKeys) -> dict[str, Any]:
    name = keys.text("scheduler")
    if name is not None:
        require_name(name, _SCHEDULES_THERE, "scheduler")
    if name == "half-cosine":
        return {"schedule": "cosine", "min_learning_rate_scale": keys.number("min_lr_scale")}
    keys.take_idle("min_lr_scale", "only the scheduler 'half-cosine' ends at it")
    return {"schedule": None if name is None else _SCHEDULES_THERE[name]}


def _read_optimizer(keys: ConfigKeys, weight_decay: float) -> None:
    """Checks that the optimiser is AdamW, or Adam without weight decay, which is the same."""
    reason = "the optimiser is AdamW, which is Adam where weight_decay is 0"
    if keys.strict:
        keys.require("optimizer", ("adamw", "adam") if not weight_decay else ("adamw",), reason)
    else:
        keys.take_idle("optimizer", f"{reason}; RoboVLMs takes AdamW whatever it says")
