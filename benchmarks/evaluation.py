"""The time of the harness besides the world: `python benchmarks/evaluation.py`.

    python benchmarks/evaluation.py             overhead of a step; two worlds compared with one. Some minutes
    python benchmarks/evaluation.py --expert    the expert on all 1000 chains without images: time, memory
    python benchmarks/evaluation.py --compare   `compare` on seven made-up runs of 1000 chains: seconds

The policy answers instantly, so that only the world and the harness take time. Overhead: the same chain with the same
actions, alternately in a loop that only calls `reset` and `step`, and through `evaluate` with its oracle, records and
files. Two worlds: alternately one and two, each in a process of its own. The time begins when all have started. For
comparison, the gain of two bare worlds and of two loops of plain Python on this machine, which shares its cores.
"""

import argparse
import multiprocessing
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from made_up_runs import write_made_up_runs
from world import CAMERAS, PLAIN_LOOP, Variant, World, two_to_one

from calvinbench.envs.chain_env import scene_of
from calvinbench.envs.chains import Chain, initial_observation, published
from calvinbench.envs.observation import ActionConvention, Observation
from calvinbench.harness.evaluation.evaluation import evaluate
from calvinbench.harness.records.description import RunDescription
from calvinbench.harness.records.records import ChainRecord
from calvinbench.harness.rollout.workers import WorkerSetup, make_play_table
from calvinbench.harness.suite.settings import RunSettings
from calvinbench.policies.policy import Decision, PolicyTraits

STEPS = 120
"""Steps of a chain in the first two parts. No chain is solved."""
_ACTIONS = np.random.default_rng(0).uniform(-0.3, 0.3, size=(STEPS, 7))
_ACTIONS[:, 6] = 1.0


class InstantPolicy:
    """Reads both images and moves along fixed actions, by a count of steps for each world."""

    @property
    def traits(self) -> PolicyTraits:
        """It reads both images."""
        return PolicyTraits(
            label="instant",
            action_convention=ActionConvention.REL_ACTIONS,
            observation_keys=("rgb_static", "rgb_gripper"),
        )

    def initial_state(self, batch_size: int, seeds: Sequence[int] | None = None) -> np.ndarray:
        """No step yet."""
        return np.zeros(batch_size, dtype=int)

    def reset_state(self, state: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """The count continues."""
        return state

    def put_state(self, state: np.ndarray, rows: np.ndarray, part: np.ndarray) -> np.ndarray:
        """The rows replaced by those of `part`."""
        state = state.copy()
        state[rows] = part
        return state

    def expect(self, instructions: Sequence[str]) -> None:
        """Has no effect: sentences are not read."""

    def act(
        self, observations: Observation, instructions: Sequence[str], state: np.ndarray, privileged: Any = None
    ) -> Decision:
        """The next action of each world."""
        return Decision(_ACTIONS[state % STEPS], state + 1)


def make_instant(spec: str, memory_reset: str | None) -> InstantPolicy:
    """The instant policy, as a `workers.PolicyFactory`."""
    return InstantPolicy()


def instant_setup(num_chains: int, batch_size: int = 1) -> WorkerSetup:
    """The instant policy on this number of chains of `STEPS` steps."""
    settings = RunSettings(policy="instant", chains=num_chains, max_steps=STEPS, batch_size=batch_size, step_timeout=0)
    return WorkerSetup(settings, make_policy=make_instant)


class ByTurns:
    """After each chain of a run, runs the same chain by a loop around a bare world."""

    def __init__(self, chains: Sequence[Chain]) -> None:
        """Makes the bare world.

        Args:
            chains: The chains of the run.
        """
        self._chains = chains
        self._world = make_play_table(instant_setup(1).settings, InstantPolicy().traits)
        self._ended = 0.0
        self.run: list[float] = []
        self.bare: list[float] = []

    def run_began(self, description: RunDescription, finished: Sequence[ChainRecord]) -> None:
        """The first chain also makes the world, so it does not count."""

    def chain_finished(self, record: ChainRecord) -> None:
        """Takes the time of the chain that has just ended, then of the loop."""
        now = time.perf_counter()
        if self._ended:
            self.run.append(now - self._ended)
            self.bare.append(self._loop(self._chains[record.chain]))
        self._ended = time.perf_counter()

    def run_ended(self) -> None:
        """Has no effect."""

    def _loop(self, chain: Chain) -> float:
        robot_obs, scene_obs = initial_observation(chain.initial_state, scene_of(self._world))
        began = time.perf_counter()
        self._world.reset(options={"robot_obs": robot_obs, "scene_obs": scene_obs})
        for action in _ACTIONS:
            self._world.step(action)
        return time.perf_counter() - began

    def close(self) -> None:
        """Closes the bare world."""
        self._world.close()


class Clock:
    """The times at which chains end."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def run_began(self, description: RunDescription, finished: Sequence[ChainRecord]) -> None:
        """Has no effect."""

    def chain_finished(self, record: ChainRecord) -> None:
        """Stores the time."""
        self.ends.append(time.perf_counter())

    def run_ended(self) -> None:
        """Has no effect."""


def overheads(num_chains: int, folder: Path) -> list[dict[str, Any]]:
    """Rows: the harness in the world's own process, and across processes."""
    rows = []
    for name, batch_size in (("a copy of the policy for each world", 1), ("batch, a world in its own process", 2)):
        turns = ByTurns(published())
        evaluate(instant_setup(num_chains, batch_size), folder / f"overhead-{batch_size}", subscribers=[turns])
        turns.close()
        ratios = [run / bare for run, bare in zip(turns.run, turns.bare, strict=True)]
        rows.append(
            {
                "one world, both images": name,
                "bare world, ms a step": round(1e3 * median(turns.bare) / STEPS, 3),
                "run, ms a step": round(1e3 * median(turns.run) / STEPS, 3),
                "overhead, %": f"{100 * (median(ratios) - 1):.1f}",
                "middle half of the rounds": "{:.1f} to {:.1f}".format(*(100 * np.percentile(ratios, [25, 75]) - 100)),
            }
        )
    return rows


def chains_per_second(num_worlds: int, num_chains: int, batch_size: int, folder: Path) -> float:
    """Steps a second while all worlds run. Chains are equally long, so that each world ends as many."""
    clock = Clock()
    evaluate(instant_setup(num_chains, batch_size), folder, worlds=num_worlds, subscribers=[clock])
    ends = clock.ends
    return (len(ends) - num_worlds) / (ends[-1] - ends[num_worlds - 1])


def scaling(rounds: int, folder: Path) -> list[dict[str, Any]]:
    """Rows: the speed of two together, as a multiple of one."""
    ratios: dict[str, list[float]] = {}
    shown = Variant("embedded", CAMERAS["both images"])
    pair = World(shown), World(shown)
    kinds = {"runs with a copy of the policy for each world": 1, "runs with one policy for both": 2}
    for number in range(rounds):
        for name, batch_size in kinds.items():
            one, two = (
                chains_per_second(worlds, 6 * worlds, batch_size, folder / f"{batch_size}-{worlds}-{number}")
                for worlds in (1, 2)
            )
            ratios.setdefault(name, []).append(two / one)
        ratios.setdefault("bare worlds that know nothing of each other", []).append(two_to_one(pair, 4 * STEPS))
        ratios.setdefault("loops of plain Python", []).append(two_to_one(pair, PLAIN_LOOP))
    for world in pair:
        world.close()
    return [
        {
            "two at once": name,
            "times one": f"{median(found):.2f}",
            "least": f"{min(found):.2f}",
            "most": f"{max(found):.2f}",
        }
        for name, found in ratios.items()
    ]


def comparing(num_runs: int, num_chains: int, rounds: int, folder: Path) -> list[dict[str, Any]]:
    """One row: the command as a user runs it, from start to end."""
    write_made_up_runs(folder, num_runs, num_chains)
    seconds = []
    for _ in range(rounds):
        began = time.perf_counter()
        command = [sys.executable, "-m", "calvinbench.harness.cli", "compare", str(folder)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - began)
    return [
        {
            "calvinbench compare": f"{num_runs} runs of {num_chains} chains",
            "seconds": round(median(seconds), 1),
            "fastest": round(min(seconds), 1),
            "slowest": round(max(seconds), 1),
        }
    ]


class Memory(Clock):
    """Memory of the driver and its worlds while chains end."""

    def __init__(self, every: int) -> None:
        super().__init__()
        self._every = every
        self._began = time.perf_counter()
        self.rows: list[dict[str, Any]] = []

    def chain_finished(self, record: ChainRecord) -> None:
        """Reads the memory from time to time."""
        super().chain_finished(record)
        if len(self.ends) % self._every == 0:
            worlds = [_resident_mb(child.pid) for child in multiprocessing.active_children()]
            self.rows.append(
                {
                    "chains": len(self.ends),
                    "minutes": round((self.ends[-1] - self._began) / 60, 2),
                    "driver, MB": round(_resident_mb("self")),
                    "worlds' processes, MB": ", ".join(f"{megabytes:.0f}" for megabytes in sorted(worlds)),
                }
            )


def _resident_mb(process: Any) -> float:
    status = dict(line.split(":", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines())
    return 1.024e-3 * int(status["VmRSS"].split()[0])


def main() -> None:
    """Measures and prints Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--rounds", type=int, default=5, help="rounds of the second part (the first has ten times as many)"
    )
    parser.add_argument("--expert", action="store_true", help="the 1000 chains of the expert instead")
    parser.add_argument("--compare", action="store_true", help="the comparison of seven made-up runs instead")
    parser.add_argument(
        "--chains", type=int, default=1000, help="number of chains of the expert, or of each made-up run"
    )
    given = parser.parse_args()
    # Imported here, so that the worlds' processes, which import this file too, do not load it.
    import pandas as pd

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if given.compare:
            print(pd.DataFrame(comparing(7, given.chains, given.rounds, folder)).to_markdown(index=False))
            return
        if given.expert:
            memory = Memory(every=max(1, given.chains // 10))
            setup = WorkerSetup(RunSettings(policy="expert", chains=given.chains))
            evaluate(setup, folder / "expert", worlds=2, subscribers=[memory])
            print(pd.DataFrame(memory.rows).to_markdown(index=False))
            return
        print(pd.DataFrame(overheads(10 * given.rounds, folder)).to_markdown(index=False), end="\n\n", flush=True)
        print(pd.DataFrame(scaling(given.rounds, folder)).to_markdown(index=False, disable_numparse=True))


if __name__ == "__main__":
    main()
