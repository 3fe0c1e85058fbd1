"""Checks a policy for about a minute: in the expert's states, with changed inputs, and acting by itself."""

import logging
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace

from calvinbench.envs.chain_env import SOLVED, ChainEnv
from calvinbench.envs.chains import published
from calvinbench.envs.observation import ActionConvention
from calvinbench.envs.task_chains import single_task_chains
from calvinbench.harness import clock
from calvinbench.harness.evaluation.conventions import require_same_conventions
from calvinbench.harness.policy_check.actions import NumberRow, ShadowedActions, judge_actions
from calvinbench.harness.policy_check.answering import judge_answers, judge_speed
from calvinbench.harness.policy_check.finding import Finding, error_in_words
from calvinbench.harness.policy_check.shadow import ShadowedSubtask, shadow
from calvinbench.harness.records.records import ERRORED, ChainRecord
from calvinbench.harness.rollout.jobs import make_job
from calvinbench.harness.rollout.workers import Worker, WorkerSetup, one_torch_thread

SHADOW_SHARE = 0.5
"""Share of the time in the expert's states. Then inputs are changed; in the remaining time the policy acts itself."""
DRIVEN_TASKS = (
    *("open_drawer", "turn_on_led", "move_slider_left", "lift_red_block_table"),
    *("turn_on_lightbulb", "push_blue_block_right", "rotate_pink_block_left", "close_drawer"),
)
"""Tasks that the policy tries itself, in this order. None of them needs another task done first."""
_MOST_LINES = 5
"""Lines of a traceback that are shown."""
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PolicyCheck:
    """The result of a check.

    Attributes:
        policy: Its spec.
        label: Its name.
        scene: Name of the scene.
        findings: In the order of the checks.
        numbers: The seven numbers of its actions beside the expert's.
        num_steps: Steps of the expert in which it was asked.
        num_subtasks: Subtasks of these steps.
        driven: Tasks that it tried itself.
        solved: Those that it solved.
    """

    policy: str
    label: str
    scene: str
    findings: tuple[Finding, ...]
    numbers: tuple[NumberRow, ...]
    num_steps: int
    num_subtasks: int
    driven: tuple[str, ...]
    solved: tuple[str, ...]

    @property
    def looks_wrong(self) -> bool:
        """Whether any finding is `wrong`."""
        return any(finding.status == "wrong" for finding in self.findings)


def check_by_stepping(setup: WorkerSetup, seconds: float = 60.0, max_chains: int = 10) -> PolicyCheck:
    """Makes a policy and its world, and checks the policy.

    Args:
        setup: The policy, the scene and how they are made.
        seconds: Approximate duration after both are made.
        max_chains: Most published chains that the expert runs.

    Raises:
        ValueError: A number is not above 0, or the spec or the scene cannot be used.
        RunFailedError: The policy or the world cannot be made.
    """
    if not seconds > 0 or max_chains < 1:
        raise ValueError(f"expected seconds above 0 and at least 1 chain, got {seconds:g} and {max_chains}.")
    worker = Worker(setup)
    try:
        with one_torch_thread():
            return _check(setup, worker, seconds, max_chains)
    finally:
        worker.close()


def _check(setup: WorkerSetup, worker: Worker, seconds: float, max_chains: int) -> PolicyCheck:
    settings, policy = setup.settings, worker.policy
    require_same_conventions(policy.traits, worker.world)
    findings: list[Finding] = []
    subtasks: list[ShadowedSubtask] = []
    driven: dict[str, str] = {}
    began = clock.seconds()
    try:
        _logger.info("asking %s in the states that the expert visits", policy.traits.label)
        jobs = [make_job(number, chain, settings.seed) for number, chain in enumerate(published()[:max_chains])]
        with _expert_env(setup, worker) as env:
            shadow(env, policy, jobs, _is_past(began + SHADOW_SHARE * seconds), subtasks)
        _logger.info("changing its images and sentences")
        findings.extend(judge_answers(policy, subtasks))
        _logger.info("letting it act by itself")
        findings.append(_drive(worker, driven, began + seconds))
    except Exception as error:  # noqa: BLE001  an error of the policy is a finding
        findings.append(Finding("error", "wrong", error_in_words(error)))
    numbers: tuple[NumberRow, ...] = ()
    subtasks = [subtask for subtask in subtasks if subtask.answers]
    if subtasks:
        shadowed = ShadowedActions.of(subtasks, policy.traits.action_convention)
        numbers = shadowed.rows()
        findings = [*judge_actions(shadowed), *findings, judge_speed(subtasks)]
    elif not findings or findings[-1].status != "wrong":
        findings.insert(0, Finding("actions", "unknown", "cannot tell: no time for a step; use more --seconds"))
    return PolicyCheck(
        policy=settings.policy,
        label=policy.traits.label,
        scene=settings.scene,
        findings=tuple(findings),
        numbers=numbers,
        num_steps=sum(len(subtask.answers) for subtask in subtasks),
        num_subtasks=len(subtasks),
        driven=tuple(driven),
        solved=tuple(task for task, outcome in driven.items() if outcome == SOLVED),
    )


@contextmanager
def _expert_env(setup: WorkerSetup, worker: Worker) -> Iterator[ChainEnv]:
    """Chains in a world that takes the expert's relative actions and shows what the policy reads."""
    traits = replace(worker.policy.traits, action_convention=ActionConvention.REL_ACTIONS)
    with closing(setup.make_world(setup.settings, traits)) as world:
        yield ChainEnv(world, worker.instructions, setup.settings.max_steps)


def _is_past(end: float) -> Callable[[], bool]:
    return lambda: clock.seconds() >= end


def _drive(worker: Worker, driven: dict[str, str], end: float) -> Finding:
    """Lets the policy try one task after another, while there is time."""
    began = clock.seconds()
    for number, task in enumerate(DRIVEN_TASKS):
        took = (clock.seconds() - began) / max(len(driven), 1)
        if clock.seconds() + (took / 2 if driven else 0.0) > end:
            break
        (chain,) = single_task_chains([task], 1)
        record = worker.run(make_job(number, chain, 0))
        driven[task] = record.outcome
        if record.outcome == ERRORED:
            return Finding("acting itself", "wrong", f"'{task}': {_last_lines(record)}")
    solved = [task for task, outcome in driven.items() if outcome == SOLVED]
    if not driven:
        return Finding("acting itself", "unknown", "no time was left for it; use more --seconds")
    return Finding(
        "acting itself", "note", f"solved {len(solved)} of {len(driven)} tasks: {', '.join(solved) or 'none'}"
    )


def _last_lines(record: ChainRecord) -> str:
    lines = [line for line in (record.traceback or record.error or "").splitlines() if line.strip("^~ ")]
    return "\n".join(lines[-_MOST_LINES:])
