"""`calvinbench compare`."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import tyro

from calvinbench.harness.command_line.console import DONE, print_json
from calvinbench.harness.command_line.usage import Example, Usage

if TYPE_CHECKING:
    from calvinbench.harness.analysis.comparison import Comparison


@dataclass(frozen=True, slots=True)
class Compare:
    """Report which of several runs on the same chains is better, or that they do not differ significantly."""

    USAGE: ClassVar[Usage] = Usage(
        examples=(
            Example("runs", "compare all pairs of runs in a folder"),
            Example("runs --reference expert", "compare each run with the expert's"),
        )
    )

    directories: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="DIR ...")]
    """Folders of runs, or folders that hold several."""
    any_renderer: bool = False
    """Also compare runs of different renderers."""
    reference: Annotated[str | None, tyro.conf.arg(metavar="RUN", help_behavior_hint="(default: all pairs)")] = None
    """Compare each run with this run only, as in an ablation. Name it by label, policy spec or folder."""
    json: bool = False
    """Print one JSON object instead of text."""

    def execute(self) -> int:
        """Compares and prints."""
        if not self.directories:
            raise ValueError("expected folders with runs, got none. Such as: calvinbench compare runs")
        from calvinbench.harness.analysis.comparison import compare
        from calvinbench.harness.records.runs import find_runs
        from calvinbench.harness.report.comparison_words import in_words

        comparison = compare(find_runs(*self.directories), self.any_renderer, self.reference)
        if self.json:
            print_json(_as_json(comparison))
        else:
            print(in_words(comparison))
        return DONE


def _as_json(comparison: "Comparison") -> dict[str, Any]:
    return {
        "verdict": comparison.verdict,
        "refusals": list(comparison.refusals),
        "best": list(comparison.best),
        "best_rates": [list(best) for best in comparison.best_rates],
        "reference": comparison.reference,
        "rivals": list(comparison.rivals),
        "chains": comparison.num_chains,
        "runs": [
            {
                "label": label,
                "directory": str(run.directory),
                "average_length": average,
                "clustered_average_length": asdict(clustered),
            }
            for label, run, average, clustered in zip(
                comparison.labels, comparison.runs, comparison.averages, comparison.clustered, strict=True
            )
        ],
        "pairs": [
            asdict(pair) | {"rates": [asdict(rates) | {"difference": rates.difference} for rates in pair.rates]}
            for pair in comparison.pairs
        ],
        "cochrans_q": [asdict(found) for found in comparison.cochrans_q],
    }
