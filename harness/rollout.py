"""One chain: a policy steps a world from the chain's initial state to its end."""

import logging
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float64

from calvinbench.envs.chain_env import SOLVED, ChainEnv, privileged_state
from calvinbench.envs.chains import Chain
from calvinbench.envs.observation import Observation, require_finite_action
from calvinbench.harness import clock
from calvinbench.harness.records import ERRORED, ChainRecord, SubtaskRecord
from calvinbench.policies.policy import Decision, Policy, PolicyTraits, State

_MAX_ERROR_LENGTH = 500
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ChainJob:
    """A chain to be run.

    Attributes:
        number: Its number in the list of chains.
        chain: The chain.
        seed: For the policy's random draws in this chain.
    """

    number: int
    chain: Chain
    seed: int


def make_job(number: int, chain: Chain, run_seed: int) -> ChainJob:
    """A job whose seed depends on the run's seed and the chain's number alone, not on the order of running."""
    seed = int(np.random.SeedSequence([run_seed, number]).generate_state(1)[0])
    return ChainJob(number, chain, seed)


def run_chain(open_env: Callable[[], ChainEnv], policy: Policy, job: ChainJob) -> ChainRecord:
    """Runs one chain to its end and says how it went.

    Whatever the world or the policy raises ends the chain as `errored`: a failure at the subtask reached. So does a
    policy that calls `sys.exit`; only Ctrl-C stops the run.

    Args:
        open_env: Gives the world; called once.
        policy: The policy.
        job: Which chain.
    """
    diary = _Diary(job)
    try:
        _play(open_env(), policy, job, diary)
    except (Exception, SystemExit) as error:  # noqa: BLE001  a chain in which anything raised is a record, not the end of the run
        diary.note_error(error)
        _logger.warning("chain %d errored: %s", job.number, diary.error)
    return diary.record()


def _play(env: ChainEnv, policy: Policy, job: ChainJob, diary: "_Diary") -> None:
    """Steps until the chain is over, telling the diary."""
    traits = policy.traits
    observation, info = env.reset(seed=job.seed, options={"chain": job.chain, "number": job.number})
    state = policy.initial_state(1, seeds=[job.seed])
    diary.begin_subtask(info)
    is_over = False
    while not is_over:
        began = clock.seconds()
        decision = _decide(policy, observation, info, state)
        action = _only_action(decision, traits)
        decided = clock.seconds()
        observation, _, terminated, truncated, info = env.step(action)
        diary.note_step(action, decided - began, clock.seconds() - decided)
        state = decision.state
        is_over = terminated or truncated
        if info["outcome"] is not None:
            diary.end_subtask(info["outcome"])
        if info["outcome"] == SOLVED and not is_over:
            diary.begin_subtask(info)
            if traits.memory.reset == "subtask":
                state = policy.reset_state(state, np.ones(1, dtype=bool))


def _decide(policy: Policy, observation: Mapping[str, np.ndarray], info: Mapping[str, Any], state: State) -> Decision:
    traits = policy.traits
    return policy.act(
        Observation.stack([observation], traits.observation_keys),
        [info["instruction"]],
        state,
        [privileged_state(observation, info)] if traits.privileged else None,
    )


def _only_action(decision: Decision, traits: PolicyTraits) -> Float64[np.ndarray, " action_dim"]:
    """The action of the one world, refused in words if it is not one."""
    actions = np.asarray(decision.actions)
    expected = (1, traits.action_convention.action_dim)
    if actions.shape != expected:
        raise ValueError(
            f"expected act to return actions of shape {expected} for one world and '{traits.action_convention}', "
            f"got {actions.shape}. Return one action for each world: no chunk axis, no missing batch axis."
        )
    return require_finite_action(actions[0], traits.action_convention)


@dataclass(slots=True)
class _Diary:
    """Takes notes while a chain runs, and makes the record of them."""

    job: ChainJob
    subtasks: list[SubtaskRecord] = field(default_factory=list)
    error: str | None = None
    traceback: str | None = None
    _instruction: str = ""
    _began: float = field(default_factory=clock.seconds)
    _policy_seconds: list[float] = field(default_factory=list)
    _world_seconds: list[float] = field(default_factory=list)
    _changes: list[float] = field(default_factory=list)
    _last_action: Float64[np.ndarray, " action_dim"] | None = None

    def begin_subtask(self, info: Mapping[str, Any]) -> None:
        self._instruction = info["instruction"]
        self._began = clock.seconds()
        self._policy_seconds, self._world_seconds, self._changes = [], [], []
        self._last_action = None

    def note_step(
        self, action: Float64[np.ndarray, " action_dim"], policy_seconds: float, world_seconds: float
    ) -> None:
        self._policy_seconds.append(policy_seconds)
        self._world_seconds.append(world_seconds)
        if self._last_action is not None:
            self._changes.append(float(np.linalg.norm((action - self._last_action)[:-1])))
        self._last_action = action

    def end_subtask(self, outcome: str) -> None:
        self.subtasks.append(
            SubtaskRecord(
                task=self.job.chain.subtasks[len(self.subtasks)],
                instruction=self._instruction,
                outcome=outcome,
                steps=len(self._policy_seconds),
                seconds=round(clock.seconds() - self._began, 6),
                policy_ms=_mean(self._policy_seconds, scale=1e3),
                world_ms=_mean(self._world_seconds, scale=1e3),
                action_change=_mean(self._changes),
            )
        )

    def note_error(self, error: BaseException) -> None:
        last_lines = "".join(traceback.format_exception_only(error))
        self.error = " ".join(last_lines.split())[:_MAX_ERROR_LENGTH]
        self.traceback = "".join(traceback.format_exception(error))
        self.end_subtask(ERRORED)

    def record(self) -> ChainRecord:
        return ChainRecord(
            chain=self.job.number,
            initial_state=dict(self.job.chain.initial_state),
            subtasks=tuple(self.subtasks),
            completed=sum(subtask.outcome == SOLVED for subtask in self.subtasks),
            outcome=self.subtasks[-1].outcome,
            error=self.error,
            traceback=self.traceback,
        )


def errored_record(job: ChainJob, error: Exception) -> ChainRecord:
    """The record of a chain that could not be run at all, such as one whose process died."""
    diary = _Diary(job)
    diary.note_error(error)
    return diary.record()


def _mean(values: list[float], scale: float = 1.0) -> float | None:
    return round(scale * float(np.mean(values)), 6) if values else None
