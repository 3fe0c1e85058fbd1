"""One chain: a policy steps a world from the chain's initial state to its end."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium
import numpy as np

from calvinbench.envs.chain_env import ChainStatus
from calvinbench.envs.observation import Observation
from calvinbench.envs.world_info import privileged_state
from calvinbench.harness import clock
from calvinbench.harness.records.records import ChainRecord
from calvinbench.harness.rollout.attempts import WORLD_FAILED, Attempt
from calvinbench.harness.rollout.diary import Diary
from calvinbench.harness.rollout.jobs import ChainJob
from calvinbench.harness.rollout.looking import WorldStep, step_world
from calvinbench.harness.rollout.positions import Marker
from calvinbench.harness.rollout.step_rule import decide, executable_action, finish_step
from calvinbench.harness.rollout.time_limit import StepLimit
from calvinbench.policies.policy import Policy

_logger = logging.getLogger(__name__)


class _WorldRaisedError(Exception):
    """The world raised an error, not the policy."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(str(error))
        self.error = error


def run_chain(
    open_env: Callable[[], gymnasium.Env[Any, Any]],
    policy: Policy,
    job: ChainJob,
    limit: StepLimit = StepLimit(),  # noqa: B008  frozen
    close_env: Callable[[], None] | None = None,
    marker: Marker | None = None,
) -> ChainRecord:
    """Runs one chain to its end and returns its record.

    If the policy raises an error or calls `sys.exit`, the chain ends as `errored`: a failure at the subtask reached.
    Only Ctrl-C stops the run. If the world raises an error, `attempts` decides whether the chain is tried again, in a
    new world.

    Args:
        open_env: Returns a `ChainEnv`, or one that is wrapped; called once for each try.
        policy: The policy.
        job: Which chain.
        limit: How long the policy, and the world, may take for a step.
        close_env: Closes a world that raised an error, so that `open_env` makes another one. If None, the chain is
            tried once.
        marker: Where the chain's progress is noted; None for nowhere.
    """
    attempt = Attempt(job)
    while True:
        diary = Diary(job, policy.traits.action_convention, marker=marker)
        try:
            with limit.over_steps():
                _play(open_env, policy, job, diary, limit)
        except _WorldRaisedError as raised:
            diary.note_error(raised.error)
            what_happened = f"the world raised an error ({diary.error})"
            if close_env is not None and attempt.may_try_again(WORLD_FAILED, what_happened):
                close_env()
                continue
        except (Exception, SystemExit) as error:  # noqa: BLE001  an error is the chain's record, not the end of the run
            diary.note_error(error)
        if diary.error is not None:
            _logger.warning("chain %d errored: %s", job.number, diary.error)
        return diary.record()


@contextmanager
def _raised_by_world() -> Iterator[None]:
    """Marks the errors of the world, so that they are not taken for the policy's."""
    try:
        yield
    except (Exception, SystemExit) as error:
        raise _WorldRaisedError(error) from error


def _play(
    open_env: Callable[[], gymnasium.Env[Any, Any]], policy: Policy, job: ChainJob, diary: Diary, limit: StepLimit
) -> None:
    """Steps until the chain is over, and notes each step in the diary."""
    traits = policy.traits
    with _raised_by_world(), limit.of_reset():
        env = open_env()
        observation, info = env.reset(seed=job.seed, options={"chain": job.chain, "number": job.number})
    state = policy.initial_state(1, seeds=[job.seed])
    step = WorldStep(observation, info, ChainStatus.of(info), is_over=False, is_rendered=True)
    diary.begin_subtask(step.status.instruction)
    while not step.is_over:
        began = clock.seconds()
        with limit.of_policy():
            decision = decide(
                policy,
                Observation.stack([step.observation], traits.observation_keys, is_rendered=step.is_rendered),
                [step.status.instruction],
                state,
                [privileged_state(step.observation, step.info)] if traits.privileged else None,
            )
        action = executable_action(decision.actions[0], traits.action_convention)
        decided = clock.seconds()
        with _raised_by_world(), limit.of_world():
            step = step_world(env, action, traits.memory, looks=bool(decision.looks[0]))
        diary.note_step(action, decided - began, clock.seconds() - decided)
        state = decision.state
        if finish_step(diary, step.status, traits.memory, is_over=step.is_over):
            state = policy.reset_state(state, np.ones(1, dtype=bool))
