"""One episode is one chain: subtasks in a row, each with an instruction. The world is not reset between subtasks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, SupportsFloat

import gymnasium
import numpy as np

from calvinbench.envs.chains import Chain, initial_observation, published
from calvinbench.envs.instructions import InstructionSet
from calvinbench.envs.lead_ins import play_lead_in
from calvinbench.envs.names import UnknownNameError, require_name
from calvinbench.envs.scenes.scene import Scene
from calvinbench.envs.tasks import is_solved
from calvinbench.envs.world import observe, skip_images, with_images
from calvinbench.envs.world_info import WorldInfo, as_world_info

MAX_SUBTASK_STEPS = 360
"""Most steps of each subtask in CALVIN's protocol (`EP_LEN` of calvin_agent's evaluation)."""

SOLVED = "solved"
TIMED_OUT = "timed_out"

_OPTIONS = ("chain", "number")
_WORLD_OPTIONS = ("robot_obs", "scene_obs")


@dataclass(slots=True)
class _Clock:
    """Counters of an episode."""

    completed: int = 0
    subtask: int = 0
    subtask_steps: int = 0


@dataclass(frozen=True, slots=True)
class EndedSubtask:
    """A subtask that the last step ended.

    Attributes:
        outcome: `SOLVED` or `TIMED_OUT`.
        subtask: Its index in the chain.
        task: Its task's name.
        steps: Steps that it took.
    """

    outcome: str
    subtask: int
    task: str
    steps: int


@dataclass(frozen=True, slots=True)
class ChainStatus:
    """Where an episode is in its chain: `info["chain_status"]` of `ChainEnv`.

    Attributes:
        task: The task that the *next* action works on; after the end of the episode, the last one worked on.
        instruction: The sentence for that task.
        subtask: Its index in the chain.
        subtask_steps: Steps taken in it so far.
        completed: Subtasks solved so far.
        ended: The subtask that the last step ended; None if it ended none.
    """

    task: str
    instruction: str
    subtask: int
    subtask_steps: int
    completed: int
    ended: EndedSubtask | None = None

    @property
    def outcome(self) -> str | None:
        """`SOLVED` or `TIMED_OUT` if the last step ended a subtask, else None."""
        return None if self.ended is None else self.ended.outcome

    @classmethod
    def of(cls, info: Mapping[str, Any]) -> "ChainStatus":
        """Reads the status from the `info` of a `ChainEnv`.

        Raises:
            KeyError: The info is from another environment.
        """
        status = info.get("chain_status")
        if not isinstance(status, cls):
            raise KeyError(
                f"expected the info of a ChainEnv, with 'chain_status', got keys {sorted(info)}. "
                "Wrap the world: ChainEnv(world, instructions)."
            )
        return status

    def as_info(self) -> dict[str, Any]:
        """The entries of `info`: the status itself, and each of its parts under a key of its own."""
        return {
            "chain_status": self,
            "task": self.task,
            "instruction": self.instruction,
            "subtask": self.subtask,
            "subtask_steps": self.subtask_steps,
            "completed": self.completed,
            "outcome": self.outcome,
            "ended_subtask": self.ended and self.ended.subtask,
            "ended_task": self.ended and self.ended.task,
            "ended_steps": self.ended and self.ended.steps,
        }


class ChainEnv(gymnasium.Wrapper[dict[str, np.ndarray], np.ndarray, dict[str, np.ndarray], np.ndarray]):
    """Runs a play table through a chain, by CALVIN's long-horizon protocol.

    After each step, the oracle compares the world with the start of the subtask. When the task is solved, the next
    subtask begins in the world as it is. The reward is 1 for a step that solves a subtask, otherwise 0. So an episode's
    return is the number of subtasks completed. The episode is `terminated` when the last subtask is solved, and
    `truncated` when a subtask's steps run out.

    `info` has the entries of the play table (`world`, `target_position`, `target_euler`), and `chain_status`, a
    `ChainStatus`. Its parts also have keys of their own: `task`, `instruction`, `subtask`, `subtask_steps`,
    `completed`, `outcome`. If the last step ended a subtask, `ended_subtask`, `ended_task` and `ended_steps` describe
    it; otherwise they are None.
    """

    def __init__(
        self,
        env: gymnasium.Env[dict[str, np.ndarray], np.ndarray],
        instructions: InstructionSet,
        max_steps: int = MAX_SUBTASK_STEPS,
    ) -> None:
        """Wraps a world.

        Args:
            env: A world whose `reset` takes `options={"robot_obs", "scene_obs"}` and whose `info` has `world`.
            instructions: Sentences for the tasks; see `InstructionSet.sentence` for which a subtask gets.
            max_steps: Steps for a subtask, at least 1.

        Raises:
            ValueError: `max_steps` is below 1.
        """
        super().__init__(env)
        if max_steps < 1:
            raise ValueError(f"expected max_steps of at least 1, got {max_steps}.")
        self._instructions = instructions
        self._max_steps = max_steps
        self._chain: Chain | None = None
        self._number = 0
        self._clock = _Clock()
        self._start: WorldInfo | None = None
        self._generator = np.random.default_rng()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Sets the world to a chain's initial state.

        Args:
            seed: Seeds the draw of a chain. It is also passed to the world.
            options: `{"chain": Chain}`. For instructions that are drawn by the chain's number, also `"number": int`;
                the default is 0. Without options, one of the published chains is drawn. `robot_obs` and `scene_obs` are
                options of the world, not of a chain, because the chain's initial state sets the world.

        Raises:
            UnknownNameError: `options` has another key.
            ValueError: The chain or its number is not valid.
            LeadInError: The expert did not reach the state in which the chain begins.
        """
        if seed is not None:
            self._generator = np.random.default_rng(seed)
        options = options or dict(zip(_OPTIONS, self._draw_chain(), strict=True))
        for key in options:
            _require_option(key)
        chain, number = options.get("chain"), options.get("number", 0)
        if not isinstance(chain, Chain):
            raise ValueError(
                'expected reset(options={"chain": chain}) with a calvinbench.envs.chains.Chain, '
                f"got options={options!r}. Take one from chains.published()."
            )
        if not isinstance(number, int) or isinstance(number, bool) or number < 0:
            raise ValueError(f"expected the chain's number, an integer from 0, got {number!r}.")
        robot_obs, scene_obs = initial_observation(chain.initial_state, scene_of(self.env))
        observation, info = self.env.reset(seed=seed, options={"robot_obs": robot_obs, "scene_obs": scene_obs})
        if chain.lead_in:
            skip_images(self.env, True)  # the expert looks at no image
            try:
                observation, info = play_lead_in(self.env, observation, info, chain.lead_in)
            finally:
                skip_images(self.env, False)
            observation = with_images(self.env, observation)
        self._chain, self._number = chain, number
        self._clock = _Clock()
        self._start = as_world_info(info)
        return observation, self._with_chain(info, chain, ended=None)

    def _draw_chain(self) -> tuple[Chain, int]:
        """One of the published chains, and its number."""
        chains = published()
        number = int(self._generator.integers(len(chains)))
        return chains[number], number

    def step(self, action: np.ndarray) -> tuple[dict[str, np.ndarray], SupportsFloat, bool, bool, dict[str, Any]]:
        """Applies one action. The class describes what is returned.

        Raises:
            RuntimeError: The episode has not begun or is over.
        """
        if self._chain is None or self._start is None:
            raise RuntimeError('expected reset(options={"chain": chain}) before step: no chain is under way.')
        observation, _, world_ended, world_cut_short, info = self.env.step(action)
        world, chain, clock = as_world_info(info), self._chain, self._clock
        clock.subtask_steps += 1
        ended = None
        if is_solved(chain.subtasks[clock.subtask], self._start, world):
            ended = EndedSubtask(SOLVED, clock.subtask, chain.subtasks[clock.subtask], clock.subtask_steps)
            clock.completed += 1
            if clock.completed < len(chain.subtasks):
                clock.subtask, clock.subtask_steps = clock.completed, 0
                self._start = world
        elif clock.subtask_steps >= self._max_steps:
            ended = EndedSubtask(TIMED_OUT, clock.subtask, chain.subtasks[clock.subtask], clock.subtask_steps)
        terminated = bool(clock.completed == len(chain.subtasks) or world_ended)
        truncated = bool((ended is not None and ended.outcome == TIMED_OUT) or world_cut_short)
        if terminated or truncated:
            self._start = None
        reward = float(ended is not None and ended.outcome == SOLVED)
        return observation, reward, terminated, truncated, self._with_chain(info, chain, ended)

    def skip_images(self, skips: bool) -> bool:
        """Sets whether `step` leaves images out, if the world can; see `world.ImagesOnDemand`."""
        return skip_images(self.env, skips)

    def observe(self) -> dict[str, np.ndarray]:
        """The observation of the world as it is now, with images, if the world can leave them out."""
        return observe(self.env)

    def _with_chain(self, info: Mapping[str, Any], chain: Chain, ended: EndedSubtask | None) -> dict[str, Any]:
        """Adds the chain's status to the world's info."""
        clock = self._clock
        task = chain.subtasks[clock.subtask]
        instruction = self._instructions.sentence(task, self._number, clock.subtask)
        status = ChainStatus(task, instruction, clock.subtask, clock.subtask_steps, clock.completed, ended)
        return dict(info) | status.as_info()


def _require_option(key: str) -> None:
    """Raises an error for an option that a chain does not have.

    Raises:
        UnknownNameError: There is no such option.
    """
    if key in _WORLD_OPTIONS:
        raise UnknownNameError(
            f"Unknown reset option '{key}' of a chain: the chain's initial_state sets the world. Leave it out. To set "
            f'a world to a state of your own without a chain, call env.unwrapped.reset(options={{"{key}": ...}}). '
            f"Known: {', '.join(_OPTIONS)}."
        )
    try:
        require_name(key, _OPTIONS, "reset option")
    except UnknownNameError as error:
        raise UnknownNameError(f"{error} A chain is one such as chains.published()[0].") from error


def scene_of(env: gymnasium.Env[Any, Any]) -> Scene | None:
    """The world's attribute `scene`. If it has none, this is None, and blocks have scene D's places."""
    scene = getattr(env.unwrapped, "scene", None)
    return scene if isinstance(scene, Scene) else None
