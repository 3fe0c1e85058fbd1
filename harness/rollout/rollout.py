"""One chain: a policy steps a world from the chain's initial state to its end."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import gymnasium
import numpy as np
from jaxtyping import Float64

from calvinbench.envs.chain_env import SOLVED
from calvinbench.envs.observation import Observation, require_finite_action
from calvinbench.envs.world_info import privileged_state
from calvinbench.harness import clock
from calvinbench.harness.records.records import ChainRecord
from calvinbench.harness.rollout.diary import Diary
from calvinbench.harness.rollout.jobs import ChainJob
from calvinbench.harness.rollout.positions import Marker
from calvinbench.harness.rollout.time_limit import StepLimit
from calvinbench.policies.adapters.absolute_pose import with_euler_angles
from calvinbench.policies.policy import Decision, Policy, PolicyTraits, State

_logger = logging.getLogger(__name__)


class _WorldRaisedError(Exception):
    """A world raised an error; a policy did not."""

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
    """Runs one chain to its end and says how it went.

    Whatever the policy raises ends the chain as `errored`: a failure at the subtask reached. So does a policy that
    calls `sys.exit`; only Ctrl-C stops the run. If the world raises, the chain is tried once more in a world that is
    made anew, before it ends so.

    Args:
        open_env: Gives a `ChainEnv`, or one that is wrapped; called once a try.
        policy: The policy.
        job: Which chain.
        limit: How long the policy, and the world, may take for a step.
        close_env: Closes a world that raised, so that `open_env` makes another; None where the chain is not to be tried
            again.
        marker: Where it is noted how far the chain is; None for nowhere.
    """
    diary = Diary(job, policy.traits.action_convention, marker=marker)
    try:
        with limit.over_steps():
            _play(open_env, policy, job, diary, limit)
    except _WorldRaisedError as raised:
        diary.note_error(raised.error)
        if close_env is not None:
            _logger.warning("the world raised an error, chain %d is tried once more: %s", job.number, diary.error)
            close_env()
            return run_chain(open_env, policy, job, limit, marker=marker)
        _logger.warning("chain %d errored: %s", job.number, diary.error)
    except (Exception, SystemExit) as error:  # noqa: BLE001  a chain in which anything raised is a record, not the end of the run
        diary.note_error(error)
        _logger.warning("chain %d errored: %s", job.number, diary.error)
    return diary.record()


@contextmanager
def _raised_by_world() -> Iterator[None]:
    """Tells the world's errors from the policy's."""
    try:
        yield
    except (Exception, SystemExit) as error:
        raise _WorldRaisedError(error) from error


def _play(
    open_env: Callable[[], gymnasium.Env[Any, Any]], policy: Policy, job: ChainJob, diary: Diary, limit: StepLimit
) -> None:
    """Steps until the chain is over, telling the diary."""
    traits = policy.traits
    with _raised_by_world(), limit.of_reset():
        env = open_env()
        observation, info = env.reset(seed=job.seed, options={"chain": job.chain, "number": job.number})
    state = policy.initial_state(1, seeds=[job.seed])
    diary.begin_subtask(info["instruction"])
    is_over = False
    while not is_over:
        began = clock.seconds()
        with limit.of_policy():
            decision = _decide(policy, observation, info, state)
        action = _only_action(decision, traits)
        decided = clock.seconds()
        with _raised_by_world(), limit.of_world():
            observation, _, terminated, truncated, info = env.step(action)
        diary.note_step(action, decided - began, clock.seconds() - decided)
        state = decision.state
        is_over = terminated or truncated
        if info["outcome"] is not None:
            diary.end_subtask(info["outcome"])
        if info["outcome"] == SOLVED and not is_over:
            diary.begin_subtask(info["instruction"])
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
    expected = [(1, dim) for dim in traits.action_convention.dims]
    if actions.shape not in expected:
        raise ValueError(
            f"expected act to return actions of shape {expected[0]} for one world and '{traits.action_convention}', "
            f"got {actions.shape}. Return one action for each world: no chunk axis, no missing batch axis."
        )
    convention = traits.action_convention
    return with_euler_angles(require_finite_action(actions[0], convention), convention)
