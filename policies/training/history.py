"""Stretches of a training: what changed when it went on, so that an unbroken training is told from one that was not."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from calvinbench.policies.training.optimization import OptimizationSettings
from calvinbench.policies.training.optimizer import rate_scale, total_steps


@dataclass(frozen=True, slots=True)
class Stretch:
    """Steps of a training that were taken in one way.

    Attributes:
        from_step: Steps done before it.
        schedule_steps: The step at which the rate's schedule ends; None for a constant one, which has no end.
        data: Digest of the training split (`demonstrations.fingerprint`); None where it is not known.
    """

    from_step: int
    schedule_steps: int | None
    data: str | None

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Stretch":
        """Reads what `dataclasses.asdict` made."""
        return cls(**values)


def schedule_steps(settings: OptimizationSettings, steps_per_epoch: int) -> int | None:
    """Where the rate's schedule ends; None for a constant one."""
    return None if settings.schedule == "constant" else total_steps(settings, steps_per_epoch)


def go_on(
    history: tuple[Stretch, ...], step: int, settings: OptimizationSettings, steps_per_epoch: int, data: str | None
) -> tuple[Stretch, ...]:
    """The history of a training that goes on.

    An end of the schedule that no step so far depended on (warm-up was not over) counts as if it had always been so.

    Args:
        history: Of the training so far.
        step: Steps that are done.
        settings: As they are from now on.
        steps_per_epoch: As they are from now on.
        data: Digest of the training split, from now on.
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
