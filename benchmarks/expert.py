"""How well the scripted expert solves each of the 34 tasks, and the causes of its failures.

python benchmarks/expert.py                                    50 states a task on the embedded scene: a table
python benchmarks/expert.py --scene D --calvin-env DIR         the same on CALVIN's scene D
python benchmarks/expert.py --noise 0.15                       with noise on the actions, as a recorder adds it
python benchmarks/expert.py --causes results/expert-1000       runs a run's failed chains again: FOLDER/failures.md
"""

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean

import numpy as np
from expert_causes import cause, impossible
from expert_states import Attempt, Moment, Noise, as_executed, attempt, draw

from calvinbench.envs.chain_env import ChainEnv
from calvinbench.envs.chains import published
from calvinbench.envs.expert.expert import EXACT_M, NOISY_M, Expert
from calvinbench.envs.instructions import embedded_instructions
from calvinbench.envs.play_table import PlayTableEnv
from calvinbench.envs.tasks import TASKS
from calvinbench.envs.world_info import privileged_state
from calvinbench.harness import load_run

_MAX_DRAWS = 20
"""Most draws for each state that is needed."""


def measure(
    env: PlayTableEnv, task: str, num_states: int, seed: int, sigma: float
) -> tuple[list[Attempt], Counter[str]]:
    """Attempts at one task from drawn states that satisfy its precondition, and why other draws were dropped."""
    attempts: list[Attempt] = []
    dropped: Counter[str] = Counter()
    for number in range(num_states * _MAX_DRAWS):
        if len(attempts) == num_states:
            break
        generator = np.random.default_rng([seed, TASKS.index(task), number])
        drawn = draw(env, task, generator)
        if drawn is None:
            dropped["no task, or only failed tasks, lead to such a state"] += 1
            continue
        if why := impossible(task, drawn[0].world):
            dropped[why] += 1
            continue
        noise = Noise(generator, sigma) if sigma else as_executed
        attempts.append(attempt(env, drawn[0], task, Expert(tolerance_m=NOISY_M if sigma else EXACT_M), noise))
    return attempts, dropped


def print_tasks(env: PlayTableEnv, tasks: Sequence[str], num_states: int, seed: int, sigma: float) -> None:
    """Prints a row for each task as it is measured, then the rate over all."""
    print("| task | solved | mean steps | longest | failures | draws dropped |\n|---|---|---|---|---|---|", flush=True)
    rates = []
    for task in tasks:
        attempts, dropped = measure(env, task, num_states, seed, sigma)
        steps = [one.steps for one in attempts if one.steps is not None]
        failed = Counter(cause(task, one.start, one.end.world) for one in attempts if one.steps is None)
        words, others = ("; ".join(f"{count}x {why}" for why, count in found.items()) for found in (failed, dropped))
        length = f"{mean(steps):.0f} | {max(steps)}" if steps else "- | -"
        print(f"| {task} | {len(steps)}/{len(attempts)} | {length} | {words} | {others} |", flush=True)
        rates.append(len(steps) / max(1, len(attempts)))
    print(f"\nmean {100 * mean(rates):.1f}%, lowest {100 * min(rates):.1f}%")


def failed_chains(folder: Path) -> Iterator[int]:
    """Numbers of the chains that the expert did not finish in a run."""
    frame = load_run(folder).frame()
    failed = frame[frame["outcome"] != "solved"]
    yield from sorted(int(number) for number in failed["chain"].unique())


def explain(env: PlayTableEnv, numbers: Sequence[int]) -> Iterator[str]:
    """Rows of a table: each chain is run again, and the cause of its failed subtask is found."""
    chain_env = ChainEnv(env, embedded_instructions())
    for number in numbers:
        chain = published()[number]
        observation, info = chain_env.reset(options={"chain": chain, "number": number})
        start, expert = Moment(observation, info).world, Expert()
        while True:
            observation, _, terminated, truncated, info = chain_env.step(
                expert.act(privileged_state(observation, info))
            )
            now = Moment(observation, info).world
            if terminated or truncated:
                break
            if info["outcome"]:
                start, expert = now, Expert()
        if truncated:
            why = cause(info["task"], start, now)
            before = chain.subtasks[info["subtask"] - 1] if info["subtask"] else "-"
            yield f"| {number} | {info['subtask'] + 1} | {info['task']} | {before} | {why} |"
        else:
            yield f"| {number} | - | - | - | finished this time |"


def write_causes(env: PlayTableEnv, folder: Path) -> None:
    """Writes `failures.md` beside a run."""
    run = folder / "expert" if (folder / "expert").is_dir() else folder
    numbers = list(failed_chains(run))
    lines = [
        "# Chains that the expert did not finish\n",
        f"{len(numbers)} chains, each run again by `python benchmarks/expert.py --causes {folder} --scene "
        f"{env.scene.name}`.\n",
        "| chain | subtask | task | task before it | cause |\n|---|---|---|---|---|",
        *explain(env, numbers),
    ]
    (folder / "failures.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scene", default="embedded")
    parser.add_argument("--calvin-env", help="checkout of calvin_env, for CALVIN's scenes")
    parser.add_argument("--states", type=int, default=50, help="states for each task")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--task", choices=TASKS, action="append", metavar="TASK", help="this task only; may be repeated"
    )
    parser.add_argument("--noise", type=float, default=0.0, help="deviation of AR(1) noise on the pose's six numbers")
    parser.add_argument("--causes", type=Path, metavar="FOLDER", help="explain the failed chains of a run instead")
    given = parser.parse_args()
    env = PlayTableEnv(cameras=(), scene=given.scene, calvin_env=given.calvin_env)
    if given.causes:
        write_causes(env, given.causes)
    else:
        print_tasks(env, given.task or TASKS, given.states, given.seed, given.noise)
    env.close()


if __name__ == "__main__":
    main()
