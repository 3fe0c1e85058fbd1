"""What tables and figures call each run, so that no two are called alike."""

from collections import Counter
from collections.abc import Callable, Sequence

from calvinbench.harness.records.runs import Run

PRIVILEGED_MARK = "†"
_TELLING: tuple[Callable[[Run], str], ...] = (
    lambda run: f"training seed {run.description.training_seed}",
    lambda run: f"memory {run.description.memory.span}",
    lambda run: f"chunk rule {run.description.chunk_rule}",
    lambda run: run.description.policy,
    lambda run: f"scene {run.description.scene}",
    lambda run: f"{run.description.instructions}'s sentences",
    lambda run: f"{run.description.simulation} simulation",
    lambda run: run.description.renderer,
    lambda run: f"{run.description.depth_bits or 'unknown'} depth bits",
    lambda run: f"seed {run.description.seed}",
    lambda run: f"memory reset at {run.description.memory.reset}",
    lambda run: run.directory.as_posix(),
)
"""What runs of one label may differ in, the most telling first."""


def memory_in_words(run: Run) -> str:
    """What the policy remembers and when it forgets, such as `window:8, reset at subtask`."""
    memory = run.description.memory
    return f"{memory.span}, reset at {memory.reset}" if memory.span != "none" else "none"


def labels(runs: Sequence[Run]) -> tuple[str, ...]:
    """The runs' labels, privileged policies marked; runs of one label are told apart by what differs between them."""
    names = [run.description.name for run in runs]
    for tell in _TELLING:
        counts = Counter(names)
        for name in [name for name, count in counts.items() if count > 1]:
            alike = [index for index, other in enumerate(names) if other == name]
            if len({tell(runs[index]) for index in alike}) > 1:
                for index in alike:
                    names[index] = f"{name}, {tell(runs[index])}"
    return tuple(
        f"{name} {PRIVILEGED_MARK}" if run.description.privileged else name
        for name, run in zip(names, runs, strict=True)
    )
