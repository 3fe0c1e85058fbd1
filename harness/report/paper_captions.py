"""Captions of a paper's figures: what is shown, the number of chains, the intervals and the tests."""

from collections.abc import Sequence

from calvinbench.harness.analysis.comparable import are_of_tasks
from calvinbench.harness.analysis.comparison import Comparison
from calvinbench.harness.analysis.methods import Method
from calvinbench.harness.analysis.speed import FRAME_MS
from calvinbench.harness.report.plots.conditional import FEW as FEW_CHAINS
from calvinbench.harness.report.plots.drawing.curves import MOST_TOGETHER
from calvinbench.harness.report.plots.task_success import FEW


def captions(found: Sequence[Method], comparison: Comparison | None) -> dict[str, str]:
    """A caption for each figure by its file name, as plain text.

    Args:
        found: The methods that are shown.
        comparison: Of these methods; None if there is nothing to compare.
    """
    chains = _num_chains(found)
    quantity = "success" if are_of_tasks([run for method in found for run in method.runs]) else "average length"
    seeds = _seeds(found)
    panels = (
        " Each panel shows one method, with the others in grey and its average length in the corner."
        if len(found) > MOST_TOGETHER
        else ""
    )
    all_captions = {
        "survival": (
            f"Chains with at least k subtasks completed in a row ({chains}). Bars or bands: 95%, simultaneous over k, "
            f"by bootstrap over chains.{_seeds(found, 'bands: 95% at each k, over seeds and chains')}{panels}"
        ),
        "conditional": (
            f"Success at position k of a chain, of the chains that solved the k-1 before ({chains}). "
            f"Bars or bands: 95% Wilson intervals (Clopper-Pearson's for few chains or near 0 and 1)."
            f"{_pooled(found, ', with intervals over seeds and chains')} Outlined: fewer than {FEW_CHAINS} chains."
            f"{panels.replace(' and its average length in the corner', '')}"
        ),
        "tasks": (
            f"Success of each task in percent of the times that it was reached ({chains}). n is the number of times, "
            f"the least and the most over methods. Italics: fewer than {FEW} times. A point: never reached."
            f"{_pooled(found)}"
        ),
        "latency": (
            "Time of the policy per step: the median (mark) to the 95th percentile (end of the line). Dashed: "
            f"{FRAME_MS:.0f} ms, which 30 actions per second leave ({chains})."
        ),
        "tradeoff": (
            f"Mean {quantity} against the policy's median time per step ({chains}). Bars: 95% intervals of the mean, "
            f"by bootstrap over chains.{seeds}"
        ),
        "memory": (
            f"Mean {quantity} by the length of the memory ({chains}). Lines join policies that differ in it only. "
            f"Bars: 95% intervals of the mean, by bootstrap over chains.{seeds}"
        ),
        "first-failures": (
            f"Where chains ended: percent of each method's chains whose first failure was at a position and at a task "
            f"({chains}).{_pooled(found)}"
            if len(found) > 1
            else f"Where chains ended: number of chains by the task and the position of their first failure ({chains})."
        ),
    }
    if comparison is not None:
        all_captions["pairs"] = _of_pairs(comparison, quantity)
    return all_captions


def _of_pairs(comparison: Comparison, quantity: str) -> str:
    tests = "sign-flip permutation tests on chains and on initial states, Holm's correction over all pairs, 5%"
    variance = (
        " For methods with several training seeds, intervals and tests also cover the variance over seeds."
        if comparison.has_seeds
        else " Intervals do not cover training-seed variance."
    )
    return (
        f"Paired differences in mean {quantity} on the same {comparison.num_chains} chains, with 95% intervals by "
        f"bootstrap over chains. Filled marks: significant ({tests}).{variance}"
    )


def _num_chains(found: Sequence[Method]) -> str:
    counts = sorted({len(method.chains) for method in found})
    text = f"n = {counts[0]}" if len(counts) == 1 else f"n = {counts[0]} to {counts[-1]}"
    return (
        f"{text} chains per training seed" if any(method.has_seeds for method in found) else f"{text} chains per method"
    )


def _seeds(found: Sequence[Method], words: str = "intervals over seeds and chains") -> str:
    several = [f"{method.name} ({len(method.runs)})" for method in found if method.has_seeds]
    return f" Means over training seeds, with {words}: {', '.join(several)}." if several else ""


def _pooled(found: Sequence[Method], remark: str = "") -> str:
    several = [f"{method.name} ({len(method.runs)})" for method in found if method.has_seeds]
    return f" Training seeds counted together{remark}: {', '.join(several)}." if several else ""
