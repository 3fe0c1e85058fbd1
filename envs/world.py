"""The interface of a world: a Gymnasium environment that says what it is.

A world is the play table without chains: `reset` sets a state, `step` takes one action. `ChainEnv` adds the subtasks.
To write your own world, give it `traits` and test it with `calvinbench.envs.check.check_world`. A world whose images
take long to render can also have the methods of `ImagesOnDemand`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol, SupportsFloat, cast, runtime_checkable

import gymnasium
import numpy as np

from calvinbench.envs.names import require_name
from calvinbench.envs.observation import CAMERA_SIZES, OBSERVATION_KEYS, ActionConvention, is_image


@dataclass(frozen=True, slots=True)
class WorldTraits:
    """What a world says about itself before anything runs.

    The harness compares it with the policy's `PolicyTraits`, and records it in `run.json`.

    Attributes:
        scene: The scene's name.
        asset_digest: SHA-256 of the files that the scene is loaded from.
        action_convention: What the numbers of an action mean; its name as a string is accepted too.
        observation_keys: Which attributes of `Observation` the world shows, such as `rgb_static` or `robot_obs`.
        renderer: The name of the renderer that draws the images.
        depth_bits: Bits of the renderer's depth buffer; None if unknown.
        simulation: The name of the way in which physics is run; None if the world has only one.
        calvin_env: The revision of calvin_env that the scene is from; None for a scene that is not CALVIN's.

    Raises:
        UnknownNameError: There is no such action convention or observation key.
        ValueError: The scene, the digest or the renderer is empty.
    """

    scene: str
    asset_digest: str
    action_convention: ActionConvention
    observation_keys: tuple[str, ...]
    renderer: str
    depth_bits: int | None = None
    simulation: str | None = None
    calvin_env: str | None = None

    def __post_init__(self) -> None:
        conventions = list(ActionConvention)
        convention = ActionConvention(require_name(str(self.action_convention), conventions, "action convention"))
        object.__setattr__(self, "action_convention", convention)
        for key in self.observation_keys:
            require_name(key, OBSERVATION_KEYS, "observation key")
        for name in ("scene", "asset_digest", "renderer"):
            if not getattr(self, name).strip():
                raise ValueError(f"expected the {name} of a world, got an empty string.")

    @property
    def cameras(self) -> tuple[str, ...]:
        """Names of the cameras that the world renders."""
        return tuple(camera for camera in CAMERA_SIZES if f"rgb_{camera}" in self.observation_keys)


@runtime_checkable
class World(Protocol):
    """A Gymnasium environment with `traits`.

    `info` must hold `world`, a `WorldInfo` that the oracle reads, and the tool's target, `target_position` (3,) in
    metres and `target_euler` (3,) in radians. The reward is ignored, and the world itself never ends an episode.
    """

    @property
    def traits(self) -> WorldTraits:
        """What the world says about itself."""
        ...

    @property
    def observation_space(self) -> gymnasium.Space[Any]:
        """A `gymnasium.spaces.Dict` with at least `traits.observation_keys`."""
        ...

    @property
    def action_space(self) -> gymnasium.Space[Any]:
        """One action of the action convention."""
        ...

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Sets a state.

        Args:
            seed: Seeds the draw of whatever `options` leaves out.
            options: `{"robot_obs": (15,), "scene_obs": (24,)}`, either or both; see `observation.ROBOT_OBS_DIM`. Any
                other key raises an error.
        """
        ...

    def step(self, action: np.ndarray) -> tuple[dict[str, np.ndarray], SupportsFloat, bool, bool, dict[str, Any]]:
        """Applies one action for a thirtieth of a second.

        Raises:
            ValueError: The action has the wrong shape, or a number is NaN or infinite. The world has not moved then.
        """
        ...

    def close(self) -> None:
        """Frees what the world holds. Calling it twice is allowed."""
        ...


def shown_keys(cameras: Sequence[str], depth: bool = False) -> tuple[str, ...]:
    """The observation keys of a world with some cameras, depth or not, and proprioception."""
    kinds = ("rgb", "depth") if depth else ("rgb",)
    return (*(f"{kind}_{camera}" for camera in cameras for kind in kinds), "robot_obs")


class WorldTraitsError(TypeError):
    """A world that does not say what it is."""


def traits_of(world: gymnasium.Env[Any, Any]) -> WorldTraits:
    """The traits of a world, below any wrappers.

    Raises:
        WorldTraitsError: The world has no `traits`.
    """
    own = world.unwrapped
    traits = getattr(own, "traits", None)
    if not isinstance(traits, WorldTraits):
        found = "has none" if traits is None else f"has a {type(traits).__name__}"
        raise WorldTraitsError(
            f"expected a world with `traits`, a calvinbench.envs.world.WorldTraits, but {type(own).__name__} {found}. "
            "Give the class an attribute `traits`, then test it with calvinbench.envs.check.check_world(world)."
        )
    return traits


@runtime_checkable
class ImagesOnDemand(Protocol):
    """A world, or a wrapper, whose `step` can leave images out, because rendering takes most of a step.

    The harness uses this for policies that say which images they look at (`looks_next` in `policies.looking`). A world
    or wrapper without these two methods renders at every step, and everything else is the same.

    A subclass that changes `step` must also have an `observe` of its own. Otherwise its images are rendered at every
    step, because the inherited `observe` does not know what the new `step` does to images.
    """

    def skip_images(self, skips: bool) -> bool:
        """Sets whether `step` leaves images and depths out of the observations. `reset` always shows them.

        Args:
            skips: Whether they are left out from now on.

        Returns:
            Whether `step` follows. A wrapper returns False if the world below it cannot.
        """
        ...

    def observe(self) -> dict[str, np.ndarray]:
        """The observation of the world as it is now, with images. Nothing moves.

        Raises:
            RuntimeError: The world was never reset, or is closed.
        """
        ...


def skip_images(env: gymnasium.Env[Any, Any], skips: bool) -> bool:
    """Sets whether an environment leaves images out. Returns whether it follows, see `ImagesOnDemand.skip_images`."""
    return _can_skip_images(cast(Any, type(env))) and bool(cast(ImagesOnDemand, env).skip_images(skips))


def observe(env: gymnasium.Env[Any, Any]) -> dict[str, np.ndarray]:
    """The observation of an environment as it is now, with images.

    Raises:
        TypeError: The environment cannot tell, because it does not leave images out either.
    """
    if not _can_skip_images(cast(Any, type(env))):
        raise TypeError(
            f"expected an environment with skip_images and observe, but {type(env).__name__} lacks them, or changes "
            "step and not observe. Its step always shows the images: use what step returned."
        )
    return cast(ImagesOnDemand, env).observe()


@cache
def _can_skip_images(kind: type) -> bool:
    """Whether a class has the methods of `ImagesOnDemand`, and its `observe` is not older than its `step`."""
    owners = [parent for parent in kind.__mro__ if {"observe", "step"} & vars(parent).keys()]
    return hasattr(kind, "skip_images") and bool(owners) and "observe" in vars(owners[0])


def with_images(env: gymnasium.Env[Any, Any], observation: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The observation that `step` has just returned; with images, if they were left out."""
    if any(map(is_image, observation)) or not skip_images(env, False):
        return observation
    return observe(env)


def without_images(observation: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """An observation without its images and depths."""
    return {key: value for key, value in observation.items() if not is_image(key)}
