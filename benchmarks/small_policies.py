"""CPU time of small policies' steps, of this checkout and of another one: `python benchmarks/small_policies.py`.

    python benchmarks/small_policies.py --old /work/other/checkout

Each policy runs in a process of its own for each checkout, on one torch thread, one world. The processes step
alternately. Other work on the machine affects CPU seconds less than it affects the clock.
"""

import argparse
import subprocess
import sys
from pathlib import Path
from statistics import median

POLICIES = ("checkpoint:cnn", "untrained:minilm-effnet", "untrained:kosmos2", "untrained:uform", "untrained:flamingo")
SENTENCE = "take the blue block and rotate it to the right"


def serve(spec: str) -> None:
    """Steps the policy as many times as each line of the input says. Prints milliseconds and a sum of the actions."""
    import time

    import numpy as np
    import torch

    from calvinbench.envs.observation import Observation
    from calvinbench.policies.registry import make_policy

    torch.set_num_threads(1)
    policy = make_policy(spec)
    generator = np.random.default_rng(0)
    sides = {"rgb_static": 200, "rgb_gripper": 84}
    images = {key: generator.integers(0, 256, (1, side, side, 3), dtype=np.uint8) for key, side in sides.items()}
    observation = Observation(**images, robot_obs=np.zeros((1, 15)))
    state = policy.initial_state(1)
    for line in sys.stdin:
        began = time.process_time()
        poses = []
        for _ in range(int(line)):
            decision = policy.act(observation, [SENTENCE], state)
            state = decision.state
            poses.append(decision.actions)
        seconds = time.process_time() - began
        print(1e3 * seconds / int(line), *np.concatenate(poses).ravel()[-70:], flush=True)


def measure(spec: str, checkouts: list[Path], rounds: int, steps: int) -> tuple[list[list[float]], float]:
    """Milliseconds a step of each checkout in each round, and the largest difference of actions from the first's."""
    served = [
        subprocess.Popen(
            [folder / ".venv/bin/python", Path(__file__).resolve(), "--serve", spec],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for folder in checkouts
    ]
    times: list[list[float]] = [[] for _ in checkouts]
    difference = 0.0
    for turn in range(rounds + 1):
        answers = []
        for process in served:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(f"{steps}\n")
            process.stdin.flush()
            answers.append([float(word) for word in process.stdout.readline().split()])
        for found, answer in zip(times, answers, strict=True):
            if turn:  # the first round also warms up
                found.append(answer[0])
            difference = max(difference, *(abs(a - b) for a, b in zip(answer[1:], answers[0][1:], strict=True)))
    for process in served:
        assert process.stdin is not None
        process.stdin.close()
        process.wait()
    return times, difference


def main() -> None:
    """Measures and prints a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--old", type=Path, help="another checkout with its own .venv, to compare with")
    parser.add_argument("--policies", nargs="+", default=POLICIES, help="policy specs")
    parser.add_argument("--rounds", type=int, default=7, help="rounds; each checkout steps once a round")
    parser.add_argument("--steps", type=int, default=40, help="steps of a round")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.serve)
        return
    here = Path(__file__).resolve().parents[1]
    checkouts = [*([given.old.resolve()] if given.old else []), here]
    print("| policy | CPU ms a step, old | new | new, of old | difference of actions |\n|---|---|---|---|---|")
    for spec in given.policies:
        times, difference = measure(spec, checkouts, given.rounds, given.steps)
        old, new = median(times[0]), median(times[-1])
        ratio = median(b / a for a, b in zip(times[0], times[-1], strict=True))
        print(f"| {spec} | {old:.2f} | {new:.2f} | {ratio:.2f} | {difference:.1e} |", flush=True)


if __name__ == "__main__":
    main()
