"""Stretches of a training: what changed where."""

import pytest

from calvinbench.policies.training.optimization import OptimizationSettings
from calvinbench.policies.training.recipe.history import Stretch, resumed_history


def cosine(max_steps, warmup=0):
    return OptimizationSettings(
        schedule="cosine", max_steps=max_steps, max_epochs=1000, warmup_epochs=0.0, warmup_steps=warmup
    )


FIRST = (Stretch(0, 10, "d"),)


@pytest.mark.parametrize(
    ("history", "step", "settings", "data", "expected"),
    [
        (FIRST, 4, cosine(10), "d", FIRST),
        (FIRST, 4, cosine(20), "d", (*FIRST, Stretch(4, 20, "d"))),
        (FIRST, 4, cosine(10), "e", (*FIRST, Stretch(4, 10, "e"))),
        # Killed before a step was saved: what was said last counts.
        ((*FIRST, Stretch(4, 20, "d")), 4, cosine(10), "d", FIRST),
        ((*FIRST, Stretch(4, 20, "d")), 4, cosine(30), "d", (*FIRST, Stretch(4, 30, "d"))),
        ((*FIRST, Stretch(4, 20, "d")), 6, cosine(20), "d", (*FIRST, Stretch(4, 20, "d"))),
        # Warm-up is not over, and no step depended on the end.
        (FIRST, 4, cosine(20, warmup=4), "d", (Stretch(0, 20, "d"),)),
        (FIRST, 6, cosine(20, warmup=4), "d", (*FIRST, Stretch(6, 20, "d"))),
        # Older trainings did not know their data.
        ((Stretch(0, 10, None),), 4, cosine(10), "d", FIRST),
        ((Stretch(0, None, "d"),), 4, OptimizationSettings(max_steps=50), "d", (Stretch(0, None, "d"),)),
    ],
)
def test_a_training_goes_on(history, step, settings, data, expected):
    assert resumed_history(history, step, settings, 7, data) == expected
