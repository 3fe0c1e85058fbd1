"""What each policy of a study cost and reached, in Markdown: `python docs/study/study_table.py TRAININGS RUNS`.

TRAININGS holds a folder NAME for each training, with `training.json` and `losses.csv` as `calvinbench train` left them
(what `docs/study/backbones.sh` calls OUT). RUNS holds the runs of `checkpoint:.../NAME/checkpoint`. A second set of
instructions, which holds sentences back, stands beside the first, with the paired difference on the same chains and its
interval over initial states. `--minutes FILE` is what `benchmarks/training.py --csv` wrote.
"""

import argparse
import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd

from calvinbench.harness import find_runs
from calvinbench.harness.analysis.paired_statistics import paired_difference
from calvinbench.harness.analysis.speed import speed
from calvinbench.harness.analysis.summaries import clusters, summarize
from calvinbench.harness.records.runs import Run


def main() -> None:
    """Reads trainings and runs, and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trainings", type=Path)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--minutes", type=Path)
    said = parser.parse_args()
    minutes = _minutes(said.minutes)
    by_name: dict[str, dict[str, Run]] = {}
    for run in find_runs(*said.runs):
        name = Path(run.description.policy.removeprefix("checkpoint:").partition(",")[0]).parent.name
        if "," not in run.description.policy and run.records:
            by_name.setdefault(name, {})[run.description.instructions] = run
    rows = [
        {"Training": name}
        | _training(said.trainings / name)
        | ({"Two cores, min (reckoned)": minutes.get(name.partition("-seed")[0], "-")} if minutes else {})
        | _scores(runs)
        for name, runs in by_name.items()
        if (said.trainings / name / "training.json").is_file()
    ]
    print(pd.DataFrame(rows).fillna("-").to_markdown(index=False, disable_numparse=True))


def _minutes(path: Path | None) -> dict[str, str]:
    if path is None:
        return {}
    with path.open(newline="") as file:
        return {
            row["training"]: next(row[key] for key in row if key.startswith("minutes")) for row in csv.DictReader(file)
        }


def _training(folder: Path) -> dict[str, str]:
    described = json.loads((folder / "training.json").read_text("utf-8"))
    losses = pd.read_csv(folder / "losses.csv")
    last, parts = losses.iloc[-1], described["parameters"].values()
    trained, total = (sum(part[kind] for part in parts) for kind in ("trained", "total"))
    machines = {session["hardware"].rpartition(", ")[2] for session in described["sessions"]}
    return {
        "Parameters": _millions(total) + (f", {_millions(trained)} of them trained" if trained < 0.99 * total else ""),
        "Frames": f"{int(last['frames']):,}".replace(",", " "),
        "Trained": f"{last['seconds'] / 60:.0f} min, {' and '.join(sorted(machines))}",
        "Validation loss": f"{losses['validation_loss'].dropna().iloc[-1]:.4f}",
    }


def _millions(parameters: int) -> str:
    return f"{parameters / 1e6:.1f}M"


def _scores(runs: dict[str, Run]) -> dict[str, str]:
    """Average lengths and what a step takes; the second set of instructions is that which holds sentences back."""
    found: dict[str, str] = {}
    by_set = sorted(runs.items(), key=lambda entry: "held-out" in entry[0])
    for instructions, run in by_set:
        mean = summarize(run).average_length
        found[f"Avg. Len., {instructions}"] = f"{mean.value:.2f} [{mean.interval.low:.2f}, {mean.interval.high:.2f}]"
    if len(by_set) == 2:
        (_, seen), (_, held_out) = by_set
        found["Difference"] = _difference(held_out, seen)
    found["Policy, ms a step"] = f"{speed(by_set[0][1]).policy_ms:g}"
    return found


def _difference(first: Run, second: Run) -> str:
    lengths = [{record.chain: record.completed for record in run.records} for run in (first, second)]
    numbers = sorted(lengths[0].keys() & lengths[1].keys())
    arrays = [np.array([by_chain[number] for number in numbers], dtype=np.int64) for by_chain in lengths]
    states = clusters(first, numbers)
    found = paired_difference(arrays[0], arrays[1], np.random.default_rng(0), states)
    return f"{found.value:+.2f} [{found.interval.low:+.2f}, {found.interval.high:+.2f}]"


if __name__ == "__main__":
    main()
