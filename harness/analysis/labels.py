"""The name of each run in tables and figures where runs, not methods, are listed."""

from collections.abc import Sequence

from calvinbench.harness.analysis.methods import methods
from calvinbench.harness.records.runs import Run


def labels(runs: Sequence[Run]) -> tuple[str, ...]:
    """The runs' names, no two alike, privileged policies marked; training seeds are listed one by one."""
    names = {id(method.runs[0]): method.marked_name for method in methods(runs, seeds="each")}
    return tuple(names[id(run)] for run in runs)
