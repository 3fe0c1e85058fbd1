"""What every form of a table is made from: the runs, and what is computed of them, once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from calvinbench.harness.analysis.comparison import Comparison
from calvinbench.harness.analysis.labels import labels
from calvinbench.harness.analysis.statistics import Intervals
from calvinbench.harness.analysis.summaries import Summary, summarize
from calvinbench.harness.analysis.training_seeds import SeedMean, seed_means
from calvinbench.harness.records.runs import Run
from calvinbench.harness.report.published_results import PublishedResult


@dataclass(frozen=True, slots=True)
class TableInput:
    """Runs that stand in one table. Make it with `of`.

    Attributes:
        runs: The runs.
        published: Published rows below them.
        comparison: The comparison of the runs, for marks and notes; None without one.
        intervals: The kind of confidence interval around rates.
        labels: The runs' names in the table.
        summaries: The runs' rates and average lengths.
        seed_means: Means over training seeds.
    """

    runs: tuple[Run, ...]
    published: tuple[PublishedResult, ...]
    comparison: Comparison | None
    intervals: Intervals
    labels: tuple[str, ...]
    summaries: tuple[Summary, ...]
    seed_means: tuple[SeedMean, ...]

    @classmethod
    def of(
        cls,
        runs: Sequence[Run],
        published: Sequence[PublishedResult] = (),
        comparison: Comparison | None = None,
        intervals: Intervals = "wilson",
    ) -> "TableInput":
        """Computes labels, summaries and means over training seeds of some runs.

        Args:
            runs: The runs.
            published: Published rows below them.
            comparison: The comparison of these runs; None for a table without marks.
            intervals: The kind of confidence interval around rates.
        """
        return cls(
            tuple(runs),
            tuple(published),
            comparison,
            intervals,
            labels(runs),
            tuple(summarize(run, intervals) for run in runs),
            seed_means(runs),
        )

    def labelled(self) -> Iterator[tuple[Run, str]]:
        """Each run with its label."""
        return zip(self.runs, self.labels, strict=True)
