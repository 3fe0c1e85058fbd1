"""Chains an hour of a policy that looks at every fifth image: `python benchmarks/images_on_demand.py --scene D`.

A policy that executes five actions of each chunk (`first:5`) looks at every fifth image. With the method `looks_next`
it says so, and the other images are not rendered. Without it, all are. All variants answer instantly, with the same
actions, so that only the world and the harness take time. They run by turns on one core, each in a process of its own,
through `evaluate` with its oracle, records and files. A chain is one subtask that runs out of its 360 steps. Times are
CPU seconds, so that other work on the machine counts less. The records of all variants must be the same.

`--before-python FILE` names the Python of an earlier version of calvinbench, which is measured too.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from evaluation import Clock, InstantPolicy

from calvinbench.envs.chain_env import MAX_SUBTASK_STEPS
from calvinbench.harness.evaluation.evaluation import evaluate
from calvinbench.harness.records.records import ChainRecord
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


POLICIES: Mapping[str, type[InstantPolicy]] = {"all": InstantPolicy, "fifth": LookingPolicy, "none": BlankPolicy}


class CpuClock(Clock):
    """The CPU seconds of this process at which chains end."""

    def chain_finished(self, record: ChainRecord) -> None:
        """Stores the time."""
        self.ends.append(time.process_time())


def measure(kind: str, scene: str) -> dict[str, Any]:
    """CPU seconds of a chain of one variant, and a digest of the records without their times."""
    clock = CpuClock()
    setup = WorkerSetup(
        RunSettings(policy="instant", chains=CHAINS, scene=scene), make_policy=lambda spec, reset: POLICIES[kind]()
    )
    with tempfile.TemporaryDirectory() as folder:
        run = evaluate(setup, Path(folder) / "run", subscribers=[clock])
    records = repr([record.without_times() for record in run.records])
    digest = hashlib.sha256(records.encode()).hexdigest()
    return {"seconds": (clock.ends[-1] - clock.ends[0]) / (CHAINS - 1), "digest": digest}


def measured_by(python: str, kind: str, scene: str) -> dict[str, Any]:
    """What `measure` returns in a process of its own."""
    command = [python, __file__, "--scene", scene, "--measure", kind]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def main() -> None:
    """Measures and prints a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--scene", default="embedded", help="CALVIN's scenes need CALVIN_ENV_ROOT")
    parser.add_argument("--before-python", help="the Python of an earlier version")
    parser.add_argument("--measure", choices=POLICIES, help=argparse.SUPPRESS)
    given = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    if given.measure:
        print(json.dumps(measure(given.measure, given.scene)))
        return
    import pandas as pd

    here = sys.executable
    variants = {
        **({"the earlier version": (given.before_python, "all")} if given.before_python else {}),
        "without looks_next": (here, "all"),
        f"with looks_next, first:{EXECUTED}": (here, "fifth"),
        "no image after the first": (here, "none"),
    }
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    digests = set()
    for _ in range(given.rounds):
        for name, (python, kind) in variants.items():
            answer = measured_by(python, kind, given.scene)
            seconds[name].append(answer["seconds"])
            digests.add(answer["digest"])
    if len(digests) > 1:
        raise SystemExit("expected the same records of all variants, but they differ.")
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
                "middle half": "{:.2f} to {:.2f}".format(*np.percentile(times, [25, 75])),
            }
        )
    print(pd.DataFrame(rows).to_markdown(index=False))


if __name__ == "__main__":
    main()
