"""A world in a process of its own. Its observations are written to memory that both processes share."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from gymnasium.spaces import Dict, Space
from gymnasium.vector.utils import create_shared_memory, read_from_shared_memory
from jaxtyping import Bool, Float64

from calvinbench.envs.chain_env import ChainStatus
from calvinbench.envs.instructions import load_instructions
from calvinbench.envs.observation import Observation, is_image, only_rows
from calvinbench.envs.system.child_process import FORK_SERVER, PRELOADED
from calvinbench.envs.world_info import PrivilegedState, privileged_state
from calvinbench.harness import clock
from calvinbench.harness.execution.executors import start_process
from calvinbench.harness.rollout.diary import ErrorText
from calvinbench.harness.rollout.jobs import ChainJob
from calvinbench.harness.rollout.looking import step_world
from calvinbench.harness.rollout.time_limit import StepLimit
from calvinbench.harness.rollout.workers import WorkerSetup, World, make_policy_by_spec, open_chain_env, traits_of_world
from calvinbench.policies.policy import PolicyTraits

PRELOADED.append(__name__)
_PATIENCE_SECONDS = 5.0
"""Time for a process to end after it was asked to."""
_NO_CHAIN = ChainStatus(task="", instruction="", subtask=0, subtask_steps=0, completed=0)


@dataclass(frozen=True, slots=True)
class Reply:
    """A world's answer to a reset or a step. The observation is in the shared memory.

    Attributes:
        status: Where the chain stands.
        is_over: Whether the chain is over.
        is_rendered: Whether the observation's images were rendered.
        privileged: For a privileged policy; None for others.
        seconds: Time that the world took.
        error: What the world raised. The other fields mean nothing then.
    """

    status: ChainStatus = _NO_CHAIN
    is_over: bool = False
    is_rendered: bool = True
    privileged: PrivilegedState | None = None
    seconds: float = 0.0
    error: ErrorText | None = None


class SharedObservations:
    """Observations of several worlds. Each world's process writes its row, and the policy reads all rows."""

    def __init__(self, spaces: Mapping[str, Space[Any]], num_worlds: int) -> None:
        """Allocates the memory.

        Args:
            spaces: Of one world's observations; only those that the policy reads.
            num_worlds: Rows.
        """
        space = Dict(dict(spaces))
        self.space = space
        self.num_worlds = num_worlds
        self.memory: Any = create_shared_memory(space, n=num_worlds, ctx=FORK_SERVER)
        self._arrays: Mapping[str, np.ndarray] | None = None

    def read(self, is_rendered: Bool[np.ndarray, " num_worlds"]) -> Observation:
        """A copy of all rows; worlds may write again while it is used.

        Args:
            is_rendered: Which rows' images were rendered. See `Observation.is_rendered` for the others.
        """
        views = self._views()
        if is_rendered.all():
            return Observation(**{key: view.copy() for key, view in views.items()})
        parts = {key: view.copy() for key, view in views.items() if not is_image(key)}
        if is_rendered.any():
            for key in views.keys() - parts.keys():
                parts[key] = only_rows(views[key], is_rendered)
        return Observation(**parts, is_rendered=is_rendered)

    def write(self, row: int, observation: Mapping[str, np.ndarray], is_rendered: bool = True) -> None:
        """Writes one world's row; without its images if they were not rendered."""
        for key, view in self._views().items():
            if is_rendered or not is_image(key):
                view[row] = observation[key]

    def _views(self) -> Mapping[str, np.ndarray]:
        """Arrays in the shared memory, one row a world."""
        if self._arrays is None:
            views: Any = read_from_shared_memory(self.space, self.memory, n=self.num_worlds)
            self._arrays = views
        return self._arrays

    def __getstate__(self) -> dict[str, Any]:
        """Another process makes its own views, because pickled views would be copies."""
        return self.__dict__ | {"_arrays": None}


class WorldDiedError(RuntimeError):
    """A world's process died: killed, out of memory, or crashed in native code."""


class WorldProcess:
    """The driver's side of a world's process: it sends a reset or a step, and receives the answer."""

    def __init__(self, setup: WorkerSetup, traits: PolicyTraits, observations: SharedObservations, row: int) -> None:
        """Starts the process. The world is made at the first reset.

        Args:
            setup: What the world is made from. Its policy is not used.
            traits: Of the policy that will step the world.
            observations: Where the world writes its observations.
            row: The world's row there.
        """
        # The process needs no policy, and the setup's factory may be one that cannot be sent.
        self._made_of = replace(setup, make_policy=make_policy_by_spec), traits, observations, row
        self._start()

    def _start(self) -> None:
        ours, theirs = FORK_SERVER.Pipe()
        self._connection: Connection = ours
        self._process = FORK_SERVER.Process(target=_serve, args=(theirs, *self._made_of), daemon=True)
        self._process.start()
        theirs.close()  # so that reading fails once the process has ended

    @property
    def connection(self) -> Connection:
        """Becomes readable when there is an answer, or when the process has ended."""
        return self._connection

    def reset(self, job: ChainJob) -> None:
        """Begins a chain."""
        self._send(job)

    def step(self, action: Float64[np.ndarray, " action_dim"], *, looks: bool = True) -> None:
        """Takes an action.

        Args:
            action: The action.
            looks: Whether the policy looks at the next images, see `looking.step_world`.
        """
        self._send((action, looks))

    def _send(self, message: Any) -> None:
        with contextlib.suppress(OSError):  # the process has ended: `receive` raises the error
            self._connection.send(message)

    def receive(self) -> Reply:
        """Waits for the answer to the last message.

        Raises:
            WorldDiedError: The process has ended.
        """
        try:
            reply: Reply = self._connection.recv()
        except (EOFError, OSError) as error:
            self._process.join(_PATIENCE_SECONDS)
            raise WorldDiedError(
                f"the process of a world died (exit code {self._process.exitcode}). Look in the system's log for a "
                "crash in native code, or for a lack of memory."
            ) from error
        return reply

    def restart(self) -> None:
        """Replaces the process with a new one."""
        self.close()
        self._start()

    def close(self, at_once: bool = False) -> None:
        """Ends the process: after its answer, or at once, in the middle of a step."""
        if at_once:
            self._process.kill()
        self._send(None)
        self._process.join(_PATIENCE_SECONDS)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._connection.close()


def _serve(
    connection: Connection, setup: WorkerSetup, traits: PolicyTraits, observations: SharedObservations, row: int
) -> None:
    """Runs in the world's process: answers messages until None comes. The process ends if native code hangs."""
    start_process()
    settings = setup.settings
    limit = StepLimit(settings.step_timeout, ends_process=True)
    instructions = load_instructions(settings.instructions, settings.scene, settings.calvin, settings.calvin_env)
    env: World | None = None
    while (message := _next(connection)) is not None:
        try:
            with limit.of_reset() if isinstance(message, ChainJob) else limit.of_world():
                if env is None:
                    world = setup.make_world(settings, traits_of_world(setup, traits))
                    env = open_chain_env(setup, world, instructions)
                reply = _answer(env, message, traits, observations, row)
        except (Exception, SystemExit) as error:  # noqa: BLE001  the error goes into the chain's record
            reply = Reply(error=ErrorText.of(error))
            _close(env)  # it may be broken: the next chain gets a new world
            env = None
        connection.send(reply)
    _close(env)


def _next(connection: Connection) -> Any:
    """The driver's next message; None if the driver has ended."""
    try:
        return connection.recv()
    except (EOFError, OSError):
        return None


def _answer(env: World, message: Any, traits: PolicyTraits, observations: SharedObservations, row: int) -> Reply:
    began = clock.seconds()
    is_over, is_rendered = False, True
    if isinstance(message, ChainJob):
        options = {"chain": message.chain, "number": message.number}
        observation, info = env.reset(seed=message.seed, options=options)
    else:
        action, looks = message
        step = step_world(env, action, traits.memory, looks=looks)
        observation, info, is_over, is_rendered = step.observation, step.info, step.is_over, step.is_rendered
    took = clock.seconds() - began
    observations.write(row, observation, is_rendered)
    return Reply(
        status=ChainStatus.of(info),
        is_over=is_over,
        is_rendered=is_rendered,
        privileged=privileged_state(observation, info) if traits.privileged else None,
        seconds=took,
    )


def _close(world: World | None) -> None:
    """Closes a world, if there is one. A broken world may fail to close."""
    if world is not None:
        with contextlib.suppress(Exception):
            world.close()
