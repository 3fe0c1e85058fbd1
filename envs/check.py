"""`check_world`: does a world follow the interface? Run it on your own world before you run chains in it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict

from calvinbench.envs.chain_env import scene_of
from calvinbench.envs.chains import initial_observation, initial_states
from calvinbench.envs.observation import (
    CAMERA_SIZES,
    MAX_RELATIVE_POSITION_M,
    ROBOT_OBS_DIM,
    ActionConvention,
    is_image,
)
from calvinbench.envs.tasks import solved
from calvinbench.envs.world import World, WorldTraits, WorldTraitsError, skip_images, traits_of
from calvinbench.envs.world_info import BLOCKS, WorldInfo

NUM_STEPS = 3
"""Steps of each episode that is compared with its repetition."""
MAX_BLOCK_SHIFT_M = 0.02
"""A reset may move a block by this much from where `scene_obs` puts it: it settles in one physics step."""
MAX_JOINT_SHIFT_M = 0.01
"""A reset may move slider and drawer by this much."""
_SEED = 0


class WorldCheckError(AssertionError):
    """A world that does not follow the interface; the message says what was expected and what came."""


class _State(NamedTuple):
    """The options of a reset."""

    robot_obs: np.ndarray
    scene_obs: np.ndarray

    def options(self) -> dict[str, Any]:
        """Copies: a world may keep what it gets."""
        return {"robot_obs": self.robot_obs.copy(), "scene_obs": self.scene_obs.copy()}


class _Moment(NamedTuple):
    """What a world returned."""

    observation: dict[str, np.ndarray]
    info: Mapping[str, Any]


def check_world(world: object, *, deterministic: bool = True) -> None:
    """Resets and steps a world a dozen times, and checks everything that the harness relies on.

    It checks the traits, the spaces, the shapes and dtypes of observations, the options of `reset`, `info` (what the
    oracle and the expert read), the action convention, that bad actions raise an error, determinism, and the methods
    of `world.ImagesOnDemand` if the world has them. The world stays open, in an arbitrary state.

    Args:
        world: The world, without `ChainEnv`; wrappers are allowed.
        deterministic: Whether the same reset and actions must give the same observations, to the bit. False for a
            world whose episodes depend on the earlier ones.

    Raises:
        WorldCheckError: Something is not as `calvinbench.envs.world.World` describes it.
    """
    world = _require_environment(world)
    traits = _require_traits(world)
    _require_spaces(world, traits)
    _check_seeds(world, traits, deterministic)
    off, on = _two_states(world)
    before, after = (_reset_to(world, traits, state) for state in (off, on))
    _check_oracle(before.info["world"], after.info["world"])
    _check_unknown_option(world, off)
    first = _episode(world, traits, off)
    second = _episode(world, traits, off)
    if deterministic:
        for step, (one, other) in enumerate(zip(first, second, strict=True)):
            _require_equal(one.observation, other.observation, f"step {step} of the same episode, run twice,")
    _check_images_on_demand(world, traits, off, first if deterministic else None)
    _check_bad_actions(world, traits, off)


def _require_environment(world: object) -> gymnasium.Env[Any, Any]:
    """Returns the world if it is a Gymnasium environment at all."""
    if not isinstance(world, gymnasium.Env):
        raise WorldCheckError(f"expected a gymnasium.Env, got {type(world).__name__}. Derive the class from it.")
    return world


def _require_traits(world: gymnasium.Env[Any, Any]) -> WorldTraits:
    """The traits of a world that has the methods of one."""
    try:
        traits = traits_of(world)
    except WorldTraitsError as error:
        raise WorldCheckError(str(error)) from error
    if not isinstance(world.unwrapped, World):
        raise WorldCheckError(
            f"expected observation_space, action_space, reset, step and close, but {type(world.unwrapped).__name__} "
            "lacks some of them."
        )
    return traits


def _require_spaces(world: gymnasium.Env[Any, Any], traits: WorldTraits) -> None:
    """Spaces that hold what the traits promise."""
    space = world.observation_space
    if not isinstance(space, Dict):
        raise WorldCheckError(f"expected a gymnasium.spaces.Dict as observation_space, got {type(space).__name__}.")
    missing = [key for key in traits.observation_keys if key not in space.spaces]
    if missing:
        raise WorldCheckError(
            f"expected {', '.join(missing)} in observation_space, as traits.observation_keys says, got only "
            f"{', '.join(sorted(space.spaces))}."
        )
    shape = (traits.action_convention.action_dim,)
    if not isinstance(world.action_space, Box) or world.action_space.shape != shape:
        raise WorldCheckError(
            f"expected a Box of shape {shape} as action_space for '{traits.action_convention}', got "
            f"{world.action_space}."
        )


def _check_seeds(world: gymnasium.Env[Any, Any], traits: WorldTraits, deterministic: bool) -> None:
    """A reset without options draws a state, the same for the same seed."""
    one, other = (_require_moment(world.reset(seed=_SEED), world, traits, "reset") for _ in range(2))
    if deterministic:
        _require_equal(one.observation, other.observation, f"reset(seed={_SEED}), called twice,")


def _two_states(world: gymnasium.Env[Any, Any]) -> tuple[_State, _State]:
    """Two initial states of CALVIN's chains that differ in the led; the first is dark."""
    states = initial_states()
    dark = next(state for state in states if (state["led"], state["lightbulb"]) == (0, 0))
    lit = next(state for state in states if {**state, "led": 0} == dict(dark) and state["led"] == 1)
    scene = scene_of(world)
    off, on = (_State(*initial_observation(state, scene)) for state in (dark, lit))
    return off, on


def _reset_to(world: gymnasium.Env[Any, Any], traits: WorldTraits, state: _State) -> _Moment:
    """Sets a state, and compares what the oracle reads with it."""
    moment = _require_moment(world.reset(options=state.options()), world, traits, "reset")
    info: WorldInfo = moment.info["world"]
    slider, drawer, lightbulb, led = state.scene_obs[[0, 1, 4, 5]]
    _require_near("the slider's joint", [slider], [info.joints["base__slide"]], MAX_JOINT_SHIFT_M)
    _require_near("the drawer's joint", [drawer], [info.joints["base__drawer"]], MAX_JOINT_SHIFT_M)
    lights = {"lightbulb": int(lightbulb), "led": int(led)}
    if {name: info.lights.get(name) for name in lights} != lights:
        raise WorldCheckError(
            f"expected lights {lights} in info['world'] after a reset with that scene_obs, got {dict(info.lights)}. "
            "Use options['scene_obs'] in reset."
        )
    scene = scene_of(world)
    for index, block in enumerate(BLOCKS if scene is None else scene.block_urdfs):
        expected = state.scene_obs[6 + 6 * index : 9 + 6 * index]
        _require_near(f"the position of {block}", expected, info.blocks[block].position, MAX_BLOCK_SHIFT_M)
    return moment


def _require_near(what: str, expected: Sequence[float] | np.ndarray, found: Any, tolerance_m: float) -> None:
    if np.abs(np.subtract(expected, found)).max() > tolerance_m:
        raise WorldCheckError(
            f"expected {what} at {np.round(expected, 4).tolist()} m in info['world'] after a reset with that "
            f"scene_obs, got {np.round(found, 4).tolist()} m. Use options['scene_obs'] in reset."
        )


def _check_oracle(dark: WorldInfo, lit: WorldInfo) -> None:
    """The oracle sees what changed between two states."""
    if "turn_on_led" not in solved(dark, lit):
        raise WorldCheckError(
            f"expected the oracle to find 'turn_on_led' solved once the led is on, got {sorted(solved(dark, lit))}. "
            "Return a new WorldInfo from each reset and step; do not change the old one."
        )


def _check_unknown_option(world: gymnasium.Env[Any, Any], state: _State) -> None:
    """A misspelt option must not be ignored."""
    if not _raises(lambda: world.reset(options={"scene_ops": state.scene_obs}), (ValueError, KeyError)):
        raise WorldCheckError(
            "expected reset(options={'scene_ops': ...}) to raise an error, but it was accepted. Refuse every option "
            "but 'robot_obs' and 'scene_obs', so that a misspelt one is noticed."
        )


def _episode(world: gymnasium.Env[Any, Any], traits: WorldTraits, state: _State) -> list[_Moment]:
    """A reset and a few steps along x; what was returned earlier must not change."""
    moments = [_reset_to(world, traits, state)]
    for step in range(NUM_STEPS):
        last = moments[-1]
        kept = {key: np.array(value) for key, value in last.observation.items()}
        action = _action(traits.action_convention, last)
        target = np.array(last.info["target_position"])
        result = world.step(action.copy())
        moments.append(_require_step(result, world, traits))
        _require_equal(kept, last.observation, f"the observation before step {step}, which that step changed,")
        _check_target(traits.action_convention, target, moments[-1].info["target_position"])
    return moments


def _check_images_on_demand(
    world: gymnasium.Env[Any, Any], traits: WorldTraits, state: _State, shown: Sequence[_Moment] | None
) -> None:
    """A world that leaves images out shows the same images when it is asked.

    Args:
        world: The world.
        traits: Its traits.
        state: The state that the episode begins in.
        shown: The same episode with all images; None for a world whose episodes differ.
    """
    if hasattr(world, "skip_images") and not hasattr(world, "observe"):
        raise WorldCheckError(
            f"expected {type(world).__name__} to have observe, because it has skip_images. Add it, or remove "
            "skip_images; see calvinbench.envs.world.ImagesOnDemand."
        )
    if not skip_images(world, True):
        return
    last = _reset_to(world, traits, state)  # with images
    for step in range(NUM_STEPS):
        observation, *_, info = world.step(_action(traits.action_convention, last))
        if images := sorted(filter(is_image, observation)):
            raise WorldCheckError(
                f"expected no images from step after skip_images(True), got {', '.join(images)}. Leave them out, or "
                "let skip_images return False."
            )
        last = _require_moment((world.observe(), info), world, traits, "observe")  # type: ignore[attr-defined]
        what = f"step {step + 1}, with images left out and then taken by observe,"
        _require_equal(observation, last.observation, what)
        if shown is not None:
            _require_equal(shown[step + 1].observation, last.observation, what)
    skip_images(world, False)
    _require_step(world.step(_action(traits.action_convention, last)), world, traits)  # with images again


def _action(convention: ActionConvention, last: _Moment) -> np.ndarray:
    """An action that moves the target by 2 cm along x if the convention is Cartesian, else one that stays."""
    match convention:
        case ActionConvention.REL_ACTIONS:
            return np.array([1.0, 0, 0, 0, 0, 0, 1.0])
        case ActionConvention.ABS_ACTIONS:
            position = last.info["target_position"] + np.array([MAX_RELATIVE_POSITION_M, 0, 0])
            return np.array([*position, *last.info["target_euler"], 1.0])
        case ActionConvention.REL_JOINTS:
            return np.array([0.0] * 7 + [1.0])
        case ActionConvention.ABS_JOINTS:
            return np.array([*last.observation["robot_obs"][7:14], 1.0])


def _check_target(convention: ActionConvention, before: np.ndarray, after: np.ndarray) -> None:
    """A Cartesian action moved the target as the convention says."""
    if convention not in (ActionConvention.REL_ACTIONS, ActionConvention.ABS_ACTIONS):
        return
    expected = before + np.array([MAX_RELATIVE_POSITION_M, 0, 0])
    if not np.allclose(after, expected, atol=1e-6):
        raise WorldCheckError(
            f"expected the action to move info['target_position'] to {expected.tolist()}, as '{convention}' means it, "
            f"got {np.asarray(after).tolist()}. Scale relative positions by {MAX_RELATIVE_POSITION_M} m."
        )


def _require_step(result: Any, world: gymnasium.Env[Any, Any], traits: WorldTraits) -> _Moment:
    """What a step returned, its five parts checked."""
    if not isinstance(result, tuple) or len(result) != 5:
        raise WorldCheckError("expected step to return (observation, reward, terminated, truncated, info).")
    observation, reward, terminated, truncated, info = result
    if not np.isscalar(reward):
        raise WorldCheckError(f"expected a number as reward, got {reward!r}. Return 0.0: ChainEnv rewards.")
    if terminated or truncated:
        raise WorldCheckError(
            f"expected a world that never ends an episode, got terminated={terminated}, truncated={truncated}. Return "
            "False for both: ChainEnv ends the episode."
        )
    return _require_moment((observation, info), world, traits, "step")


def _require_moment(result: Any, world: gymnasium.Env[Any, Any], traits: WorldTraits, call: str) -> _Moment:
    """Observation and info, with all that somebody reads."""
    if not isinstance(result, tuple) or len(result) != 2:
        raise WorldCheckError(f"expected {call} to return (observation, info).")
    observation, info = result
    if not isinstance(observation, Mapping) or not isinstance(info, Mapping):
        raise WorldCheckError(f"expected two mappings from {call}, got {[type(part).__name__ for part in result]}.")
    _check_observation(observation, world, traits, call)
    _check_info(info, call)
    return _Moment(dict(observation), info)


def _check_observation(
    observation: Mapping[str, Any], world: gymnasium.Env[Any, Any], traits: WorldTraits, call: str
) -> None:
    """Keys, dtypes, shapes and numbers."""
    space = cast(Dict, world.observation_space)  # `_require_spaces` has checked it
    if set(observation) != set(space.spaces):
        raise WorldCheckError(
            f"expected the keys of observation_space from {call}, {sorted(space.spaces)}, got {sorted(observation)}."
        )
    for key, value in observation.items():
        if not isinstance(value, np.ndarray):
            raise WorldCheckError(f"expected '{key}' as a numpy array from {call}, got {type(value).__name__}.")
        shape = space[key].shape
        dtype, dims = _form(key, shape)
        if value.dtype != dtype or value.shape != shape or value.shape != dims:
            raise WorldCheckError(
                f"expected '{key}' as {np.dtype(dtype)} of shape {dims} from {call}, got {value.dtype} of "
                f"{value.shape}; observation_space says {shape}."
            )
        if not np.isfinite(value).all():
            raise WorldCheckError(f"expected finite numbers in '{key}' from {call}, got {value.ravel()[:8].tolist()}.")
    lacking = [key for key in traits.observation_keys if key not in observation]
    if lacking:
        raise WorldCheckError(f"expected {', '.join(lacking)} from {call}, as traits.observation_keys says.")


def _form(key: str, shape: tuple[int, ...] | None) -> tuple[type[np.generic], tuple[int, ...] | None]:
    """The dtype and the shape of an observation; images may have any size."""
    kind, _, camera = key.partition("_")
    size = (shape or ())[:2]
    if camera in CAMERA_SIZES and kind == "rgb":
        return np.uint8, (*size, 3)
    if camera in CAMERA_SIZES and kind == "depth":
        return np.float32, size
    return np.float64, (ROBOT_OBS_DIM,) if key == "robot_obs" else shape


def _check_info(info: Mapping[str, Any], call: str) -> None:
    """What the oracle and the expert read."""
    world = info.get("world")
    if not isinstance(world, WorldInfo):
        raise WorldCheckError(
            f"expected a calvinbench.envs.world_info.WorldInfo as info['world'] from {call}, got "
            f"{type(world).__name__}. The oracle reads it. WorldInfo.from_calvin reads calvin_env's own info."
        )
    for name, found, expected in (
        ("blocks", world.blocks, BLOCKS),
        ("joints", world.joints, ("base__slide", "base__drawer")),
        ("lights", world.lights, ("lightbulb", "led")),
    ):
        lacking = [key for key in expected if key not in found]
        if lacking:
            raise WorldCheckError(
                f"expected {', '.join(expected)} in info['world'].{name}, but {', '.join(lacking)} is missing."
            )
    for key in ("target_position", "target_euler"):
        value = info.get(key)
        if not isinstance(value, np.ndarray) or value.shape != (3,) or not np.isfinite(value).all():
            raise WorldCheckError(
                f"expected info['{key}'] as three finite numbers in a numpy array from {call}, got {value!r}."
            )


def _check_bad_actions(world: gymnasium.Env[Any, Any], traits: WorldTraits, state: _State) -> None:
    """Actions that make no sense raise an error."""
    last = _reset_to(world, traits, state)
    good = _action(traits.action_convention, last)
    bad = {"with a NaN": np.where(np.arange(len(good)) == 0, np.nan, good), "that is too short": good[:-2]}
    for what, action in bad.items():
        if not _raises(lambda: world.step(action), (ValueError, TypeError)):  # noqa: B023  (called at once)
            raise WorldCheckError(
                f"expected step to raise a ValueError for an action {what}, but it was accepted. Call "
                "calvinbench.envs.observation.require_finite_action(action, convention) first."
            )


def _raises(call: Callable[[], Any], kinds: tuple[type[Exception], ...]) -> bool:
    try:
        call()
    except kinds:
        return True
    return False


def _require_equal(expected: Mapping[str, Any], found: Mapping[str, Any], what: str) -> None:
    """Raises if two observations differ in any bit."""
    for key, value in expected.items():
        if not np.array_equal(value, found[key]):
            raise WorldCheckError(
                f"expected the same '{key}' for {what} but it differs. Return copies of arrays, load the world anew in "
                "reset, and draw from self.np_random. For a world whose episodes depend on earlier ones, call "
                "check_world(world, deterministic=False)."
            )
