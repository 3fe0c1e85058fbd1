"""A smoke run: a few real steps of a small training, to test in under a minute that everything works together."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from calvinbench.policies.demonstrations.demonstrations import Demonstrations
from calvinbench.policies.policy import Memory
from calvinbench.policies.spec import PolicySpec
from calvinbench.policies.training.settings import TrainingSettings

SMOKE_STEPS = 4
_HIDDEN_DIM = "16"
_LONGEST_WINDOW = 64
"""CALVIN's annotations have at most 64 frames."""
_SMOKE: Mapping[str, Any] = {
    "max_steps": SMOKE_STEPS,
    "max_epochs": 1000,
    "batch_size": 2,
    "gradient_accumulation_steps": 1,
    "warmup_epochs": 0.0,
    "warmup_steps": 0,
    "precision": "fp32",
    "num_workers": 0,
    "log_every": 1,
    "save_every": SMOKE_STEPS,
    "validate_every": SMOKE_STEPS,
    "validation_windows": 4,
}
_LEFT_OUT = (
    *("effective_batch_size", "evaluate_every", "evaluate_chains", "evaluate_worlds", "evaluate_scene"),
    *("calvin_env", "window_stride"),
)


def smoke_keys(configuration: Mapping[str, Any], flags: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The keys of a smoke run: its own values override the configuration, and flags override both.

    Keys that would conflict are left out: evaluations, a fixed effective batch, the configuration's tasks. Small random
    weights replace published ones, which would have to be downloaded.

    Returns:
        Keys of the configuration, and of the flags.
    """
    kept = {key: value for key, value in configuration.items() if key not in (*_LEFT_OUT, "tasks")}
    below = {**kept, **{key: value for key, value in _SMOKE.items() if key not in flags}}
    given = {key: value for key, value in flags.items() if key not in _LEFT_OUT}
    for keys in (below, given):
        if keys.get("policy") is not None:
            keys["policy"] = _small(str(keys["policy"]))
    window = _window_of(str((below | given).get("policy") or "untrained"))
    if window is not None:
        given.pop("window_size", None)
        below["window_size"] = window
    return below, given


def _window_of(policy: str) -> int | None:
    """The window of the memory that a spec names; None if it names none."""
    kind, _, number = dict(PolicySpec.parse(policy).settings).get("memory_span", "").partition(":")
    return int(number) if kind == "window" and number.isdecimal() else None


def _small(policy: str) -> str:
    """The spec of a small policy, if the given spec has published weights."""
    spec = PolicySpec.parse(policy)
    if dict(spec.settings).get("vlm") != "published":
        return policy
    dropped = ("vlm", "image_size", "hidden_dim")
    settings = tuple((key, value) for key, value in spec.settings if key not in dropped)
    return str(replace(spec, settings=(*settings, ("hidden_dim", _HIDDEN_DIM))))


def with_fitting_window(settings: TrainingSettings, memory: Memory, data: Demonstrations) -> TrainingSettings:
    """The settings with a window size that fits the memory.

    Args:
        settings: The settings of a smoke run.
        memory: The policy's memory.
        data: The demonstrations.
    """
    kind, _, number = memory.span.partition(":")
    if kind == "window":
        size = int(number)
    elif kind == "unbounded":
        size = min(_LONGEST_WINDOW, max(annotation.num_frames for annotation in data.annotations))
    else:
        size = settings.optimization.window_size
    return replace(settings, optimization=replace(settings.optimization, window_size=size))
