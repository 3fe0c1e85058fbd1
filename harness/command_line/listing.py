"""Descriptions of names for `calvinbench list`: what each is, and what it costs."""

import math
from collections import Counter
from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType

SECONDS_PER_CHAIN = 5.0
"""Chains per hour in one world, for the small policies that ship, on two cores (measured, see results/README.md)."""
_POLICIES: Mapping[str, str] = MappingProxyType(
    {
        "calvin": "calvin:package.module:Class, a model with CALVIN's interface: reset() and step(obs, goal)",
        "checkpoint": "checkpoint:DIR, a policy that `calvinbench train` wrote; checkpoint:cnn ships with calvinbench",
        "expert": "the scripted expert, which reads the simulator's state; a reference near the maximum",
        "python": "python:package.module:factory, a policy written in Python",
        "random": "random actions; a reference near zero",
        "robovlms": "robovlms:FILE.pt,config=FILE.json, a checkpoint of RoboVLMs",
        "untrained": "untrained:BACKBONE, a policy with random weights, such as untrained:kosmos2",
        "ws": "ws://HOST:PORT, a policy server, such as openpi's",
    }
)
_GPUS = "full size, needs GPUs; memory and hours are in docs/reproduce.md"
_TRAININGS: Mapping[str, str] = MappingProxyType(
    {
        "cnn": "94 minutes on two cores",
        "comparison": "10 to 15 minutes on two cores",
        "fixtures-cnn": "16 minutes on two cores",
        "fixtures-minilm-effnet": "52 minutes on two cores",
        "fixtures-paligemma": "within an hour on two cores",
    }
)
"""Measured times (see results/README.md). All other configurations train VLMs in full size."""


def policy_lines() -> dict[str, str]:
    """A description of each kind of policy."""
    from calvinbench.policies.registry import POLICY_KINDS

    return {kind: _POLICIES.get(kind, "") for kind in POLICY_KINDS}


def suite_lines() -> dict[str, str]:
    """Number of runs and chains, scene and minutes of each shipped suite."""
    from calvinbench.harness.suite.reading import load_suite, shipped_suites

    lines = {}
    for name in shipped_suites():
        suite = load_suite(name)
        runs = suite.runs
        num_chains = sum(run.chains for run in runs)
        minutes = math.ceil(num_chains * SECONDS_PER_CHAIN / suite.worlds / 60)
        scenes = ", ".join(dict.fromkeys(run.scene for run in runs))
        lines[name] = f"{len(runs)} runs of {runs[0].chains} chains, scene {scenes}, about {_duration(minutes)}"
    return lines


def configuration_lines() -> dict[str, str]:
    """The policy that each shipped configuration trains, and the time it takes."""
    from calvinbench.harness.training.call import shipped_configurations

    folder = files("calvinbench.harness.training.configurations")
    lines = {}
    for name in shipped_configurations():
        first = folder.joinpath(f"{name}.yaml").read_text("utf-8").partition("\n")[0]
        lines[name] = f"{first.lstrip('# ')}; {_TRAININGS.get(name, _GPUS)}"
    return lines


def published_lines() -> dict[str, str]:
    """The number of published results for each split."""
    from calvinbench.harness.report.published_results import published_results, published_splits

    lines = {}
    for split in published_splits():
        counts = Counter(result.is_second_hand for result in published_results(split, second_hand=True))
        lines[split] = f"{counts[False]} first-hand rows, {counts[True]} second-hand (report --second-hand)"
    return lines


def _duration(minutes: int) -> str:
    return f"{minutes} minutes" if minutes < 120 else f"{minutes / 60:.0f} hours"
