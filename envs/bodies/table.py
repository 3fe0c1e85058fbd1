"""The play table: sliding door, drawer, button, switch and the two lights that button and switch control.

Rules and forces are those of calvin_env (`scene/objects/*.py` at 797142c).
"""

from typing import Any

import numpy as np
from jaxtyping import Float64

from calvinbench.envs.scenes.scene import Scene

DOORS = ("base__slide", "base__drawer")
BUTTON = "base__button"
SWITCH = "base__switch"
JOINTS = (*DOORS, BUTTON, SWITCH)
"""The first four numbers of `scene_obs`, metres."""
LIGHT_LINKS = {"lightbulb": "light_link", "led": "led_link"}
"""The next two numbers of `scene_obs`, and the links that light up."""
LIGHT_COLOURS = {"lightbulb": (1.0, 1.0, 0.0, 1.0), "led": (0.0, 1.0, 0.0, 1.0)}
"""Yellow and green when lit; white when off."""
MAX_FIXTURE_FORCE_N = 4.0
"""Of the motors that act as friction of doors and switch, and of the motor that returns the button."""


class Table:
    """The play table in a Bullet client."""

    def __init__(self, client: Any, scene: Scene) -> None:
        """Loads the table and switches its motors on."""
        self._client = client
        self.uid = client.loadURDF(
            scene.table_urdf.as_posix(), (0, 0, 0), (0, 0, 0, 1), globalScaling=scene.global_scaling
        )
        self.link_names = {-1: "base_link"}
        self._joints: dict[str, int] = {}
        for index in range(client.getNumJoints(self.uid)):
            description = client.getJointInfo(self.uid, index)
            self.link_names[index] = description[12].decode()
            self._joints[description[1].decode()] = index
        links = {name: index for index, name in self.link_names.items()}
        self._light_links = {light: links[link] for light, link in LIGHT_LINKS.items()}
        self.ranges: dict[str, tuple[float, float]] = {
            joint: client.getJointInfo(self.uid, self._joints[joint])[8:10] for joint in JOINTS
        }
        """Limits of `JOINTS`, metres."""
        for joint in (*DOORS, SWITCH):
            client.setJointMotorControl2(
                self.uid, self._joints[joint], client.VELOCITY_CONTROL, force=MAX_FIXTURE_FORCE_N
            )
        client.setJointMotorControl2(
            self.uid, self._joints[BUTTON], client.POSITION_CONTROL, targetPosition=0, force=MAX_FIXTURE_FORCE_N
        )
        self._lights = dict.fromkeys(LIGHT_LINKS, 0)
        self._button_was_pressed = False
        self._switch_was_on = False

    @property
    def joints(self) -> dict[str, float]:
        """Positions of `JOINTS`, metres."""
        states = self._client.getJointStates(self.uid, [self._joints[joint] for joint in JOINTS])
        return {joint: state[0] for joint, state in zip(JOINTS, states, strict=True)}

    @property
    def lights(self) -> dict[str, int]:
        """`lightbulb` and `led`, 0 or 1."""
        return dict(self._lights)

    @property
    def light_colours(self) -> dict[int, tuple[float, float, float]]:
        """Colours of the links that light up, by the link's number: red, green, blue in 0..1."""
        return {self._light_links[light]: _shown_colour(light, lit)[:3] for light, lit in self._lights.items()}

    def reset(self, state: Float64[np.ndarray, "6"], knows_press: bool = True) -> None:
        """Sets the four joints and the two lights, in the order of `scene_obs`.

        Args:
            state: The joints in metres, the lights as 0 or 1.
            knows_press: Whether a button that is down in this state counts as pressed before. If not, it counts as a
                new press if it is still down after the first action.
        """
        for joint, position in zip(JOINTS, state[:4], strict=True):
            self._client.resetJointState(self.uid, self._joints[joint], position)
        for light, lit in zip(LIGHT_LINKS, state[4:], strict=True):
            self._set_light(light, int(lit))
        self._button_was_pressed = knows_press and self._is_past_middle(BUTTON)
        self._switch_was_on = False

    def observe(self) -> Float64[np.ndarray, "6"]:
        """The four joints and the two lights."""
        return np.array([*self.joints.values(), *self._lights.values()], dtype=np.float64)

    def update_lights(self) -> None:
        """Updates the lights; called once after each action.

        Each new press of the button toggles the led. Pushing the switch past its middle turns the lightbulb on, and
        moving it back turns the lightbulb off.
        """
        pressed = self._is_past_middle(BUTTON)
        if pressed and not self._button_was_pressed:
            self._set_light("led", 1 - self._lights["led"])
        self._button_was_pressed = pressed
        switched_on = self._is_past_middle(SWITCH)
        if switched_on != self._switch_was_on:
            self._set_light("lightbulb", int(switched_on))
        self._switch_was_on = switched_on

    def _is_past_middle(self, joint: str) -> bool:
        position = self._client.getJointState(self.uid, self._joints[joint])[0]
        return bool(position > sum(self.ranges[joint]) / 2)

    def _set_light(self, light: str, lit: int) -> None:
        self._lights[light] = lit
        self._client.changeVisualShape(self.uid, self._light_links[light], rgbaColor=_shown_colour(light, lit))


def _shown_colour(light: str, lit: int) -> tuple[float, float, float, float]:
    return LIGHT_COLOURS[light] if lit else (1.0, 1.0, 1.0, 1.0)
