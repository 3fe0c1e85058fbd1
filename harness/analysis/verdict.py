"""The result of a comparison in one sentence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from calvinbench.harness.analysis.paired_statistics import PairedDifference
from calvinbench.harness.analysis.run_pairs import RunPair
from calvinbench.harness.counted import counted

_TOGETHER = "when the bootstrap draws initial states instead of chains"


@dataclass(frozen=True, slots=True)
class _Lead:
    """How far the best run is ahead of another."""

    over: str
    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:+.2f} [{self.low:+.2f}, {self.high:+.2f}], over {self.over}"


def verdict(
    averages: Mapping[str, float], pairs: Sequence[RunPair], best: Sequence[str], quantity: str, has_others: bool
) -> str:
    """The sentence. It says "better" only if both intervals (over chains, over initial states) exclude 0 and p agrees.

    Args:
        averages: Average lengths of the rivals, at least two, by label.
        pairs: All pairs of rivals.
        best: The best rival, and all that are not significantly different from it.
        quantity: What is compared, such as `"average length"`.
        has_others: Whether there are other runs, of privileged policies.
    """
    if len(pairs) == 1:
        return f"{_of_two(pairs[0], quantity)}{'; privileged policies excluded' if has_others else ''}."
    return f"{_of_several(averages, pairs, best, quantity, ', privileged policies excluded' if has_others else '')}."


def verdict_against(reference: str, pairs: Sequence[RunPair], quantity: str, has_others: bool) -> str:
    """The sentence if all runs are compared with one reference.

    Args:
        reference: Label of the reference.
        pairs: Each rival (first) and the reference (second).
        quantity: What is compared.
        has_others: Whether there are other runs, of privileged policies.
    """
    aside = ", privileged policies excluded" if has_others else ""
    significant = [pair for pair in pairs if pair.is_significant]
    groups = {
        "Better": [pair for pair in significant if pair.difference.value > 0],
        "Worse": [pair for pair in significant if pair.difference.value < 0],
        "Not significantly different": [pair for pair in pairs if not pair.is_significant],
    }
    parts = [f"{word}: {'; '.join(map(_change, group))}." for word, group in groups.items() if group]
    tests = f"{len(pairs)} tests, Holm, 5%" if len(pairs) > 1 else "5%"
    chains = counted(pairs[0].difference.num_chains, "chain")
    return " ".join([f"Against {reference} in {quantity} ({tests}){aside}, {chains}.", *parts])


def _change(pair: RunPair) -> str:
    interval = pair.difference.interval
    return f"{pair.first} {pair.difference.value:+.2f} [{interval.low:+.2f}, {interval.high:+.2f}]"


def _of_two(pair: RunPair, quantity: str) -> str:
    found = pair.difference
    numbers = f"{_interval(found)}, {counted(found.num_chains, 'chain')}"
    if pair.is_significant:
        better, worse = (pair.first, pair.second) if found.value > 0 else (pair.second, pair.first)
        return f"{better} is better than {worse} in {quantity}: {pair.first} minus {pair.second} is {numbers}"
    if pair.is_told_apart_by_chains:
        numbers += f", but {_interval(pair.clustered)} {_TOGETHER}"
    return f"{pair.first} and {pair.second} are not significantly different in {quantity}: {numbers}"


def _of_several(
    averages: Mapping[str, float], pairs: Sequence[RunPair], best: Sequence[str], quantity: str, aside: str
) -> str:
    top = max(best, key=lambda label: averages[label])
    own = [pair for pair in pairs if top in pair.labels]
    leads = [_lead(pair, top) for pair in own]
    in_what = f"in {quantity} (Holm, 5%){aside}"
    chains = counted(own[0].difference.num_chains, "chain")
    if len(best) == len(averages):
        largest = max(leads, key=lambda lead: lead.value)
        words = f"None of the {len(averages)} methods is significantly different from the best, {top}, {in_what}: "
        words += "its largest lead is "
        return f"{words}{largest}, {chains}{_qualification(own, top)}"
    alike = [label for label in best if label != top]
    smallest = min((lead for lead in leads if lead.over not in best), key=lambda lead: lead.value)
    if alike:
        words = f"{top} is not significantly different from {_listed(alike)}, and better than the rest"
    else:
        words = f"{top} is better than all others"
    return f"{words} {in_what}: its smallest lead over these is {smallest}, {chains}{_qualification(own, top)}"


def _qualification(pairs: Sequence[RunPair], top: str) -> str:
    """Names the runs whose difference is significant over chains, but not over initial states."""
    names = [
        _lead(pair, top).over for pair in pairs if pair.is_told_apart_by_chains and not pair.is_told_apart_by_states
    ]
    return f"; its lead over {_listed(names)} excludes 0 over chains, but not {_TOGETHER}" if names else ""


def _lead(pair: RunPair, top: str) -> _Lead:
    value, interval = pair.difference.value, pair.difference.interval
    if pair.first == top:
        return _Lead(pair.second, value, interval.low, interval.high)
    return _Lead(pair.first, -value, -interval.high, -interval.low)


def _interval(difference: PairedDifference) -> str:
    interval = difference.interval
    return f"{difference.value:+.2f} [{interval.low:+.2f}, {interval.high:+.2f}], p = {difference.p_value:.2g}"


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
