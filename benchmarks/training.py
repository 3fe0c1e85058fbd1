"""Time of the comparison's trainings on this machine: `python benchmarks/training.py DEMONSTRATIONS [NAME ...]`.

    python benchmarks/training.py demonstrations                    all of docs/study/backbones.sh, one seed each
    python benchmarks/training.py demonstrations cnn paligemma      these
    python benchmarks/training.py demonstrations --csv minutes.csv  saves the table

Each training is `docs/study/backbones.sh` itself, on two processes, for a few steps: data, model, optimiser and
exchange of gradients as in the complete training, without its validation. The trainings take turns in every round. The
first steps are left out, because files are read and memory is allocated for the first time. The last column is the time
of all steps of the configuration at that speed. It is computed, not measured.
"""

import argparse
import csv
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

SCRIPT = Path(__file__).parents[1] / "docs" / "study" / "backbones.sh"
NAMES = (
    "cnn",
    "paligemma",
    "llava",
    "flamingo",
    "moondream",
    "uform",
    "kosmos2",
    "qwen-vl",
    "minilm-effnet",
    "history-none",
    "history-1",
    "history-16",
    "history-unbounded",
    "cameras-static",
    "proprioception-none",
    "readout-pooling",
)
NUM_STEPS = 2000
"""Steps of the configuration `comparison`."""
_WARM_UP = 5


def seconds_a_step(name: str, demonstrations: Path, num_steps: int) -> float:
    """Trains for a few steps and reads the times of those after the first ones from its `losses.csv`."""
    with TemporaryDirectory() as folder:
        flags = f"--max-steps {_WARM_UP + num_steps} --log-every {_WARM_UP} --validation-windows 1 --warmup-steps 1"
        environment = os.environ | {"FLAGS": flags, "PYTHON": sys.executable}
        command = ["bash", str(SCRIPT), str(demonstrations), folder, name]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"the training of {name} failed:\n{done.stderr[-3000:]}")
        with (Path(folder) / name / "losses.csv").open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["seconds"]]
    first, last = rows[0], rows[-1]
    return (float(last["seconds"]) - float(first["seconds"])) / (int(last["step"]) - int(first["step"]))


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("demonstrations", type=Path)
    parser.add_argument("names", nargs="*", default=NAMES, help="by default: " + " ".join(NAMES))
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--csv", type=Path)
    options = parser.parse_args()
    measured: dict[str, list[float]] = {name: [] for name in options.names}
    for _ in range(options.rounds):
        for name, found in measured.items():
            found.append(seconds_a_step(name, options.demonstrations, options.steps))
            print(f"{name}: {found[-1]:.3f} s a step", file=sys.stderr)
    rows = [
        {
            "training": name,
            "s a step of 192 frames, two processes": f"{median(found):.3f}",
            "fastest": f"{min(found):.3f}",
            "slowest": f"{max(found):.3f}",
            f"minutes for {NUM_STEPS} steps": f"{median(found) * NUM_STEPS / 60:.0f}",
        }
        for name, found in measured.items()
    ]
    columns = list(rows[0])
    print("| " + " | ".join(columns) + " |\n|" + "---|" * len(columns))
    for row in rows:
        print("| " + " | ".join(row.values()) + " |")
    if options.csv:
        with options.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
