"""`calvinbench compare`."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import tyro

from calvinbench.harness.command_line.console import DONE, print_json
from calvinbench.harness.command_line.usage import Example, Usage
from calvinbench.harness.verbs.results.renames import read_renames

if TYPE_CHECKING:
    from calvinbench.harness.analysis.comparison import Comparison


@dataclass(frozen=True, slots=True)
class Compare:
    """Report which of several methods on the same chains is better, or that they do not differ significantly."""

    USAGE: ClassVar[Usage] = Usage(
        examples=(
            Example("runs", "compare all pairs of runs in a folder"),
            Example("runs --reference expert", "compare each method with the expert"),
            Example("runs --columns difference,holm,5", "choose columns of the table of pairs"),
        )
    )

    directories: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="DIR ...")]
    """Folders of runs, or folders that hold several."""
    any_renderer: bool = False
    """Also compare runs of different renderers."""
    reference: Annotated[str | None, tyro.conf.arg(metavar="RUN", help_behavior_hint="(default: all pairs)")] = None
    """Compare each method with this one only, as in an ablation. Give its name, policy spec or folder."""
    rename: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="OLD=NEW")] = ()
    """Another name for a method, given by its name, policy spec or folder. Repeat the flag for several."""
    seeds: Literal["mean", "each"] = "mean"
    """Training seeds of one recipe: one method with their mean, or a method each."""
    columns: Annotated[str | None, tyro.conf.arg(metavar="NAMES", help_behavior_hint="(default: difference,holm)")] = (
        None
    )
    """Columns of the table of pairs, separated by commas: difference, clustered, p, holm, 1, 2, ... and detectable."""
    order: Annotated[
        Literal["success"] | None, tyro.conf.arg(help_behavior_hint="(default: as run, with the best)")
    ] = None
    """success: all pairs, the largest difference first."""
    interval_style: Literal["brackets", "below", "pm", "none"] = "brackets"
    """How intervals are shown: beside the numbers, below them, as plus-minus, or not at all."""
    precision: int = 1
    """Digits of percentages behind the point. Average lengths have one more."""
    json: bool = False
    """Print one JSON object instead of text."""

    def execute(self) -> int:
        """Compares and prints."""
        if not self.directories:
            raise ValueError("expected folders with runs, got none. Such as: calvinbench compare runs")
        from calvinbench.harness.analysis.comparison import compare
        from calvinbench.harness.records.runs import find_runs
        from calvinbench.harness.report.comparison_words import pair_grid, short_explanation
        from calvinbench.harness.report.tables import show_grid
        from calvinbench.harness.report.tables.style import TableStyle, as_columns, as_order

        style = TableStyle(as_columns(self.columns), as_order(self.order), self.interval_style, self.precision)
        runs = find_runs(*self.directories)
        comparison = compare(runs, self.any_renderer, self.reference, read_renames(self.rename), self.seeds)
        if self.json:
            print_json(_as_json(comparison))
        else:
            grid = pair_grid(comparison, style)
            print(f"{comparison.verdict}\n")
            show_grid(grid, (short_explanation(comparison),), more="More: calvinbench report.")
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
                "label": method.marked_name,
                "directory": str(method.runs[0].directory),
                "directories": [str(run.directory) for run in method.runs],
                "average_length": average,
                "clustered_average_length": asdict(clustered),
            }
            for method, average, clustered in zip(
                comparison.methods, comparison.averages, comparison.clustered, strict=True
            )
        ],
        "pairs": [
            asdict(pair) | {"rates": [asdict(rates) | {"difference": rates.difference} for rates in pair.rates]}
            for pair in comparison.pairs
        ],
        "cochrans_q": [asdict(found) for found in comparison.cochrans_q],
    }
