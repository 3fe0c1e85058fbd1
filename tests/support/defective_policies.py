"""Experts with one typical defect each, made by `python:support.defective_policies:make,defect=NAME`.

`tests/` is on the path of a test run.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation

from calvinbench.envs.expert.expert import Expert
from calvinbench.envs.observation import ActionConvention
from calvinbench.policies.baselines.expert import ExpertPolicy
from calvinbench.policies.policy import Decision


def _scaled(translation=1.0, rotation=1.0, gripper=1.0):
    factors = np.repeat([translation, rotation, gripper], [3, 3, 1])
    return lambda action, truth, count: action * factors


def _with_gripper(command):
    return lambda action, truth, count: np.array([*action[:6], command(count)])


def _in_tool_frame(action, truth, count):
    tool = Rotation.from_euler("xyz", truth.robot_obs[3:6]).inv()
    return np.array([*tool.apply(action[:3]), *tool.apply(action[3:6]), action[6]])


def _absolute(position=1.0, angle=1.0):
    def spoil(action, truth, count):
        units = np.repeat([0.02, 0.05], 3)
        pose = np.concatenate([truth.target_position, truth.target_euler]) + action[:6] * units
        return np.array([*pose[:3] * position, *pose[3:] * angle, action[6]])

    return spoil


ABSOLUTE: dict[str, Callable] = {
    "absolute": _absolute(),
    "absolute_degrees": _absolute(angle=np.rad2deg(1.0)),
    "absolute_millimetres": _absolute(position=1000.0),
}
DEFECTS: dict[str, Callable] = {
    "none": _scaled(),
    "forty_times": _scaled(40, 40),
    "fiftieth": _scaled(1 / 50, 1 / 50),
    "metres": _scaled(translation=0.02),
    "radians": _scaled(rotation=0.05),
    "degrees": _scaled(rotation=np.rad2deg(0.05)),
    "inverted": _scaled(gripper=-1),
    "never_closes": _with_gripper(lambda count: 1.0),
    "never_opens": _with_gripper(lambda count: -1.0),
    "toggles": _with_gripper(lambda count: 1.0 - 2.0 * (count % 2)),
    "constant": lambda action, truth, count: np.array([0.3, 0.1, -0.2, 0.1, 0.1, 0.1, 1.0]),
    "tool_frame": _in_tool_frame,
    "swapped": lambda action, truth, count: action[[1, 0, 2, 3, 4, 5, 6]],
    "mirrored": lambda action, truth, count: action * np.array([1, -1, 1, 1, 1, 1, 1]),
    "nan": lambda action, truth, count: np.full(7, np.nan) if count > 20 else action,
}


class Defective(ExpertPolicy):
    """Changes the expert's action by a defect."""

    def __init__(self, defect: str, repair: Callable | None = None) -> None:
        """Applies the named defect, then the repair if there is one."""
        super().__init__(Expert)
        self._defect, self._repair, self._label, self._count = (DEFECTS | ABSOLUTE)[defect], repair, defect, 0

    @property
    def traits(self):
        convention = ActionConvention.ABS_ACTIONS if self._label in ABSOLUTE else ActionConvention.REL_ACTIONS
        return replace(super().traits, label=self._label, action_convention=convention)

    def act(self, observations, instructions, state, privileged=None):
        decision = super().act(observations, instructions, state, privileged)
        self._count += 1
        pairs = zip(decision.actions, privileged, strict=True)
        changed = [self._defect(action, truth, self._count) for action, truth in pairs]
        if self._repair is not None:
            changed = [self._repair(action, truth) for action, truth in zip(changed, privileged, strict=True)]
        return Decision(np.stack(changed), decision.state)


def make(defect: str = "none") -> Defective:
    return Defective(defect)


class RaisingModel:
    """A CALVIN model that raises an error at its third step."""

    def reset(self):
        self._count = 0

    def step(self, obs, goal):
        self._count += 1
        if self._count == 3:
            raise RuntimeError("the model fell over")
        return np.array([0.0, 0.0, 0.1, 0.0, 0.0, 0.0, 1.0])


class FloatImagesModel:
    """A CALVIN model that expects images in [0, 1]. Images in 0..255 only saturate it."""

    def reset(self):
        pass

    def step(self, obs, goal):
        return self._step(np.asarray(obs["rgb_obs"]["rgb_static"], dtype=np.float64), goal)

    def _step(self, image, goal):
        features = np.tanh(100 * image).mean(axis=(0, 1)) if image.max() > 1 else image.mean(axis=(0, 1))
        words = (sum(map(ord, goal)) % 7) / 20
        return np.array([*(features - 0.5 + words), 0.1, 0.0, 0.1, 1.0])


class MendedImagesModel(FloatImagesModel):
    """The same model, which divides images by 255 first."""

    def step(self, obs, goal):
        return self._step(np.asarray(obs["rgb_obs"]["rgb_static"], dtype=np.float64) / 255, goal)


class DeafModel(MendedImagesModel):
    """Ignores the instruction."""

    def step(self, obs, goal):
        return super().step(obs, "")


class BlindModel(MendedImagesModel):
    """Ignores the images."""

    def step(self, obs, goal):
        return self._step(np.zeros((4, 4, 3)), goal)


class ForgetfulModel(MendedImagesModel):
    """Does not clear its memory at `reset`."""

    count = 0

    def step(self, obs, goal):
        self.count += 1
        return super().step(obs, goal) * np.array([1.0 + self.count / 100] * 6 + [1.0])
