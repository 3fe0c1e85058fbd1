"""The data that every form of a table is made from: the methods, and what is computed of them, once."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from calvinbench.harness.analysis.comparison import Comparison
from calvinbench.harness.analysis.methods import PRIVILEGED_MARK, Method, Seeds, methods
from calvinbench.harness.analysis.statistics import Intervals
from calvinbench.harness.analysis.training_seeds import MethodSummary, SeedMean, mean_over_seeds, summarize_method
from calvinbench.harness.records.runs import Run
from calvinbench.harness.report.published_results import PublishedResult


@dataclass(frozen=True, slots=True)
class TableInput:
    """Methods in one table. Make it with `of`.

    Attributes:
        methods: The methods.
        published: Published rows below them.
        comparison: The comparison of the methods, for marks and notes; None without one.
        intervals: The kind of confidence interval around rates.
        summaries: The methods' rates and average lengths.
    """

    methods: tuple[Method, ...]
    published: tuple[PublishedResult, ...]
    comparison: Comparison | None
    intervals: Intervals
    summaries: tuple[MethodSummary, ...]

    @classmethod
    def of(
        cls,
        runs: Sequence[Run] | Sequence[Method],
        published: Sequence[PublishedResult] = (),
        comparison: Comparison | None = None,
        intervals: Intervals = "wilson",
        labels: Mapping[str, str] | None = None,
        seeds: Seeds = "mean",
    ) -> "TableInput":
        """Computes rates and average lengths.

        Args:
            runs: The runs, or methods.
            published: Published rows below them.
            comparison: The comparison of these runs; None for a table without marks.
            intervals: The kind of confidence interval around rates.
            labels: New names by old ones, see `methods`.
            seeds: Whether training seeds of one recipe are one method.
        """
        given = tuple(each for each in runs if isinstance(each, Method))
        found = given or methods([run for run in runs if isinstance(run, Run)], labels, seeds)
        summaries = tuple(summarize_method(method, intervals) for method in found)
        return cls(found, tuple(published), comparison, intervals, summaries)

    @property
    def runs(self) -> tuple[Run, ...]:
        """The runs of all methods."""
        return tuple(run for method in self.methods for run in method.runs)

    @property
    def names(self) -> tuple[str, ...]:
        """The methods' names, privileged ones marked."""
        return tuple(method.marked_name for method in self.methods)

    @property
    def labels(self) -> tuple[str, ...]:
        """A name for each run: its method's, with the training seed if the method has several."""
        return tuple(name_of_run(method, run) for method in self.methods for run in method.runs)

    @property
    def seed_means(self) -> tuple[SeedMean, ...]:
        """The means over training seeds."""
        return tuple(mean_over_seeds(method.runs, method.marked_name) for method in self.methods if method.has_seeds)

    def labelled(self) -> Iterator[tuple[Run, str]]:
        """Each run with its name."""
        return zip(self.runs, self.labels, strict=True)


def name_of_run(method: Method, run: Run) -> str:
    """The name of one run of a method."""
    if not method.has_seeds:
        return method.marked_name
    mark = f" {PRIVILEGED_MARK}" if method.is_privileged else ""
    return f"{method.name} seed {run.description.training_seed}{mark}"
