"""The history of a training: which settings changed when it was resumed. An unbroken training has one stretch."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from calvinbench.policies.training.optimization import OptimizationSettings
from calvinbench.policies.training.optimizer import rate_scale, total_steps


@dataclass(frozen=True, slots=True)
class Stretch:
    """Consecutive steps of a training with the same schedule and data.

    Attributes:
        from_step: Steps before the stretch.
        schedule_steps: The step at which the learning-rate schedule ends; None for a constant one.
        data: Digest of the training split (`demonstrations.fingerprint`); None if it is unknown.
    """

    from_step: int
    schedule_steps: int | None
    data: str | None

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Stretch":
        """Reads what `dataclasses.asdict` made."""
        return cls(**values)


def schedule_steps(settings: OptimizationSettings, steps_per_epoch: int) -> int | None:
    """The step at which the learning-rate schedule ends; None for a constant one."""
    return None if settings.schedule == "constant" else total_steps(settings, steps_per_epoch)


def resumed_history(
    history: tuple[Stretch, ...], step: int, settings: OptimizationSettings, steps_per_epoch: int, data: str | None
) -> tuple[Stretch, ...]:
    """The history of a resumed training.

    A new end of the schedule that changes no previous step (the warm-up was not over) replaces the old end.

    Args:
        history: The history so far.
        step: Finished steps.
        settings: Settings from now on.
        steps_per_epoch: Steps per epoch from now on.
        data: Digest of the training split from now on.
    """
    end = schedule_steps(settings, steps_per_epoch)
    kept = tuple(stretch for stretch in history if stretch.from_step < step)
    if not kept:
        return (Stretch(0, end, data),)
    if kept[-1].data is None:
        kept = (*kept[:-1], replace(kept[-1], data=data))
    last = kept[-1]
    if len(kept) == 1 and end != last.schedule_steps and last.schedule_steps is not None:
        before = rate_scale(settings, steps_per_epoch, last.schedule_steps)
        now = rate_scale(settings, steps_per_epoch)
        if all(before(done) == now(done) for done in range(step)):
            kept = (last := replace(last, schedule_steps=end),)
    if (last.schedule_steps, last.data) == (end, data):
        return kept
    return (*kept, Stretch(step, end, data))
