"""Chains an hour of a policy that looks at every fifth image: `python benchmarks/images_on_demand.py --scene D`.

A policy that executes five actions of each chunk (`first:5`) looks at every fifth image. With the method `looks_next`
it says so, and the other images are not rendered. Without it, all are. Both variants answer instantly, with the same
actions, so that only the world and the harness take time. They run by turns, on one core, through `evaluate` with its
oracle, records and files. A chain is one subtask that runs out of its 360 steps. Times are CPU seconds, so that other
work on the machine counts little.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
from evaluation import Clock, InstantPolicy

from calvinbench.envs.chain_env import MAX_SUBTASK_STEPS
from calvinbench.harness.evaluation.evaluation import evaluate
from calvinbench.harness.records.records import ChainRecord
from calvinbench.harness.records.runs import Run
from calvinbench.harness.rollout.workers import WorkerSetup
from calvinbench.harness.suite.settings import RunSettings

EXECUTED = 5
"""Actions of a chunk that are executed."""
CHAINS = 4
"""Chains of a run. The first makes the world, so it does not count."""


class LookingPolicy(InstantPolicy):
    """The instant policy, which says that it looks at every fifth image."""

    def looks_next(self, state: np.ndarray) -> np.ndarray:
        """Every fifth."""
        marks: np.ndarray = state % EXECUTED == 0
        return marks


class BlankPolicy(InstantPolicy):
    """The instant policy, which looks at no image after the first."""

    def looks_next(self, state: np.ndarray) -> np.ndarray:
        """None."""
        return np.zeros(len(state), dtype=bool)


POLICIES = {
    f"first:{EXECUTED}, without looks_next": InstantPolicy,
    f"first:{EXECUTED}, with looks_next": LookingPolicy,
    "no image after the first": BlankPolicy,
}


class CpuClock(Clock):
    """The CPU seconds of this process at which chains end."""

    def chain_finished(self, record: ChainRecord) -> None:
        """Stores the time."""
        self.ends.append(time.process_time())


def seconds_a_chain(name: str, scene: str, folder: Path) -> tuple[float, Run]:
    """CPU seconds of a chain of one variant, and the run."""
    settings = RunSettings(policy="instant", chains=CHAINS, scene=scene)
    clock = CpuClock()
    kind = POLICIES[name]
    run = evaluate(WorkerSetup(settings, make_policy=lambda spec, reset: kind()), folder, subscribers=[clock])
    return (clock.ends[-1] - clock.ends[0]) / (CHAINS - 1), run


def main() -> None:
    """Measures and prints a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--scene", default="embedded", help="CALVIN's scenes need CALVIN_ENV_ROOT")
    given = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    seconds: dict[str, list[float]] = {name: [] for name in POLICIES}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(given.rounds):
            runs = []
            for name, found in seconds.items():
                spent, run = seconds_a_chain(name, given.scene, Path(folder) / f"{number}-{len(runs)}")
                found.append(spent)
                runs.append(run)
            records = [[record.without_times() for record in run.records] for run in runs]
            if records[1:] != records[:-1]:
                raise SystemExit("expected the same records with and without looks_next, but they differ.")
    first = next(iter(seconds.values()))
    rows = []
    for name, found in seconds.items():
        times = [before / after for before, after in zip(first, found, strict=True)]
        rows.append(
            {
                f"scene {given.scene}, both images, one core": name,
                "ms a step": round(1e3 * median(found) / MAX_SUBTASK_STEPS, 2),
                "fastest": round(1e3 * min(found) / MAX_SUBTASK_STEPS, 2),
                "slowest": round(1e3 * max(found) / MAX_SUBTASK_STEPS, 2),
                "chains an hour": round(3600 / median(found)),
                "times the first": round(median(times), 2),
                "least": round(min(times), 2),
                "most": round(max(times), 2),
            }
        )
    print(pd.DataFrame(rows).to_markdown(index=False))


if __name__ == "__main__":
    main()
