"""The gripper rule: how a model's gripper number becomes "open" or "close", with advice for choosing one."""

import logging
import math
from dataclasses import dataclass
from typing import Final

from calvinbench.envs.names import require_name

OPEN: Final = 1.0
CLOSE: Final = -1.0
RULES = ("exact", "sign", "unit", "threshold")
_UNIT_SLACK = 0.5
"""Regression heads go a little outside 0..1. Numbers of -1..1 or 0..255 go further outside."""
_MAX_WIDTH_M = 0.1
"""CALVIN's gripper opens up to 0.08 m. Numbers this small may be metres, or a closed gripper."""
_HALF_OPEN_M = 0.04
_WARN_AFTER = 360
"""After this many numbers, the steps of one subtask, `sign` warns if none of them closed the gripper."""
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class GripperRule:
    """When a number opens the gripper. `str(rule)` is the text that `parse` reads.

    Attributes:
        kind: `"exact"`: +1 opens, -1 closes, other numbers are an error. `"sign"`: above 0 opens. `"unit"`: above 0.5
            opens, for numbers of 0..1; numbers far outside are an error. `"threshold"`: above `threshold` opens.
        threshold: For `"threshold"`.
        is_inverted: Whether open and close are swapped. Written as `-` in front.
    """

    kind: str = "exact"
    threshold: float = 0.0
    is_inverted: bool = False

    @classmethod
    def parse(cls, text: str) -> "GripperRule":
        """Reads `exact`, `sign`, `unit` or `threshold:T`, each also with `-` in front.

        Raises:
            UnknownNameError: There is no such rule.
            ValueError: The threshold is missing or is not a finite number, or the rule takes no threshold.
        """
        kind, colon, number = text.strip().removeprefix("-").partition(":")
        require_name(kind, RULES, "setting gripper")
        is_inverted = text.strip().startswith("-")
        if kind != "threshold":
            if colon:
                raise ValueError(
                    f"expected gripper rule '{kind}' without a number, got '{text}'. "
                    f"For a threshold of your own write 'threshold:{number or 0.5}'."
                )
            return cls(kind, is_inverted=is_inverted)
        try:
            threshold = float(number)
        except ValueError:
            threshold = math.nan
        if not math.isfinite(threshold):
            raise ValueError(
                f"expected gripper rule 'threshold:T' with a finite number T, got '{text}'. "
                "Write for example 'threshold:0.5'."
            )
        return cls(kind, threshold, is_inverted)

    def __str__(self) -> str:
        number = f":{self.threshold:g}" if self.kind == "threshold" else ""
        return f"{'-' if self.is_inverted else ''}{self.kind}{number}"


class GripperReader:
    """Applies a rule. For its advice, it remembers the lowest and the highest number that it saw."""

    def __init__(self, rule: GripperRule, where: str = "the policy spec") -> None:
        """Keeps the rule.

        Args:
            rule: The rule.
            where: Where the user sets the rule, for messages.
        """
        self._rule, self._where = rule, where
        self._low, self._high, self._num_seen = math.inf, -math.inf, 0

    def see(self, *numbers: float) -> None:
        """Notes numbers that are not read yet, such as those of a whole chunk."""
        self._low, self._high = min(self._low, *numbers), max(self._high, *numbers)

    def read(self, number: float) -> float:
        """`OPEN` or `CLOSE`.

        Raises:
            ValueError: The rule cannot read the number. The message advises a rule for all numbers seen.
        """
        self.see(number)
        self._num_seen += 1
        is_open = self._is_open(number)
        return OPEN if is_open is not self._rule.is_inverted else CLOSE

    def _is_open(self, number: float) -> bool:
        kind = self._rule.kind
        if kind == "exact":
            if number not in (OPEN, CLOSE):
                raise ValueError(
                    "expected the gripper (the action's last number) to be exactly -1 (close) or +1 (open), got "
                    f"{number:.6g}. {advice(self._low, self._high, self._where)}"
                )
            return number == OPEN
        if kind == "unit":
            if not -_UNIT_SLACK <= number <= 1 + _UNIT_SLACK:
                raise ValueError(
                    f"expected a gripper number of 0..1, as gripper={self._rule} says, got {number:.6g}. "
                    f"{advice(self._low, self._high, self._where)}"
                )
            return number > 0.5
        if kind == "sign" and self._num_seen == _WARN_AFTER and self._low >= 0.0 and self._high <= 1 + _UNIT_SLACK:
            _logger.warning(
                "gripper=%s has read no number below 0 in %d actions (%.4g to %.4g): the gripper never changed. "
                "If the model's numbers are 0..1, write 'gripper=%sunit' in %s instead.",
                self._rule,
                self._num_seen,
                self._low,
                self._high,
                "-" if self._rule.is_inverted else "",
                self._where,
            )
        return number > self._rule.threshold


def advice(low: float, high: float, where: str = "the policy spec") -> str:
    """Advice on which rule suits the numbers seen.

    Args:
        low: The lowest number seen.
        high: The highest number seen.
        where: Where the user sets the rule.
    """
    seen = f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"
    inverse = "Put '-' before the rule, as in 'gripper=-{}', if high numbers close."
    if -1 - _UNIT_SLACK <= low < 0 and high <= 1 + _UNIT_SLACK:
        return f"The numbers seen ({seen}) reach below 0: add ',gripper=sign' to {where}. {inverse.format('sign')}"
    if low >= 0 and 0 < high <= _MAX_WIDTH_M:
        return (
            f"The numbers seen ({seen}) are small and not negative: add ',gripper=unit' to {where} if they are 0..1 "
            f"and this gripper is closed, or ',gripper=threshold:{_HALF_OPEN_M}' if they are the gripper's width in "
            "metres. 'gripper=sign' would never close."
        )
    if low >= 0 and high <= 1 + _UNIT_SLACK:
        ambiguity = "" if low <= _MAX_WIDTH_M else ", or ',gripper=sign' if the model also sends negative numbers"
        return (
            f"The numbers seen ({seen}) lie in 0..1: add ',gripper=unit' to {where} (above 0.5 opens){ambiguity}. "
            f"{inverse.format('unit')}"
        )
    return (
        f"The numbers seen ({seen}) are neither -1..1 nor 0..1: add ',gripper=threshold:T' to {where}, where numbers "
        f"above T open. {inverse.format('threshold:T')}"
    )
