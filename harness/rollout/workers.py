"""A policy with its world, made from settings that can be sent to another process."""

import gc
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import gymnasium

from calvinbench.envs.chain_env import ChainEnv
from calvinbench.envs.instructions import InstructionSet, load_instructions
from calvinbench.envs.observation import CAMERA_SIZES
from calvinbench.envs.simulation import UPSTREAM
from calvinbench.harness.errors import RunFailedError
from calvinbench.harness.records.records import ERRORED, ChainRecord
from calvinbench.harness.rollout.jobs import ChainJob
from calvinbench.harness.rollout.positions import Marker
from calvinbench.harness.rollout.rollout import run_chain
from calvinbench.harness.rollout.time_limit import StepLimit
from calvinbench.harness.rollout.videos import VideoChainEnv, VideoSettings
from calvinbench.harness.suite.settings import RunSettings
from calvinbench.policies.policy import Policy, PolicyTraits

_logger = logging.getLogger(__name__)

World = gymnasium.Env[Any, Any]
WorldFactory = Callable[[RunSettings, PolicyTraits], World]
"""Makes a world from the run's settings and the traits of its policy."""
PolicyFactory = Callable[[str, str | None], Policy]
"""Makes a policy from its spec and its memory reset (None for the policy's default)."""


def make_play_table(settings: RunSettings, traits: PolicyTraits) -> World:
    """A PyBullet world that renders only what the policy reads.

    Raises:
        UnknownNameError: There is no such scene or simulation.
        CheckoutError: The scene is CALVIN's, and its checkout is missing, incomplete or damaged.
        RunFailedError: The renderer does not work on this machine.
        WorldNotMadeError: calvin_env's own simulator is requested and cannot be used.
    """
    depth = any(key.startswith("depth_") for key in traits.observation_keys)
    if settings.simulation == UPSTREAM:
        return _make_upstream(settings, traits, depth)
    from calvinbench.envs.cameras.renderers import OPENGL_LOOK
    from calvinbench.envs.play_table import PlayTableEnv

    renderer = settings.renderer or OPENGL_LOOK
    require_working_renderer(renderer)
    return PlayTableEnv(
        scene=settings.scene,
        calvin_env=settings.calvin_env,
        simulation=settings.simulation,
        renderer=renderer,
        depth_bits=settings.depth_bits,
        cameras=traits.cameras,
        camera_sizes=camera_sizes_of(settings),
        depth=depth,
        action_convention=traits.action_convention,
    )


def camera_sizes_of(settings: RunSettings) -> dict[str, int]:
    """Width and height in pixels of the cameras whose size is set."""
    sizes = {"static": settings.static_size, "gripper": settings.gripper_size}
    return {camera: size for camera, size in sizes.items() if size is not None}


def require_working_renderer(renderer: str) -> None:
    """Raises an error if a renderer does not work on this machine.

    Raises:
        UnknownNameError: There is no such renderer.
        RunFailedError: It does not work.
    """
    from calvinbench.envs.cameras.renderers import RendererError, require_works

    try:
        require_works(renderer)
    except RendererError as error:
        raise RunFailedError(str(error)) from error


def _make_upstream(settings: RunSettings, traits: PolicyTraits, depth: bool) -> World:
    from calvinbench.envs.cameras.renderers import BULLET_TINY
    from calvinbench.envs.upstream.simulator import UpstreamError
    from calvinbench.envs.upstream.upstream import UpstreamPlayTableEnv

    if camera_sizes_of(settings):
        raise ValueError(
            "static_size and gripper_size have no effect on calvin_env's own simulator, whose cameras have CALVIN's "
            "sizes. Remove them, or use another simulation."
        )
    try:
        return UpstreamPlayTableEnv(
            scene=settings.scene,
            calvin_env=settings.calvin_env,
            cameras=traits.cameras,
            depth=depth,
            action_convention=traits.action_convention,
            renderer=require_upstream_renderer(settings.renderer or BULLET_TINY),
        )
    except UpstreamError as error:
        raise WorldNotMadeError(str(error)) from error


def require_upstream_renderer(renderer: str) -> str:
    """Returns the renderer if calvin_env's own simulator has it.

    Raises:
        ValueError: The simulator does not have it.
        RunFailedError: It does not work on this machine.
    """
    from calvinbench.envs.cameras.renderers import BULLET_EGL, BULLET_TINY

    if renderer not in (BULLET_TINY, BULLET_EGL):
        raise ValueError(
            f"expected a renderer of calvin_env's own simulator, {BULLET_TINY} (its default) or {BULLET_EGL}, got "
            f"{renderer}. Remove --renderer to use the default."
        )
    require_working_renderer(renderer)
    return renderer


class WorldNotMadeError(RunFailedError):
    """calvin_env's own simulator cannot be used; the message says why."""


def make_policy_by_spec(spec: str, memory_reset: str | None) -> Policy:
    """A policy from the registry.

    Raises:
        UnknownNameError: There is no such kind of policy.
        ValueError: The spec cannot be used.
        PolicyNotMadeError: The policy's own code raised another error.
    """
    from calvinbench.policies.registry import make_policy

    try:
        return make_policy(spec, memory_reset=memory_reset)
    except ValueError:
        raise
    except (Exception, SystemExit) as error:
        raise PolicyNotMadeError(
            f"could not make the policy '{spec}': {type(error).__name__}: {str(error).rstrip('.')}. "
            "Set CALVINBENCH_DEBUG=1 to see the traceback."
        ) from error


class PolicyNotMadeError(RunFailedError):
    """A policy's own code raised an error while the policy was made."""


@dataclass(frozen=True, slots=True)
class WorkerSetup:
    """Everything that a worker is made from. It can be pickled if its factories are module-level functions.

    Attributes:
        settings: Of the run.
        make_world: Makes the world.
        make_policy: Makes the policy.
        videos: Which chains are recorded as videos; None for none.
    """

    settings: RunSettings
    make_world: WorldFactory = make_play_table
    make_policy: PolicyFactory = make_policy_by_spec
    videos: VideoSettings | None = None


def open_chain_env(setup: WorkerSetup, world: World, instructions: InstructionSet) -> World:
    """Wraps a world so that it runs chains, and records videos if the setup asks for them."""
    env = ChainEnv(world, instructions, setup.settings.max_steps)
    return env if setup.videos is None else VideoChainEnv(env, setup.videos)


def traits_of_world(setup: WorkerSetup, traits: PolicyTraits) -> PolicyTraits:
    """The policy's traits; with videos, both cameras are added to what the world must show."""
    if setup.videos is None:
        return traits
    cameras = tuple(f"rgb_{camera}" for camera in CAMERA_SIZES)
    return replace(traits, observation_keys=tuple(dict.fromkeys((*traits.observation_keys, *cameras))))


class Worker:
    """A policy and a world, ready to run one chain after another."""

    def __init__(self, setup: WorkerSetup, owns_process: bool = False) -> None:
        """Makes the policy and reads the instructions. The world is made when it is first needed.

        Args:
            setup: What it is made from.
            owns_process: Whether this process serves only this worker, so that it may be ended if native code hangs.
        """
        self.setup = setup
        self.limit = StepLimit(setup.settings.step_timeout, owns_process)
        self.policy = setup.make_policy(setup.settings.policy, setup.settings.memory_reset)
        settings = setup.settings
        self.instructions: InstructionSet = load_instructions(
            settings.instructions, settings.scene, settings.calvin, settings.calvin_env
        )
        self._world: World | None = None
        self._env: World | None = None

    @property
    def world(self) -> World:
        """The world, made at the first access."""
        if self._world is None:
            self._world = self.setup.make_world(self.setup.settings, traits_of_world(self.setup, self.policy.traits))
        return self._world

    def run(self, job: ChainJob, marker: Marker | None = None) -> ChainRecord:
        """Runs a chain. After an error the world is closed and made again, because it may be broken."""
        record = run_chain(self._chain_env, self.policy, job, self.limit, self.close, marker)
        if record.outcome == ERRORED:
            self.close()
        return record

    def close(self) -> None:
        """Closes the world."""
        opened = self._env or self._world
        self._world = self._env = None
        if opened is not None:
            try:
                opened.close()
            except Exception as error:  # noqa: BLE001  a broken world may fail to close
                _logger.warning("a world could not be closed: %s", error)

    def release(self) -> None:
        """Closes the world and frees the policy with its GPU memory, for other processes to use."""
        self.close()
        del self.policy
        torch = sys.modules.get("torch")
        if torch is not None:
            gc.collect()
            if torch.cuda.is_initialized():
                torch.cuda.empty_cache()

    def _chain_env(self) -> World:
        if self._env is None:
            self._env = open_chain_env(self.setup, self.world, self.instructions)
        return self._env


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Gives torch one thread: its sums depend on the number of threads, and records must not depend on it."""
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(num_threads)
