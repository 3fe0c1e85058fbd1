"""Units that a policy's numbers may be in instead of CALVIN's, guessed from how much larger or smaller they are."""

import math

from calvinbench.envs.observation import MAX_RELATIVE_EULER_RAD, MAX_RELATIVE_POSITION_M

_ALIKE = 1.5
"""Two ratios this near are taken for one."""
_LENGTHS = {
    "metres": MAX_RELATIVE_POSITION_M,
    "millimetres": 1000 * MAX_RELATIVE_POSITION_M,
}
_ANGLES = {"radians": MAX_RELATIVE_EULER_RAD, "degrees": math.degrees(MAX_RELATIVE_EULER_RAD)}
"""What a relative action of 1 would be in each unit."""
UNITS = f"rel_actions are in units of {MAX_RELATIVE_POSITION_M:g} m and {MAX_RELATIVE_EULER_RAD:g} rad"


def size_in_words(ratio: float, of_rotation: bool) -> str:
    """How much larger or smaller numbers are than they should be, and which unit would explain it.

    Args:
        ratio: Of the numbers' size to what it should be, above 0.
        of_rotation: Whether they are angles, else lengths.
    """
    times, factor = (ratio, "divide") if ratio > 1 else (1 / ratio, "multiply")
    words = f"about {float(f'{times:.2g}'):g} times too {'large' if ratio > 1 else 'small'}"
    for unit, size in (_ANGLES if of_rotation else _LENGTHS).items():
        if abs(math.log(ratio / size)) < math.log(_ALIKE):
            by = size if size > 1 else 1 / size
            return f"{words}, as {unit} would be: {factor} by {by:.4g} (1 is {size:.4g} {unit})"
    return words
