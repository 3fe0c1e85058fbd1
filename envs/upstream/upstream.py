"""UpstreamPlayTableEnv: calvin_env's own simulator with the interface of `PlayTableEnv`."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any, SupportsFloat

import gymnasium
import numpy as np
from gymnasium import spaces

from calvinbench.envs.bodies.robot import OPEN
from calvinbench.envs.cameras.renderers import require_works
from calvinbench.envs.names import require_name
from calvinbench.envs.observation import (
    CAMERA_SIZES,
    CONTROL_HZ,
    ROBOT_OBS_DIM,
    SCENE_OBS_DIM,
    ActionConvention,
    require_finite_action,
    require_finite_state,
)
from calvinbench.envs.scenes.calvin_checkout import SUBMODULE_REVISION
from calvinbench.envs.scenes.loading import load_scene
from calvinbench.envs.simulation import UPSTREAM
from calvinbench.envs.spaces import observation_space
from calvinbench.envs.upstream.simulator import (
    UpstreamError,
    close_simulator,
    import_upstream,
    make_simulator,
)
from calvinbench.envs.world import WorldTraits, shown_keys
from calvinbench.envs.world_info import WorldInfo

SCENE_FILES: Mapping[str, str] = {
    **{scene: f"calvin_scene_{scene}" for scene in "ABCD"},
    "D_eval": "calvin_scene_D_eval",
}
"""Files of `conf/scene`, by the values of `--scene`. `D_eval` differs from D in the poses in which blocks are loaded
before a reset moves them. This changes the last digits of everything after the reset."""
RENDERERS = ("bullet-tiny", "bullet-egl")
_CARTESIAN = (ActionConvention.REL_ACTIONS, ActionConvention.ABS_ACTIONS)
_JOINT_TYPES = {ActionConvention.REL_JOINTS: "joint_rel", ActionConvention.ABS_JOINTS: "joint_abs"}


class UpstreamPlayTableEnv(gymnasium.Env[dict[str, np.ndarray], np.ndarray]):
    """A real `calvin_env.envs.play_table_env.PlayTableSimEnv`, stepped like `PlayTableEnv`; see `docs/upstream.md`.

    Observations, `info`, reset options, reward and the end of an episode are those of `PlayTableEnv`. Where calvin_env
    differs, this class corrects it from outside. It passes a float copy of each action, with the gripper's number as
    exactly -1 or 1. After a reset, the last gripper action is "open", as in a fresh process. Contacts in
    `info["world"]` have calvin_env's own link names.

    An episode of calvin_env depends on the episodes before it. With `fresh` (the default), each reset makes a new
    simulation, so that every episode is as in a fresh process. Without it, resets are quick and results depend on the
    order of episodes, as in CALVIN's own evaluation. A process can hold one such world and no other Bullet simulation.

    Attributes:
        calvin_env_revision: `797142c`, `1431a46`, or `unknown (...)`.
        scene: The scene that calvin_env's configuration describes, as `PlayTableEnv` reads it.
    """

    metadata = {  # noqa: RUF012  (as Gymnasium declares it)
        "render_modes": ["rgb_array"],
        "render_fps": CONTROL_HZ,
    }
    simulation = UPSTREAM

    def __init__(
        self,
        scene: str = "D",
        cameras: Sequence[str] = ("static", "gripper"),
        depth: bool = False,
        action_convention: ActionConvention | str = ActionConvention.REL_ACTIONS,
        renderer: str = "bullet-tiny",
        calvin_env: str | Path | None = None,
        fresh: bool = True,
        render_mode: str | None = None,
    ) -> None:
        """Builds the world.

        Args:
            scene: One of `SCENE_FILES`.
            cameras: Which of `static` and `gripper` are rendered at each step.
            depth: Whether depths are observed too, in metres.
            action_convention: What the numbers of an action mean. 1431a46 does not support actions in joints.
            renderer: One of `RENDERERS`.
            calvin_env: The checkout; None finds one, see `calvin_checkout.find_calvin_env`.
            fresh: Whether each reset makes a new simulation.
            render_mode: `"rgb_array"` makes `render()` return the static camera's image.

        Raises:
            TypeError: `cameras` is one name, not a list of names.
            UnknownNameError: A scene, camera, convention or renderer does not exist.
            RendererError: The renderer does not work on this machine.
            ValueError: The render mode does not exist, or the revision does not support the action convention.
            CheckoutError: There is no checkout of calvin_env, or it is incomplete.
            UpstreamError: calvin_env cannot be imported, or its simulator cannot be made.
        """
        if isinstance(cameras, str):
            raise TypeError(f"expected cameras as a list of names, got '{cameras}'. Write ('{cameras}',).")
        for camera in cameras:
            require_name(camera, tuple(CAMERA_SIZES), "camera")
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f"expected render_mode None or 'rgb_array', got {render_mode!r}.")
        self._scene_name = scene
        self._scene_file = SCENE_FILES[require_name(scene, tuple(SCENE_FILES), "scene")]
        self.renderer = require_name(renderer, RENDERERS, "renderer")
        require_works(renderer)
        self.action_convention = ActionConvention(
            require_name(str(action_convention), [str(c) for c in ActionConvention], "action convention")
        )
        self.render_mode = render_mode
        self._upstream = import_upstream(calvin_env)
        self.calvin_env_revision = self._upstream.revision
        if self.calvin_env_revision == SUBMODULE_REVISION and self.action_convention not in _CARTESIAN:
            raise ValueError(
                f"expected a Cartesian action convention with calvin_env {self.calvin_env_revision}, got "
                f"'{self.action_convention}': that revision does not support actions in joints. Check out a later one."
            )
        self._shown = tuple(camera for camera in CAMERA_SIZES if camera in cameras)
        self._depth = depth
        self._fresh = fresh
        self._is_set = self._is_closed = self._skips_images = False
        self._target = (np.zeros(3), np.zeros(3))
        self.scene = load_scene(scene.removesuffix("_eval"), self._upstream.checkout.root)
        self._block_sizes = {name: np.array(size) for name, size in self.scene.block_sizes().items()}
        self._simulator: Any = self._make()
        self._is_new = True
        self.observation_space = observation_space({camera: CAMERA_SIZES[camera] for camera in self._shown}, depth)
        bound = 1.0 if self.action_convention == ActionConvention.REL_ACTIONS else np.pi
        self.action_space = spaces.Box(-bound, bound, (self.action_convention.action_dim,), np.float64)

    def _make(self) -> Any:
        return make_simulator(self._upstream, self._scene_file, self._shown, use_egl=self.renderer == "bullet-egl")

    @cached_property
    def traits(self) -> WorldTraits:
        """What the world says about itself."""
        return WorldTraits(
            scene=self._scene_name,
            asset_digest=self.digest(),
            action_convention=self.action_convention,
            observation_keys=shown_keys(self._shown, self._depth),
            renderer=self.renderer,
            simulation=self.simulation,
            calvin_env=self.calvin_env_revision,
        )

    def digest(self) -> str:
        """SHA-256 of the files that the scene is loaded from, equal to `PlayTableEnv.digest` for the same files."""
        return self.scene.digest()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Sets the world to a state with calvin_env's own reset, which takes one physics step.

        Args:
            seed: Seeds the generator that states are drawn from.
            options: `{"robot_obs": (15,), "scene_obs": (24,)}`, either or both. Without `scene_obs`, calvin_env draws
                the places of the blocks, doors are closed and lights are off.

        Raises:
            ValueError: A state has the wrong shape, is not finite, or has a light that is neither on nor off.
            UnknownNameError: `options` has another key.
            UpstreamError: The world is closed, or the process has another Bullet simulation.
        """
        super().reset(seed=seed)
        options = options or {}
        for key in options:
            require_name(key, ("robot_obs", "scene_obs"), "reset option")
        robot_obs, scene_obs = options.get("robot_obs"), options.get("scene_obs")
        if robot_obs is not None:
            robot_obs = require_finite_state(robot_obs, "robot_obs", ROBOT_OBS_DIM)
        if scene_obs is not None:
            scene_obs = require_finite_state(scene_obs, "scene_obs", SCENE_OBS_DIM)
            for index in (4, 5):
                if scene_obs[index] not in (0.0, 1.0):
                    raise ValueError(f"expected scene_obs[{index}] to be 0 or 1, got {scene_obs[index]:g}.")
        simulator = self._renewed()
        for block in simulator.scene.movable_objects:
            block.np_random = self.np_random
        simulator.robot.gripper_action = OPEN
        upstream_obs = simulator.reset(robot_obs=robot_obs, scene_obs=scene_obs)
        self._is_set = True
        self._keep_target(simulator.robot.target_pos, simulator.robot.target_orn)
        return self._observation(upstream_obs), self._info(simulator.get_info())

    def _renewed(self) -> Any:
        """The simulation for the next episode: a new one if `fresh`, otherwise the current one."""
        if self._is_closed:
            raise UpstreamError("expected an open world, but it was closed. Make another one.")
        if self._fresh and not self._is_new:
            close_simulator(self._simulator)
            self._simulator = self._make()
        self._is_new = False
        return self._simulator

    def step(self, action: np.ndarray) -> tuple[dict[str, np.ndarray], SupportsFloat, bool, bool, dict[str, Any]]:
        """Applies one action for a thirtieth of a second.

        Args:
            action: An action of `action_convention`. The gripper opens if its number is above 0, otherwise it closes.

        Raises:
            ValueError: The shape is wrong, or a number is NaN or infinite. The world has not moved then.
            UpstreamError: The world was never reset, or is closed.
        """
        self._require_set("step")
        numbers = require_finite_action(action, self.action_convention).copy()
        numbers[-1] = 1.0 if numbers[-1] > 0 else -1.0
        with self._without_cameras() if self._skips_images else nullcontext():
            upstream_obs, _, _, info = self._simulator.step(self._upstream_action(numbers))
        if self.action_convention != ActionConvention.ABS_ACTIONS:
            robot = self._simulator.robot
            self._keep_target(robot.target_pos, robot.target_orn)
        return self._observation(upstream_obs), 0.0, False, False, self._info(info)

    def skip_images(self, skips: bool) -> bool:
        """Sets whether `step` leaves images and depths out, see `world.ImagesOnDemand`."""
        self._skips_images = skips
        return True

    def observe(self) -> dict[str, np.ndarray]:
        """The observation of the world as it is now, with images, even if `step` leaves them out.

        Raises:
            UpstreamError: The world was never reset, or is closed.
        """
        self._require_set("observe")
        return self._observation(self._simulator.get_obs())

    @contextmanager
    def _without_cameras(self) -> Iterator[None]:
        """Takes the cameras from calvin_env, which renders all that it has at each step."""
        cameras, self._simulator.cameras = self._simulator.cameras, []
        try:
            yield
        finally:
            self._simulator.cameras = cameras

    def _require_set(self, what: str) -> None:
        if self._is_closed or not self._is_set:
            raise UpstreamError(f"expected an open world and reset before {what}: no state has been set.")

    def _upstream_action(self, numbers: np.ndarray) -> Any:
        """The action as calvin_env takes it: 7 numbers, a triple, or a dictionary for joints."""
        if self.action_convention == ActionConvention.REL_ACTIONS:
            return numbers
        if self.action_convention == ActionConvention.ABS_ACTIONS:
            # calvin_env updates its own target only for relative actions.
            self._keep_target(numbers[:3], numbers[3:-1])
            return numbers[:3], numbers[3:-1], int(numbers[-1])
        return {"type": _JOINT_TYPES[self.action_convention], "action": numbers}

    def _keep_target(self, position: Any, turn: Any) -> None:
        """Copies the target, because calvin_env changes its own in place."""
        import pybullet

        euler = pybullet.getEulerFromQuaternion(list(turn)) if len(turn) == 4 else turn
        self._target = (np.array(position, dtype=np.float64), np.array(euler, dtype=np.float64))

    def _observation(self, upstream_obs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        observation: dict[str, np.ndarray] = {}
        for camera in self._shown if upstream_obs["rgb_obs"] else ():
            observation[f"rgb_{camera}"] = np.ascontiguousarray(upstream_obs["rgb_obs"][f"rgb_{camera}"], np.uint8)
            if self._depth:
                depth = upstream_obs["depth_obs"][f"depth_{camera}"]
                observation[f"depth_{camera}"] = np.asarray(depth, dtype=np.float32)
        for key in ("robot_obs", "scene_obs"):
            observation[key] = np.array(upstream_obs[key], dtype=np.float64)
        return observation

    def _info(self, info: Mapping[str, Any]) -> dict[str, Any]:
        position, euler = self._target
        return {
            "world": WorldInfo.from_calvin(info),
            "target_position": position.copy(),
            "target_euler": euler.copy(),
            "block_sizes": {name: size.copy() for name, size in self._block_sizes.items()},
        }

    def render(self) -> np.ndarray | None:
        """The static camera's image, (200, 200, 3) uint8, or None without a render mode.

        Raises:
            UpstreamError: The static camera is not among `cameras`, so calvin_env has none.
        """
        if self.render_mode is None:
            return None
        for camera in self._simulator.cameras:
            if camera.name == "static":
                return np.ascontiguousarray(camera.render()[0], np.uint8)
        raise UpstreamError(f"expected the static camera to be on for render(), got cameras={self._shown}.")

    def close(self) -> None:
        """Frees the simulator. Calling it twice is allowed."""
        if not self._is_closed:
            self._is_closed = True
            close_simulator(self._simulator)
