"""`calvinbench plan`."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, NoReturn

import tyro

from calvinbench.harness.command_line.console import DONE, print_json
from calvinbench.harness.command_line.usage import Example, Usage

if TYPE_CHECKING:
    from calvinbench.harness.records.runs import Run

STANDARD_DEVIATION = 1.75
"""Typical for a policy of average length 2 to 3. The largest possible value is 2.5."""
CORRELATION = 0.5
"""Typical for two policies on the same chains."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Report how many chains are needed to detect a difference of average lengths, or what N chains can detect."""

    USAGE: ClassVar[Usage] = Usage(
        examples=(
            Example("--difference 0.2", "report how many chains are needed to detect a difference of 0.2 subtasks"),
            Example("--chains 1000", "report the smallest difference that 1000 chains can detect"),
            Example(
                "--difference 0.2 --pilot runs/first runs/second",
                "report how many chains are needed, with the spread of two runs that you have",
            ),
        )
    )

    difference: float | None = None
    """Difference of average lengths to detect, in subtasks: above 0, at most 5."""
    chains: int | None = None
    """Number of chains. The command reports the smallest difference that they can detect."""
    pilot: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="RUN RUN")] = ()
    """Two runs on the same chains from which standard deviation and correlation are taken."""
    standard_deviation: Annotated[float | None, tyro.conf.arg(help_behavior_hint="(default: the pilot's, or 1.75)")] = (
        None
    )
    """Standard deviation of the chains' lengths, in subtasks."""
    correlation: Annotated[float | None, tyro.conf.arg(help_behavior_hint="(default: the pilot's, or 0.5)")] = None
    """Correlation between two runs' lengths of the same chain; 0 for runs on different chains."""
    power: float = 0.8
    """Probability of detecting the difference if it exists."""
    json: bool = False
    """Print one JSON object instead of text."""

    def execute(self) -> int:
        """Computes and prints."""
        from calvinbench.envs.chains import published
        from calvinbench.harness.analysis.multiple_comparisons import detectable_difference, num_chains_needed

        if (self.difference is None) == (self.chains is None):
            raise ValueError("expected either --difference or --chains. Such as: calvinbench plan --difference 0.2")
        num_published, longest = len(published()), max(len(chain.subtasks) for chain in published())
        if self.difference is not None and not 0 < self.difference <= longest:
            raise ValueError(
                f"expected --difference above 0 and at most {longest}, the length of a chain, got {self.difference:g}. "
                "Such as: calvinbench plan --difference 0.2"
            )
        if self.chains is not None and self.chains < 1:
            raise ValueError(f"expected --chains of at least 1, got {self.chains}. Such as: --chains {num_published}")
        if self.standard_deviation is not None and self.standard_deviation > longest / 2:
            raise ValueError(
                f"expected --standard-deviation of at most {longest / 2:g}, which lengths from 0 to {longest} have at "
                f"most, got {self.standard_deviation:g}."
            )
        spread, correlation = self._spread_and_correlation()
        design = spread, correlation, self.power
        found: dict[str, float] = {"standard_deviation": spread, "correlation": correlation, "power": self.power}
        then = (
            f" subtasks in average length with a probability of {100 * self.power:g}% (two-sided, 5%), at a standard "
            f"deviation of {spread:.2f} and a correlation of {correlation:.2f} between the runs."
        )
        if self.difference is not None:
            needed, of_all = num_chains_needed(self.difference, *design), detectable_difference(num_published, *design)
            found |= {"difference": self.difference, "chains": needed, "detectable_with_published": of_all}
            words = f"{needed} chains, run by both policies, detect a difference of {self.difference:g}{then}"
            if needed > num_published:
                words += (
                    f"\nThat is more than the {num_published} published chains, so they cannot show this difference. "
                    f"All {num_published} detect {of_all:.2f} or more."
                )
        else:
            num_chains = int(self.chains or 0)
            smallest = detectable_difference(num_chains, *design)
            found |= {"chains": num_chains, "difference": smallest}
            words = f"{num_chains} chains, run by both policies, detect a difference of {smallest:.2f}{then}"
            if smallest > longest:
                words += f"\nNo difference can exceed {longest}, the length of a chain: run more chains."
        if self.json:
            print_json(found)
        else:
            print(words)
        return DONE

    def _spread_and_correlation(self) -> tuple[float, float]:
        spread, correlation = STANDARD_DEVIATION, CORRELATION
        if self.pilot:
            from calvinbench.harness.analysis.comparable import MAX_ERRORED_SHARE, has_too_many_errors
            from calvinbench.harness.analysis.comparison import compare
            from calvinbench.harness.records.runs import find_runs

            runs = find_runs(*self.pilot)
            if len(runs) != 2:
                raise ValueError(f"expected two runs as the pilot, got {len(runs)}.")
            for run in filter(has_too_many_errors, runs):
                raise ValueError(
                    f"expected a pilot of which at most {MAX_ERRORED_SHARE:.0%} errored, got {run.num_errored} of "
                    f"{len(run.records)} chains in '{run.directory}'. Fix the cause and run them again, or give "
                    "--standard-deviation and --correlation without a pilot."
                )
            alike = [run for run in runs if len(set(run.completed.tolist())) < 2]
            unfinished = [run for run in runs if not len(run.records)]
            is_known = self.standard_deviation is not None or len(alike) < len(runs)
            if unfinished or (alike and (self.correlation is None or not is_known)):
                _refuse_without_spread((unfinished or alike)[0])
            (pair,) = compare(runs).pairs
            spread = float(sum(run.completed.var(ddof=1) for run in runs if len(run.records) > 1) / 2) ** 0.5
            correlation = pair.correlation
        return (
            spread if self.standard_deviation is None else self.standard_deviation,
            correlation if self.correlation is None else self.correlation,
        )


def _refuse_without_spread(run: "Run") -> NoReturn:
    """Raises an error for a pilot whose chains all have the same length: it has no spread."""
    lengths = set(run.completed.tolist())
    each = f"all {len(run.records)} chains completed {lengths.pop()} subtasks" if lengths else "no chain is finished"
    raise ValueError(
        f"expected a pilot whose chains differ in length, but in '{run.directory}' {each}, so it has no "
        "spread. Use runs of other policies or of more chains as the pilot. Or leave --pilot out, and give "
        "--standard-deviation and --correlation, or neither for typical values."
    )
