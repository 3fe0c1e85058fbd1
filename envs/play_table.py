"""PlayTableEnv: the robot, the table, the blocks and the cameras as one Gymnasium environment."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, SupportsFloat

import gymnasium
import numpy as np
from jaxtyping import Float64

from calvinbench.envs.bodies.bullet import BulletClient
from calvinbench.envs.bodies.floor import load_floor
from calvinbench.envs.bodies.robot import FINGER_OPEN_M, OPEN, Robot
from calvinbench.envs.bodies.table import Table
from calvinbench.envs.cameras.cameras import Camera, CameraImage, CameraPose, require_camera_sizes
from calvinbench.envs.cameras.renderers import OPENGL_LOOK, make_renderer
from calvinbench.envs.names import require_name
from calvinbench.envs.observation import (
    CAMERA_SIZES,
    CONTROL_HZ,
    PHYSICS_HZ,
    ROBOT_OBS_DIM,
    SCENE_OBS_DIM,
    ActionConvention,
    require_finite_state,
)
from calvinbench.envs.scenes.loading import load_scene
from calvinbench.envs.scenes.panda import LOWER_JOINT_LIMITS, UPPER_JOINT_LIMITS
from calvinbench.envs.scenes.scene import Pose
from calvinbench.envs.scenes.scene_files import without_visuals
from calvinbench.envs.simulation import PARITY, REPRODUCIBLE, SIMULATIONS
from calvinbench.envs.spaces import WORLD_BOUND_M, action_space, observation_space
from calvinbench.envs.world import WorldTraits, shown_keys
from calvinbench.envs.world_info import ROBOT, TABLE, BlockInfo, Contact, WorldInfo

GRAVITY = -9.8
SUBSTEPS = PHYSICS_HZ // CONTROL_HZ
_MIN_BLOCK_DISTANCE_M = 0.12
"""Smallest distance between the centres of blocks that `reset` draws: more than the diagonal of the biggest one."""
_FIXTURE_SLACK_M = 0.01
_FINGER_SLACK_M = 0.03
_JOINT_SLACK_RAD = 0.1
"""How far a state may exceed the limits of joints. Bullet's joints yield a little under pressure."""


class PlayTableEnv(gymnasium.Env[dict[str, np.ndarray], np.ndarray]):
    """CALVIN's play table, stepped at 30 Hz.

    Observations are a dictionary: `rgb_static` (200, 200, 3) and `rgb_gripper` (84, 84, 3) uint8, `depth_static` and
    `depth_gripper` in metres if `depth` is on, `robot_obs` (15,) and `scene_obs` (24,) float64, see
    `calvinbench.envs.observation`. Only the requested cameras are rendered and observed.

    `info` has `world` (a `WorldInfo`, which the oracle reads), the tool's target as `target_position` (3,) and
    `target_euler` (3,), and `block_sizes`, the edges (3,) of each block in metres, by name. The reward is always 0 and
    an episode never ends. `ChainEnv` adds tasks.

    The same state and actions give bit-identical observations, whatever happened before in the process. For this,
    every reset loads the world again (about 16 ms for the embedded scene, see `benchmarks/`), because Bullet's broad
    phase remembers earlier motion, and a saved state does not restore that. With `simulation="parity"`, observations
    are those of calvin_env 797142c with each episode in a process of its own.
    """

    metadata = {  # noqa: RUF012  (as Gymnasium declares it)
        "render_modes": ["rgb_array"],
        "render_fps": CONTROL_HZ,
    }

    def __init__(
        self,
        scene: str = "embedded",
        cameras: Sequence[str] = ("static", "gripper"),
        depth: bool = False,
        camera_sizes: Mapping[str, int] | None = None,
        action_convention: ActionConvention | str = ActionConvention.REL_ACTIONS,
        renderer: str = OPENGL_LOOK,
        render_mode: str | None = None,
        calvin_env: str | Path | None = None,
        simulation: str = REPRODUCIBLE,
        depth_bits: int | None = None,
    ) -> None:
        """Builds the world.

        Args:
            scene: One of `scene.SCENES`.
            cameras: Which of `static` and `gripper` are rendered at each step.
            depth: Whether depths are observed too.
            camera_sizes: Width and height in pixels by camera, if they differ from CALVIN's 200 and 84.
            action_convention: What the numbers of an action mean.
            renderer: One of `renderers.RENDERERS`.
            render_mode: `"rgb_array"` makes `render()` return the static camera's image.
            calvin_env: The checkout of calvin_env for scenes A to D; None finds one, see `find_calvin_env`.
            simulation: One of `simulation.SIMULATIONS`.
            depth_bits: Bits of the depth buffer of `opengl-look`, 16 or 24. None means 16 in CALVIN's scenes, as in the
                images of the Mesa driver, and 24 in ours.

        Raises:
            TypeError: `cameras` is no list of names, or a camera's size is no integer.
            UnknownNameError: A scene, camera, convention, renderer or simulation does not exist.
            CheckoutError: The scene is CALVIN's, and its checkout is missing, incomplete or damaged.
            RendererError: The renderer does not work on this machine.
            ValueError: A camera's size is below 1, the render mode does not exist, or `depth_bits` is neither.
        """
        camera_sizes = require_camera_sizes(camera_sizes)
        if isinstance(cameras, str):
            raise TypeError(f"expected cameras as a list of names, got '{cameras}'. Write ('{cameras}',).")
        if not isinstance(cameras, Iterable):
            raise TypeError(f"expected cameras as a list of names, got {cameras!r}. Write () for none.")
        cameras = tuple(cameras)
        for camera in (*cameras, *camera_sizes):
            require_name(camera, tuple(CAMERA_SIZES), "camera")
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f"expected render_mode None or 'rgb_array', got {render_mode!r}.")
        self.action_convention = ActionConvention(
            require_name(str(action_convention), [str(c) for c in ActionConvention], "action convention")
        )
        self.simulation = require_name(simulation, SIMULATIONS, "simulation")
        self.scene = load_scene(scene, calvin_env)
        self._block_sizes = {name: np.array(size) for name, size in self.scene.block_sizes().items()}
        self.render_mode = render_mode
        self._shown = tuple(camera for camera in CAMERA_SIZES if camera in cameras)
        self._depth = depth
        self._client = BulletClient()
        self._renderer = make_renderer(renderer, self._client, self.scene, depth_bits)
        if self._shown or render_mode is not None:
            self._renderer.prepare()
        urdf = self.scene.robot_urdf
        self._robot_urdf = urdf if self._renderer.reads_bullet else without_visuals(urdf)
        self.renderer = renderer
        self.depth_bits = self._renderer.depth_bits
        self._load()
        self._is_set = self._skips_images = False
        self._cameras = {
            camera: Camera(
                self._client, self._renderer, camera, camera_sizes.get(camera), lambda: self._robot.camera_pose
            )
            for camera in CAMERA_SIZES
        }
        sizes = {camera: camera_sizes.get(camera, CAMERA_SIZES[camera]) for camera in self._shown}
        self.observation_space = observation_space(sizes, depth)
        self.action_space = action_space(self.action_convention)

    def _load(self) -> None:
        """Empties the simulation and loads every body, in the same order as calvin_env."""
        client = self._client
        if self.simulation == PARITY:
            client.renew()
        client.resetSimulation()
        self._renderer.before_loading()
        client.setGravity(0, 0, GRAVITY)
        client.setTimeStep(1 / PHYSICS_HZ)
        self._robot = Robot(client, self._robot_urdf)
        self._blocks = {name: self._load_block(name) for name in self.scene.block_urdfs}
        self._table = Table(client, self.scene)
        if self.scene.floor_urdf is None:
            load_floor(client)
        else:
            client.loadURDF(self.scene.floor_urdf.as_posix())
        self._renderer.after_loading(self._robot.uid, tuple(self._blocks.values()), self._table)
        # From body and link numbers to the names in contacts.
        self._contact_names = {
            (uid, link): Contact(body, name)
            for body, uid, links in (
                (ROBOT, self._robot.uid, self._robot.link_names),
                (TABLE, self._table.uid, self._table.link_names),
                *((name, uid, {-1: "base_link"}) for name, uid in self._blocks.items()),
            )
            for link, name in links.items()
        }
        # Emptying the simulation clears this flag, so set it last. calvin_env sets it earlier, without effect.
        if self.simulation == REPRODUCIBLE:
            client.setPhysicsEngineParameter(deterministicOverlappingPairs=1)

    def _load_block(self, name: str) -> int:
        pose = self.scene.load_poses.get(name, Pose())
        return int(
            self._client.loadURDF(
                self.scene.block_urdfs[name].as_posix(),
                pose.position,
                self._client.getQuaternionFromEuler(pose.euler),
                globalScaling=self.scene.global_scaling,
            )
        )

    @cached_property
    def traits(self) -> WorldTraits:
        """What the world says about itself."""
        return WorldTraits(
            scene=self.scene.name,
            asset_digest=self.digest(),
            action_convention=self.action_convention,
            observation_keys=shown_keys(self._shown, self._depth),
            renderer=self.renderer,
            depth_bits=self.depth_bits,
            simulation=self.simulation,
            calvin_env=self.calvin_env_revision,
        )

    def digest(self) -> str:
        """SHA-256 of the files that the scene is loaded from."""
        return self.scene.digest()

    @property
    def calvin_env_revision(self) -> str | None:
        """The revision of calvin_env that the scene is from: `"unknown"` if not found, None for our own scene."""
        checkout = self.scene.calvin_env
        return None if checkout is None else checkout.revision or "unknown"

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Sets the world to a state.

        Args:
            seed: Seeds the generator that states are drawn from.
            options: `{"robot_obs": (15,), "scene_obs": (24,)}`, either or both. Without `robot_obs` the arm stands in
                CALVIN's initial pose; without `scene_obs` a scene is drawn: doors open or closed, lights on or off,
                blocks anywhere on the table or in the cabinet.

        Raises:
            ValueError: A state has the wrong shape, is not finite, has joints beyond their limits, or lights or a
                gripper action between on and off.
            UnknownNameError: `options` has another key.
            RuntimeError: The world is closed.
        """
        super().reset(seed=seed)
        options = options or {}
        for key in options:
            require_name(key, ("robot_obs", "scene_obs"), "reset option")
        robot_obs = options.get("robot_obs")
        scene_obs = options.get("scene_obs")
        if robot_obs is not None:
            robot_obs = _require_robot_obs(robot_obs)
        scene_obs = self._draw_scene() if scene_obs is None else self._require_scene_obs(scene_obs)
        self._load()
        # A fresh process of calvin_env has seen no press of the button, and its gripper is open.
        is_first = self.simulation == PARITY
        self._table.reset(scene_obs[:6], knows_press=not is_first)
        for uid, pose in zip(self._blocks.values(), scene_obs[6:].reshape(3, 6), strict=True):
            quaternion = self._client.getQuaternionFromEuler(pose[3:].tolist())
            self._client.resetBasePositionAndOrientation(uid, pose[:3].tolist(), quaternion)
        if is_first and robot_obs is not None:
            robot_obs[14] = OPEN
        self._robot.reset(robot_obs)
        # As in CALVIN, reset takes one physics step, which finds the contacts.
        self._client.stepSimulation()
        self._renderer.world_changed()
        self._is_set = True
        return self.observe(), self._info()

    def step(self, action: np.ndarray) -> tuple[dict[str, np.ndarray], SupportsFloat, bool, bool, dict[str, Any]]:
        """Applies one action for a thirtieth of a second.

        Args:
            action: As `action_convention` says. Numbers outside the action space are not clipped.

        Raises:
            ValueError: The shape is wrong, or a number is NaN or infinite; the world has not moved then.
            RuntimeError: The world was never reset, or is closed.
        """
        self._require_set("step")
        self._robot.apply(action, self.action_convention)
        for _ in range(SUBSTEPS):
            self._client.stepSimulation()
        self._table.update_lights()
        self._renderer.world_changed()
        observation = self._states() if self._skips_images else self.observe()
        return observation, 0.0, False, False, self._info()

    def skip_images(self, skips: bool) -> bool:
        """Sets whether `step` leaves images and depths out, see `world.ImagesOnDemand`."""
        self._skips_images = skips
        return True

    def render(self) -> np.ndarray | None:
        """The static camera's image, (200, 200, 3) uint8 at its native size, or None without a render mode."""
        return self._cameras["static"].take(with_depth=False).rgb if self.render_mode == "rgb_array" else None

    def camera_poses(self) -> dict[str, CameraPose]:
        """Pose and lens of both cameras, in the world as it is now. The gripper camera moves with the arm."""
        return {name: camera.pose() for name, camera in self._cameras.items()}

    def images(self) -> dict[str, CameraImage]:
        """The current images of both cameras, with depths, even if they are not observed.

        Raises:
            RuntimeError: The world was never reset, or is closed.
        """
        self._require_set("images()")
        return {name: camera.take() for name, camera in self._cameras.items()}

    pictures = images
    """The old name of `images`."""

    def close(self) -> None:
        """Frees the simulator. Calling it twice is allowed."""
        self._client.close()

    def _require_set(self, what: str) -> None:
        if not self._is_set:
            raise RuntimeError(f"expected reset before {what}: no state has been set.")

    def _require_scene_obs(self, value: Any) -> Float64[np.ndarray, "24"]:
        """Returns a `scene_obs` that can be set, or raises an error that says what is wrong with it."""
        scene_obs = require_finite_state(value, "scene_obs", SCENE_OBS_DIM)
        for index, (low, high) in enumerate(self._table.ranges.values()):
            _require_between(scene_obs, "scene_obs", index, low, high, _FIXTURE_SLACK_M)
        for index in (4, 5):
            _require_one_of(scene_obs, "scene_obs", index, (0.0, 1.0))
        for index in range(6, SCENE_OBS_DIM):
            _require_between(scene_obs, "scene_obs", index, -WORLD_BOUND_M, WORLD_BOUND_M)
        return scene_obs

    def _draw_scene(self) -> Float64[np.ndarray, "24"]:
        """Draws a `scene_obs`: fixtures at their ends, blocks apart from each other on the scene's surfaces."""
        generator = self.np_random
        slider, drawer, switch, led = generator.integers(0, 2, size=4)
        surfaces = tuple(self.scene.surfaces.values())
        poses: list[np.ndarray] = []
        while len(poses) < len(self._blocks):
            position = surfaces[generator.integers(len(surfaces))].draw(generator)
            if all(np.linalg.norm(position - pose[:3]) > _MIN_BLOCK_DISTANCE_M for pose in poses):
                poses.append(np.array([*position, 0.0, 0.0, generator.uniform(-np.pi, np.pi)]))
        ends = [high for _, high in self._table.ranges.values()]
        fixtures = np.array([ends[0] * slider, ends[1] * drawer, 0.0, ends[3] * switch, switch, led])
        return np.concatenate([fixtures, *poses])

    def observe(self) -> dict[str, np.ndarray]:
        """The observation of the world as it is now, with images, even if `step` leaves them out.

        Raises:
            RuntimeError: The world was never reset, or is closed.
        """
        self._require_set("observe()")
        observation: dict[str, np.ndarray] = {}
        for camera in self._shown:
            image = self._cameras[camera].take(self._depth)
            observation[f"rgb_{camera}"] = image.rgb
            if image.depth is not None:
                observation[f"depth_{camera}"] = image.depth
        return observation | self._states()

    def _states(self) -> dict[str, np.ndarray]:
        return {"robot_obs": self._robot.observe(), "scene_obs": self._observe_scene()}

    def _observe_scene(self) -> Float64[np.ndarray, "24"]:
        poses = []
        for uid in self._blocks.values():
            position, quaternion = self._client.getBasePositionAndOrientation(uid)
            poses.append(np.array([*position, *self._client.getEulerFromQuaternion(quaternion)]))
        return np.concatenate([self._table.observe(), *poses])

    def _info(self) -> dict[str, Any]:
        target = self._robot.target
        return {
            "world": self._world_info(),
            "target_position": target.position.copy(),
            "target_euler": target.euler.copy(),
            "block_sizes": {name: size.copy() for name, size in self._block_sizes.items()},
        }

    def _world_info(self) -> WorldInfo:
        contacts = self._contacts()
        blocks = {}
        for name, uid in self._blocks.items():
            position, quaternion = self._client.getBasePositionAndOrientation(uid)
            linear, angular = self._client.getBaseVelocity(uid)
            blocks[name] = BlockInfo(
                np.array(position), np.array(quaternion), np.array(linear), np.array(angular), contacts[uid]
            )
        return WorldInfo(blocks, self._table.joints, self._table.lights, contacts[self._robot.uid])

    def _contacts(self) -> dict[int, frozenset[Contact]]:
        """The contacts of each block and of the robot, by body number, from a single query."""
        touching: dict[int, set[Contact]] = {uid: set() for uid in (self._robot.uid, *self._blocks.values())}
        for _, body_a, body_b, link_a, link_b, *_ in self._client.getContactPoints():
            for body, other, other_link in ((body_a, body_b, link_b), (body_b, body_a, link_a)):
                if body in touching:
                    touching[body].add(self._contact_names.get((other, other_link), Contact("floor", "base_link")))
        return {uid: frozenset(contacts) for uid, contacts in touching.items()}


def _require_robot_obs(value: Any) -> Float64[np.ndarray, "15"]:
    """Returns a `robot_obs` that can be set, or raises an error that says what is wrong with it."""
    robot_obs = require_finite_state(value, "robot_obs", ROBOT_OBS_DIM)
    _require_between(robot_obs, "robot_obs", 6, 0.0, 2 * FINGER_OPEN_M, _FINGER_SLACK_M)
    for index, (low, high) in enumerate(zip(LOWER_JOINT_LIMITS, UPPER_JOINT_LIMITS, strict=True), start=7):
        _require_between(robot_obs, "robot_obs", index, low, high, _JOINT_SLACK_RAD)
    _require_one_of(robot_obs, "robot_obs", 14, (-1.0, 1.0))
    return robot_obs


def _require_between(state: np.ndarray, name: str, index: int, low: float, high: float, slack: float = 0.0) -> None:
    if not low - slack <= state[index] <= high + slack:
        raise ValueError(f"expected {name}[{index}] between {low:g} and {high:g}, got {state[index]:g}.")


def _require_one_of(state: np.ndarray, name: str, index: int, allowed: tuple[float, float]) -> None:
    if state[index] not in allowed:
        raise ValueError(f"expected {name}[{index}] to be {allowed[0]:g} or {allowed[1]:g}, got {state[index]:g}.")
