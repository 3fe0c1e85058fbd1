"""One recorded episode: the expert does one subtask after another in a world that is never reset between them.

The executed action is the expert's action with noise; the label is the expert's action without it. So the data show
states that a policy's errors lead to, and the right action there. The executed action is kept beside the label.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import gymnasium
import numpy as np
from jaxtyping import Float64

from calvinbench.envs.chains import SymbolicState, next_states
from calvinbench.envs.expert.expert import EXACT_M, NOISY_M, Expert
from calvinbench.envs.instructions import InstructionSet
from calvinbench.envs.observation import MAX_RELATIVE_EULER_RAD, MAX_RELATIVE_POSITION_M
from calvinbench.envs.start_states import StartState
from calvinbench.envs.tasks import TASKS, is_solved
from calvinbench.envs.world_info import as_world_info, privileged_state
from calvinbench.policies.demonstrations.demonstrations import Annotation

TASK_WEIGHTS: Mapping[str, float] = {
    **{task: 0.7 if task.startswith(("open", "close", "move", "turn")) else 0.8 for task in TASKS},
    **{task: 1.5 for task in TASKS if task.startswith("lift")},
    **{task: 3.0 for task in TASKS if task.startswith("lift") and task.endswith("slider")},
    "place_in_slider": 1.0,
    "place_in_drawer": 1.0,
    "stack_block": 1.5,
    "unstack_block": 5.0,
    "push_into_drawer": 15.0,
}
"""Weights with which a task is drawn from the possible ones. Blocks are harder than doors and lights; tasks that are
possible in few states have large weights."""
_KICK_STEPS = 5
SETTLE_STEPS = 5
"""Steps without motion before the recording starts, in which blocks settle on the table."""


@dataclass(frozen=True, slots=True)
class Perturbation:
    """Noise that is added to the six pose numbers of an action before it is executed.

    Attributes:
        sigma: Standard deviation of a first-order autoregressive noise, in the action's units (1 is 2 cm, 0.05 rad).
        correlation: Correlation of the noise of one step with that of the next.
        kick_probability: Probability that a kick begins at a step: a constant push for five steps.
        kick_size: Largest number of a kick.
    """

    sigma: float = 0.15
    correlation: float = 0.8
    kick_probability: float = 0.01
    kick_size: float = 0.8

    def __post_init__(self) -> None:
        for name, value, is_right, expected in (
            ("noise", self.sigma, 0 <= self.sigma < np.inf, "a finite number of at least 0"),
            ("kick_size", self.kick_size, 0 <= self.kick_size < np.inf, "a finite number of at least 0"),
            ("correlation of the noise", self.correlation, 0 <= self.correlation < 1, "at least 0 and below 1"),
            ("kicks", self.kick_probability, 0 <= self.kick_probability <= 1, "a probability from 0 to 1"),
        ):
            if not is_right:
                raise ValueError(f"expected {name} to be {expected}, got {value:g}.")

    def draw(self, generator: np.random.Generator) -> Iterator[Float64[np.ndarray, "6"]]:
        """Yields the noise of each step, without end."""
        noise = generator.normal(0.0, 1.0, 6) * self.sigma
        kick, kick_steps = np.zeros(6), 0
        while True:
            yield noise + (kick if kick_steps else 0.0)
            fresh = generator.normal(0.0, 1.0, 6) * self.sigma * np.sqrt(1 - self.correlation**2)
            noise = self.correlation * noise + fresh
            kick_steps = max(kick_steps - 1, 0)
            if not kick_steps and generator.random() < self.kick_probability:
                kick, kick_steps = generator.uniform(-self.kick_size, self.kick_size, 6), _KICK_STEPS


@dataclass(frozen=True, slots=True)
class Failure:
    """A subtask that the expert did not solve. Its frames are not kept."""

    task: str
    steps: int


@dataclass(slots=True)
class Episode:
    """A recorded episode.

    Attributes:
        frames: A mapping for each step: the observation before it, the label (`rel_actions`, `actions`), and the
            executed action (`executed_rel_actions`, `executed_actions`).
        annotations: The solved subtasks.
        failure: The failure that ended the episode early; None if there was none.
        last_frame: The observation after the last step of the last annotation, with the expert's next action as the
            executed one. None without annotations.
    """

    frames: list[dict[str, np.ndarray]] = field(default_factory=list)
    annotations: list[Annotation] = field(default_factory=list)
    failure: Failure | None = None
    last_frame: dict[str, np.ndarray] | None = None


def demonstrate(
    env: gymnasium.Env[Any, Any],
    start: StartState,
    instructions: InstructionSet,
    generator: np.random.Generator,
    *,
    tasks: Sequence[str] = TASKS,
    num_subtasks: int = 6,
    max_steps: int = 360,
    perturbation: Perturbation | None = None,
    frames_after: int = 0,
) -> Episode:
    """Records an episode.

    Args:
        env: A play table that takes relative actions.
        start: The initial state.
        instructions: The instruction set; each subtask gets one of its training sentences.
        generator: Draws all random numbers.
        tasks: Tasks to draw from.
        num_subtasks: Most subtasks. The episode ends earlier if no task is possible, or if one fails.
        max_steps: Most steps of each subtask.
        perturbation: Noise on executed actions; None for none.
        frames_after: Steps that the expert continues after a subtask is solved; they are part of its annotation. A
            subtask that is no longer solved after them counts as failed.
    """
    episode, symbolic = Episode(), start.symbolic
    tolerance_m = EXACT_M if perturbation is None or not perturbation.sigma else NOISY_M
    noise = (perturbation or Perturbation(sigma=0.0, kick_probability=0.0)).draw(generator)
    env.reset(options={"scene_obs": start.scene_obs})
    for _ in range(SETTLE_STEPS):
        observation, _, _, _, info = env.step(np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]))
    for _ in range(num_subtasks):
        task = draw_task(symbolic, tasks, generator)
        if task is None:
            break
        first = len(episode.frames)
        before, expert = as_world_info(info), Expert(tolerance_m=tolerance_m)
        solved, was_solved, end = False, False, first + max_steps
        while len(episode.frames) < end:
            label = expert.act(privileged_state(observation, {**info, "task": task}), is_solved=was_solved)
            executed = np.clip(label + np.append(next(noise), 0.0), -1.0, 1.0)
            episode.frames.append(_frame(observation, info, label, executed))
            observation, _, _, _, info = env.step(executed.copy())
            solved = is_solved(task, before, as_world_info(info))
            if solved and not was_solved:
                was_solved, end = True, len(episode.frames) + frames_after
        if not solved:
            episode.failure = Failure(task, len(episode.frames) - first)
            del episode.frames[first:]
            break
        sentences = instructions.seen[task]
        sentence = sentences[int(generator.integers(len(sentences)))]
        episode.annotations.append(Annotation(0, first, len(episode.frames), task, sentence))
        next_label = expert.act(privileged_state(observation, {**info, "task": task}), is_solved=True)
        episode.last_frame = _frame(observation, info, next_label, next_label)
        (symbolic,) = next_states(symbolic, task)
    return episode


def draw_task(state: SymbolicState, tasks: Sequence[str], generator: np.random.Generator) -> str | None:
    """Draws one of the tasks that are possible in a state, by `TASK_WEIGHTS`; None if there is none."""
    possible = [task for task in tasks if len(next_states(state, task)) == 1]
    if not possible:
        return None
    weights = np.array([TASK_WEIGHTS[task] for task in possible])
    return possible[int(generator.choice(len(possible), p=weights / weights.sum()))]


def _frame(
    observation: Mapping[str, np.ndarray],
    info: Mapping[str, Any],
    label: Float64[np.ndarray, "7"],
    executed: Float64[np.ndarray, "7"],
) -> dict[str, np.ndarray]:
    """The arrays of one frame."""
    return {
        **observation,
        "rel_actions": label,
        "actions": _absolute(label, info),
        "executed_rel_actions": executed,
        "executed_actions": _absolute(executed, info),
    }


def _absolute(relative: Float64[np.ndarray, "7"], info: Mapping[str, Any]) -> Float64[np.ndarray, "7"]:
    """Converts an action relative to the last target into an absolute action."""
    euler = info["target_euler"] + relative[3:6] * MAX_RELATIVE_EULER_RAD
    absolute = [
        *(info["target_position"] + relative[:3] * MAX_RELATIVE_POSITION_M),
        *((euler + np.pi) % (2 * np.pi) - np.pi),
        relative[6],
    ]
    return np.array(absolute)
