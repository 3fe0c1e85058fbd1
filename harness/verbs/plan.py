"""`calvinbench plan`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from calvinbench.harness.verbs.console import DONE, print_json

STANDARD_DEVIATION = 1.75
"""Of chains' lengths for a policy of average length 2 to 3; the most that is possible is 2.5."""
CORRELATION = 0.5
"""Between two policies' lengths of the same chain."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Say how many chains a difference of average lengths needs, or what so many chains can find."""

    difference: float | None = None
    """The difference that is to be found, in subtasks."""
    chains: int | None = None
    """How many chains there are, to learn what they find."""
    pilot: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="RUN RUN")] = ()
    """Two runs on the same chains from which standard deviation and correlation are taken."""
    standard_deviation: Annotated[float | None, tyro.conf.arg(help_behavior_hint="(default: the pilot's, or 1.75)")] = (
        None
    )
    """Of the chains' lengths."""
    correlation: Annotated[float | None, tyro.conf.arg(help_behavior_hint="(default: the pilot's, or 0.5)")] = None
    """Between two runs' lengths of a chain; 0 for runs on unlike chains."""
    power: float = 0.8
    """The chance to find the difference."""
    json: bool = False
    """Print one JSON object instead of words."""

    def execute(self) -> int:
        """Reckons and prints."""
        from calvinbench.harness.multiple_comparisons import detectable_difference, num_chains_needed

        if (self.difference is None) == (self.chains is None):
            raise ValueError("expected either --difference or --chains. Such as: calvinbench plan --difference 0.2")
        spread, correlation = self._spread_and_correlation()
        found: dict[str, float] = {"standard_deviation": spread, "correlation": correlation, "power": self.power}
        if self.difference is not None:
            needed = num_chains_needed(self.difference, spread, correlation, self.power)
            found |= {"difference": self.difference, "chains": needed}
            words = f"{needed} chains, run by both policies, find a difference of {self.difference:g}"
        else:
            num_chains = int(self.chains or 0)
            smallest = detectable_difference(num_chains, spread, correlation, self.power)
            found |= {"chains": num_chains, "difference": smallest}
            words = f"{num_chains} chains, run by both policies, find a difference of {smallest:.2f}"
        if self.json:
            print_json(found)
        else:
            print(
                f"{words} subtasks in average length with a chance of {100 * self.power:g}% (two-sided, 5%), at a "
                f"standard deviation of {spread:.2f} and a correlation of {correlation:.2f} between the runs."
            )
        return DONE

    def _spread_and_correlation(self) -> tuple[float, float]:
        spread, correlation = STANDARD_DEVIATION, CORRELATION
        if self.pilot:
            from calvinbench.harness.comparable import MAX_ERRORED_SHARE, has_too_many_errors
            from calvinbench.harness.comparison import compare
            from calvinbench.harness.runs import find_runs

            runs = find_runs(*self.pilot)
            if len(runs) != 2:
                raise ValueError(f"expected two runs as the pilot, got {len(runs)}.")
            for run in filter(has_too_many_errors, runs):
                raise ValueError(
                    f"expected a pilot of which at most {MAX_ERRORED_SHARE:.0%} errored, got {run.num_errored} of "
                    f"{len(run.records)} chains in '{run.directory}'. Mend what raised and run them again, or give "
                    "--standard-deviation and --correlation without a pilot."
                )
            (pair,) = compare(runs).pairs
            spread = float(sum(run.completed.var(ddof=1) for run in runs) / 2) ** 0.5
            correlation = pair.correlation
        return (
            spread if self.standard_deviation is None else self.standard_deviation,
            correlation if self.correlation is None else self.correlation,
        )
