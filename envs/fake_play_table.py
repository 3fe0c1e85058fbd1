"""A world without PyBullet, for tests. It has the interface of `PlayTableEnv`, without depth."""

import hashlib
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict

from calvinbench.envs.names import require_name
from calvinbench.envs.observation import (
    CAMERA_SIZES,
    MAX_RELATIVE_EULER_RAD,
    MAX_RELATIVE_POSITION_M,
    ROBOT_OBS_DIM,
    SCENE_OBS_DIM,
    ActionConvention,
    require_finite_action,
    require_finite_state,
)
from calvinbench.envs.world import WorldTraits, shown_keys
from calvinbench.envs.world_info import BLOCKS, TABLE, BlockInfo, Contact, WorldInfo

SLIDER_MAX_M = 0.28
DRAWER_MAX_M = 0.22
DOOR_STEP_M = 0.022
"""How far an action of 1 moves the slider or the drawer."""
_TABLE_TOP = Contact(TABLE, "base_link")
_NO_VELOCITY = np.zeros(3)


class FakePlayTable(gymnasium.Env[dict[str, np.ndarray], np.ndarray]):
    """A play table where the action moves slider, drawer and lights directly. Blocks stay where they are.

    The tool's target moves as in the real world. Each step also moves

    - the slider's joint moves by 0.022 m times `action[0]` (`move_slider_left`, `_right`: 7 steps of 1, of -1),
    - the drawer's joint by 0.022 m times `action[1]` (`open_drawer`, `close_drawer`: 6 steps),
    - the lightbulb: on if `action[2]` is above 0.5, off if it is below -0.5; the led in the same way by `action[3]`.

    Images have one brightness, which grows as the slider opens. Only `rel_actions` are accepted.
    """

    metadata = {"render_modes": []}  # noqa: RUF012  Gymnasium's own form
    renderer = "fake"
    action_convention = ActionConvention.REL_ACTIONS

    def __init__(self, cameras: Sequence[str] = ("static", "gripper")) -> None:
        """Makes a world.

        Args:
            cameras: Names of the cameras to show, among `CAMERA_SIZES`.
        """
        self._cameras = tuple(require_name(camera, tuple(CAMERA_SIZES), "camera") for camera in cameras)
        spaces: dict[str, gymnasium.Space[Any]] = {
            f"rgb_{camera}": Box(0, 255, (CAMERA_SIZES[camera], CAMERA_SIZES[camera], 3), np.uint8)
            for camera in self._cameras
        }
        spaces["robot_obs"] = Box(-np.inf, np.inf, (ROBOT_OBS_DIM,), np.float64)
        spaces["scene_obs"] = Box(-np.inf, np.inf, (SCENE_OBS_DIM,), np.float64)
        self.observation_space: gymnasium.Space[Any] = Dict(spaces)
        self.action_space = Box(-1.0, 1.0, (ActionConvention.REL_ACTIONS.action_dim,), np.float64)
        self._robot_obs = np.zeros(ROBOT_OBS_DIM)
        self._scene_obs = np.zeros(SCENE_OBS_DIM)
        self._target = np.zeros(6)
        self._skips_images = False

    @property
    def traits(self) -> WorldTraits:
        """What the world says about itself."""
        return WorldTraits(
            scene="fake",
            asset_digest=self.digest(),
            action_convention=self.action_convention,
            observation_keys=shown_keys(self._cameras),
            renderer=self.renderer,
        )

    def digest(self) -> str:
        """A constant, in place of the digest of a scene's files."""
        return hashlib.sha256(b"fake").hexdigest()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Sets a state, or draws the positions of slider and drawer.

        Args:
            seed: For the draw.
            options: `{"robot_obs": (15,), "scene_obs": (24,)}`; a missing state is drawn or zero.

        Raises:
            ValueError: A state has the wrong shape or is not finite.
            UnknownNameError: `options` has another key.
        """
        super().reset(seed=seed)
        given = options or {}
        for key in given:
            require_name(key, ("robot_obs", "scene_obs"), "reset option")
        robot_obs = given.get("robot_obs")
        robot_obs = self._robot_obs * 0 if robot_obs is None else robot_obs
        self._robot_obs = require_finite_state(robot_obs, "robot_obs", ROBOT_OBS_DIM)
        if given.get("scene_obs") is not None:
            self._scene_obs = require_finite_state(given["scene_obs"], "scene_obs", SCENE_OBS_DIM)
        else:
            self._scene_obs = np.zeros(SCENE_OBS_DIM)
            self._scene_obs[:2] = self.np_random.uniform(0.0, (SLIDER_MAX_M, DRAWER_MAX_M))
        self._target = self._robot_obs[:6].copy()
        return self.observe(), self._info()

    def step(self, action: np.ndarray) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        """Applies a relative action.

        Raises:
            ValueError: The action has another shape, or a number is NaN or infinite.
        """
        action = require_finite_action(action, self.action_convention)
        self._target += action[:6] * np.repeat([MAX_RELATIVE_POSITION_M, MAX_RELATIVE_EULER_RAD], 3)
        self._robot_obs[:6] = self._target
        self._robot_obs[-1] = action[-1]
        doors = self._scene_obs[:2] + DOOR_STEP_M * action[:2]
        self._scene_obs[:2] = np.clip(doors, 0.0, (SLIDER_MAX_M, DRAWER_MAX_M))
        for light, command in ((4, action[2]), (5, action[3])):
            if abs(command) > 0.5:
                self._scene_obs[light] = float(command > 0)
        observation = self._states() if self._skips_images else self.observe()
        return observation, 0.0, False, False, self._info()

    def skip_images(self, skips: bool) -> bool:
        """Sets whether `step` leaves images out, see `world.ImagesOnDemand`."""
        self._skips_images = skips
        return True

    def observe(self) -> dict[str, np.ndarray]:
        """The observation of the world as it is now, with images."""
        brightness = round(255 * float(np.clip(self._scene_obs[0] / SLIDER_MAX_M, 0, 1)))
        images = {
            f"rgb_{camera}": np.full((CAMERA_SIZES[camera], CAMERA_SIZES[camera], 3), brightness, np.uint8)
            for camera in self._cameras
        }
        return images | self._states()

    def _states(self) -> dict[str, np.ndarray]:
        return {"robot_obs": self._robot_obs.copy(), "scene_obs": self._scene_obs.copy()}

    def _info(self) -> dict[str, Any]:
        scene = self._scene_obs
        blocks = {
            name: BlockInfo(
                position=scene[start : start + 3].copy(),
                quaternion=np.array([0.0, 0.0, 0.0, 1.0]),
                linear_velocity=_NO_VELOCITY,
                angular_velocity=_NO_VELOCITY,
                contacts=frozenset({_TABLE_TOP}),
            )
            for name, start in zip(BLOCKS, (6, 12, 18), strict=True)
        }
        world = WorldInfo(
            blocks=blocks,
            joints={"base__slide": float(scene[0]), "base__drawer": float(scene[1])},
            lights={"lightbulb": int(scene[4]), "led": int(scene[5])},
            robot_contacts=frozenset(),
        )
        return {"world": world, "target_position": self._target[:3].copy(), "target_euler": self._target[3:].copy()}
