"""In which frame and axes a policy's actions point the same way as the expert's in the same states."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations, product

import numpy as np
from jaxtyping import Float64
from scipy.spatial.transform import Rotation

Vectors = Float64[np.ndarray, "T 3"]
WORLD, TOOL = "world", "tool"
MIN_STEPS = 60
"""With fewer steps there is no conclusion."""
GOOD = 0.5
"""From this cosine on, directions agree; `checkpoint:cnn` has about 0.6 with the expert."""
BETTER = 0.1
"""Another reading must agree better by this much, at the lower end of its interval."""
_BLOCK = 10
"""Length of a bootstrap block in steps, because neighbouring steps are correlated."""
_NUM_RESAMPLES = 400
_CONFIDENCE = 0.95
_AXES = "xyz"


@dataclass(frozen=True, slots=True)
class Agreement:
    """How a policy's vectors agree with the expert's.

    Attributes:
        cosine: Of all steps together, unchanged: 1 for the same directions, 0 for unrelated, -1 for opposite ones.
        best: The reading that agrees best: `"world"` (unchanged), `"tool"` (rotated by the tool's orientation), or
            axes such as `"y, x, -z"`: what stands for x, y and z.
        best_cosine: Its cosine.
        gain: The lower end of the 95% interval of how much better it is than `"world"`, by bootstrap over blocks of
            steps.
        num_steps: Steps.
    """

    cosine: float
    best: str
    best_cosine: float
    gain: float
    num_steps: int

    @property
    def is_good(self) -> bool:
        """Whether they agree unchanged, and no other reading is clearly better."""
        return self.num_steps >= MIN_STEPS and self.cosine >= GOOD and not self.is_misread

    @property
    def is_misread(self) -> bool:
        """Whether another reading agrees, and is clearly better."""
        return self.num_steps >= MIN_STEPS and self.best_cosine >= GOOD and self.gain > BETTER


def agreement(policy: Vectors, expert: Vectors, tool: Vectors, generator: np.random.Generator) -> Agreement:
    """Compares a policy's translations, or its rotations, with the expert's.

    Args:
        policy: The policy's.
        expert: The expert's in the same states.
        tool: The tool's euler xyz in the same states, in radians.
        generator: For the bootstrap.
    """
    readings = dict(_readings(policy, tool))
    cosines = {name: cosine(vectors, expert) for name, vectors in readings.items()}
    # The tool points nearly straight down in most states, where its frame is nearly a permutation of the world's axes:
    # of equally good readings, the tool frame is the more likely one.
    best = max(cosines, key=lambda name: cosines[name] + {WORLD: 0.02, TOOL: 0.01}.get(name, 0.0))
    gain = 0.0 if best == WORLD else _gain(readings[best], policy, expert, generator)
    return Agreement(cosines[WORLD], best, cosines[best], gain, len(policy))


def cosine(first: Vectors, second: Vectors) -> float:
    """Cosine of two series of vectors, each taken as one long vector; 0 if one is zero."""
    size = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float((first * second).sum()) / size if size > 0.0 else 0.0


def _readings(vectors: Vectors, tool: Vectors) -> Iterator[tuple[str, Vectors]]:
    """The vectors in the world frame, for each way in which they may be meant."""
    yield WORLD, vectors
    yield TOOL, Rotation.from_euler("xyz", tool).apply(vectors)
    for axes in permutations(range(3)):
        for signs in product((1, -1), repeat=3):
            if axes != (0, 1, 2) or signs != (1, 1, 1):
                name = ", ".join(
                    f"{'-' if sign < 0 else ''}{_AXES[axis]}" for axis, sign in zip(axes, signs, strict=True)
                )
                yield name, vectors[:, axes] * signs


def _gain(best: Vectors, plain: Vectors, expert: Vectors, generator: np.random.Generator) -> float:
    starts = np.arange(0, len(plain), _BLOCK)
    gains = []
    for _ in range(_NUM_RESAMPLES):
        drawn = generator.choice(starts, size=len(starts))
        rows = (drawn[:, np.newaxis] + np.arange(_BLOCK)).reshape(-1)
        rows = rows[rows < len(plain)]
        gains.append(cosine(best[rows], expert[rows]) - cosine(plain[rows], expert[rows]))
    return float(np.quantile(gains, (1 - _CONFIDENCE) / 2))
