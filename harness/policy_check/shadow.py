"""The expert runs chains, and at each step the policy is asked for its action.

The policy's actions are not executed. A policy with a defect therefore sees the same states as one without, and each
action can be compared with the expert's in the same state.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import gymnasium
import numpy as np
from jaxtyping import Float64
from scipy.spatial.transform import Rotation

from calvinbench.envs.chain_env import SOLVED, ChainStatus
from calvinbench.envs.observation import (
    MAX_RELATIVE_EULER_RAD,
    MAX_RELATIVE_POSITION_M,
    ActionConvention,
    Observation,
    require_finite_action,
)
from calvinbench.envs.world_info import PrivilegedState, privileged_state
from calvinbench.harness import clock
from calvinbench.harness.rollout.jobs import ChainJob
from calvinbench.policies.baselines.expert import make_expert_policy
from calvinbench.policies.policy import BatchedPolicy, Policy, State


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """The inputs of a policy at one step.

    Attributes:
        observation: What the policy reads, of one world.
        instruction: The sentence.
        privileged: The world's true state.
    """

    observation: Mapping[str, np.ndarray]
    instruction: str
    privileged: PrivilegedState


@dataclass(slots=True)
class ShadowedSubtask:
    """A subtask of the expert, with the policy's answers.

    Attributes:
        task: The task's name.
        moments: The policy's inputs; only the first `MAX_MOMENTS`, because images take memory.
        answers: The policy's actions, in its own convention.
        expert: The expert's relative actions in the same states.
        tool: The tool's euler xyz in the same states.
        targets: The target's pose in the same states: position in metres, euler xyz in radians.
        seconds: Time of each answer of the policy.
    """

    task: str
    moments: list[Moment] = field(default_factory=list)
    answers: list[np.ndarray] = field(default_factory=list)
    expert: list[np.ndarray] = field(default_factory=list)
    tool: list[np.ndarray] = field(default_factory=list)
    targets: list[np.ndarray] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


MAX_MOMENTS = 40
_NO_LENGTH = 1e-6
_NO_TURN = (0.0, 0.0, 0.0, 1.0)


def shadow(
    env: gymnasium.Env[Any, Any],
    policy: Policy,
    jobs: Sequence[ChainJob],
    is_over: Callable[[], bool],
    subtasks: list[ShadowedSubtask],
) -> None:
    """Runs chains by the expert, and asks the policy at each step.

    Args:
        env: A `ChainEnv` around a world that takes relative actions and shows what the policy reads.
        policy: The policy.
        jobs: The chains.
        is_over: Whether the time is over; asked before each step.
        subtasks: Each subtask is added here when it begins, so that results before an error are kept.

    Raises:
        Exception: What the policy raises; ValueError or TypeError for an invalid action.
    """
    for job in jobs:
        _shadow_chain(env, policy, job, is_over, subtasks)
        if is_over():
            return


def _shadow_chain(
    env: gymnasium.Env[Any, Any],
    policy: Policy,
    job: ChainJob,
    is_over: Callable[[], bool],
    subtasks: list[ShadowedSubtask],
) -> None:
    expert = make_expert_policy(None)
    observation, info = env.reset(seed=job.seed, options={"chain": job.chain, "number": job.number})
    state, expert_state = policy.initial_state(1, seeds=[job.seed]), expert.initial_state(1)
    subtask = ShadowedSubtask(ChainStatus.of(info).task)
    subtasks.append(subtask)
    ended = False
    while not (ended or is_over()):
        moment = moment_of(observation, info, policy)
        began = clock.seconds()
        answer, state = ask(policy, [moment], state)
        subtask.seconds.append(clock.seconds() - began)
        done = expert.act(Observation(), [moment.instruction], expert_state, [moment.privileged])
        if len(subtask.moments) < MAX_MOMENTS:
            subtask.moments.append(moment)
        subtask.answers.append(answer[0])
        subtask.expert.append(done.actions[0])
        subtask.tool.append(moment.privileged.robot_obs[3:6])
        truth = moment.privileged
        subtask.targets.append(np.concatenate([truth.target_position, truth.target_euler]))
        observation, _, terminated, truncated, info = env.step(done.actions[0])
        ended = terminated or truncated
        status = ChainStatus.of(info)
        if status.outcome == SOLVED and not ended:
            subtask = ShadowedSubtask(status.task)
            subtasks.append(subtask)
            if policy.traits.memory.reset == "subtask":
                state = policy.reset_state(state, np.ones(1, dtype=bool))


def moment_of(observation: Mapping[str, np.ndarray], info: Mapping[str, Any], policy: Policy) -> Moment:
    """The inputs of a policy now."""
    shown = {key: np.array(observation[key]) for key in policy.traits.observation_keys}
    return Moment(shown, ChainStatus.of(info).instruction, privileged_state(observation, info))


def ask(policy: Policy, moments: Sequence[Moment], state: State) -> tuple[Float64[np.ndarray, "B action_dim"], State]:
    """A policy's actions for one moment of each of B worlds, and its next state.

    Raises:
        Exception: What the policy raises; ValueError or TypeError for an invalid action.
    """
    traits = policy.traits
    decision = policy.act(
        Observation.stack([moment.observation for moment in moments], traits.observation_keys),
        [moment.instruction for moment in moments],
        state,
        [moment.privileged for moment in moments] if traits.privileged else None,
    )
    actions = np.asarray(decision.actions)
    if actions.ndim != 2 or len(actions) != len(moments):
        raise ValueError(
            f"expected act to return actions of shape ({len(moments)}, {traits.action_convention.action_dim}) for "
            f"{len(moments)} world(s) and '{traits.action_convention}', got {actions.shape}. "
            "Return one action for each world: no chunk axis, no missing batch axis."
        )
    return np.stack([require_finite_action(row, traits.action_convention) for row in actions]), decision.state


def as_relative(
    answers: Float64[np.ndarray, "T action_dim"], targets: Float64[np.ndarray, "T 6"], convention: ActionConvention
) -> Float64[np.ndarray, "T 7"] | None:
    """A policy's actions, converted to relative ones from the target's pose; None for joints."""
    if convention is ActionConvention.REL_ACTIONS:
        return answers
    if convention is not ActionConvention.ABS_ACTIONS:
        return None
    turns = answers[:, 3:-1]
    if turns.shape[1] == 4:
        is_one = np.linalg.norm(turns, axis=1, keepdims=True) > _NO_LENGTH
        turns = Rotation.from_quat(np.where(is_one, turns, _NO_TURN)).as_euler("xyz")
    angles = (turns - targets[:, 3:] + np.pi) % (2 * np.pi) - np.pi
    return np.concatenate(
        [
            (answers[:, :3] - targets[:, :3]) / MAX_RELATIVE_POSITION_M,
            angles / MAX_RELATIVE_EULER_RAD,
            answers[:, -1:],
        ],
        axis=1,
    )


def announce(policy: Policy, sentences: Sequence[str]) -> None:
    """Tells a batched policy which sentences may come, as a run does."""
    if isinstance(policy, BatchedPolicy):
        policy.expect(sentences)
