"""`check_policy`: does a policy keep to the interface? Run it on your own before you run chains with it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from calvinbench.envs.instructions import embedded_instructions
from calvinbench.envs.observation import CAMERA_SIZES, ROBOT_OBS_DIM, Observation
from calvinbench.envs.world_info import BLOCKS, TABLE, BlockInfo, Contact, PrivilegedState, WorldInfo
from calvinbench.policies.policy import Decision, Policy, PolicyTraits, State

NUM_STEPS = 4
RESET_STEP = 2
"""Before which step some rows are reset, where a check resets them."""
OTHER_SEEDS = 1000
"""Where the seeds begin that should make a policy that draws at random do something else."""
MAX_DIFFERENCE = 1e-4
"""By which two runs of one world may differ: batched matrix products round differently from single ones."""
CHECK_TASKS = (
    "open_drawer",
    "stack_block",
    "turn_on_led",
    "rotate_red_block_right",
    "move_slider_left",
    "place_in_slider",
    "lift_pink_block_drawer",
)
"""The worlds' tasks, in turn: their sentences differ in length, so that padding in a batch has something to spoil."""


class PolicyCheckError(AssertionError):
    """A policy that does not keep to the interface; the message says what was expected and what came."""


@dataclass(frozen=True, slots=True)
class CheckScene:
    """What one world shows at one step of a check."""

    observation: dict[str, np.ndarray]
    instruction: str
    privileged: PrivilegedState


def check_policy(policy: object, batch_sizes: Sequence[int] = (1, 3), *, state_is_value: bool = True) -> None:
    """Steps a policy through made-up observations and compares what it must not depend on.

    Args:
        policy: The policy. It is stepped a few dozen times.
        batch_sizes: Numbers of worlds to try; those above the policy's own maximum are left out.
        state_is_value: Whether a state can be used twice with the same result. False for policies that keep their
            memory in objects that change, as the scripted expert and CALVIN's own models do.

    Raises:
        PolicyCheckError: Something is not as `policy.Policy` tells.
    """
    if not isinstance(policy, Policy):
        raise PolicyCheckError(
            f"expected traits, initial_state, reset_state and act, but {type(policy).__name__} lacks some of them."
        )
    if not isinstance(policy.traits, PolicyTraits):
        raise PolicyCheckError(f"expected traits as a PolicyTraits, got {type(policy.traits).__name__}.")
    limit = policy.traits.max_batch_size
    usable = [size for size in batch_sizes if limit is None or size <= limit]
    if not usable:
        raise PolicyCheckError(f"expected a batch size of at most {limit} (the policy's maximum) in {batch_sizes}.")
    for batch_size in usable:
        worlds = [_made_up_scenes(number) for number in range(batch_size)]
        actions = _run(policy, worlds)
        _require_same("the same worlds and seeds a second time", actions, _run(policy, worlds))
        if state_is_value:
            _check_state_is_value(policy, worlds)
        _check_reset(policy, worlds, actions)
        for row in range(batch_size if batch_size > 1 else 0):
            alone = _run(policy, worlds[row : row + 1], first_seed=row)
            _require_same(f"world {row} alone as in a batch of {batch_size}", actions[:, row : row + 1], alone)


def _check_state_is_value(policy: Policy, worlds: Sequence[Sequence[CheckScene]]) -> None:
    """Acting twice from one state gives one action, and resetting rows of it leaves it as it was."""
    batch_size = len(worlds)
    state = policy.initial_state(batch_size, range(batch_size))
    _, state = _act(policy, worlds, 0, state)
    first, _ = _act(policy, worlds, 1, state)
    policy.reset_state(state, np.ones(batch_size, dtype=np.bool_))
    again, _ = _act(policy, worlds, 1, state)
    _require_same(
        "one state used twice",
        first[np.newaxis],
        again[np.newaxis],
        " For a policy whose memory is in objects that change, as in CALVIN's own models, call "
        "check_policy(policy, state_is_value=False).",
    )


def _check_reset(
    policy: Policy, worlds: Sequence[Sequence[CheckScene]], actions: Float64[np.ndarray, "T B action_dim"]
) -> None:
    """A reset row goes on without what it saw; the others do not notice."""
    batch_size = len(worlds)
    rows = np.arange(batch_size) % 2 == 0
    with_reset = _run(policy, worlds, reset_rows=rows)
    _require_same("rows that were not reset", actions[:, ~rows], with_reset[:, ~rows])
    if policy.traits.memory.span == "none":
        return
    after = with_reset[RESET_STEP:, rows]
    if _draws_at_random(policy, worlds, actions):
        # Its random streams go on over a reset, so that a reset row is no new world; but what it saw must not count.
        pasts = [_made_up_scenes(batch_size + number)[:RESET_STEP] for number in range(batch_size)]
        others = [past + list(world[RESET_STEP:]) for past, world in zip(pasts, worlds, strict=True)]
        other_past = _run(policy, others, reset_rows=rows)
        _require_same("reset rows that saw something else before", after, other_past[RESET_STEP:, rows])
    else:
        fresh = _run(policy, [world[RESET_STEP:] for world in worlds])
        _require_same("reset rows and new worlds", fresh[:, rows], after)


def _draws_at_random(
    policy: Policy, worlds: Sequence[Sequence[CheckScene]], actions: Float64[np.ndarray, "T B action_dim"]
) -> bool:
    """Whether other seeds make other actions."""
    return _difference(actions, _run(policy, worlds, first_seed=OTHER_SEEDS)) > MAX_DIFFERENCE


def _run(
    policy: Policy,
    worlds: Sequence[Sequence[CheckScene]],
    first_seed: int = 0,
    reset_rows: np.ndarray | None = None,
) -> Float64[np.ndarray, "T B action_dim"]:
    """Actions of several worlds from a new state on."""
    state = policy.initial_state(len(worlds), range(first_seed, first_seed + len(worlds)))
    actions = []
    for step in range(len(worlds[0])):
        if reset_rows is not None and step == RESET_STEP:
            state = policy.reset_state(state, reset_rows)
        action, state = _act(policy, worlds, step, state)
        actions.append(action)
    return np.stack(actions)


def _act(policy: Policy, worlds: Sequence[Sequence[CheckScene]], step: int, state: State) -> Decision:
    """One step, its actions checked."""
    traits = policy.traits
    scenes = [world[step] for world in worlds]
    decision = policy.act(
        Observation.stack([scene.observation for scene in scenes], traits.observation_keys),
        [scene.instruction for scene in scenes],
        state,
        [scene.privileged for scene in scenes] if traits.privileged else None,
    )
    _check_actions(decision.actions, traits, len(worlds))
    return decision


def _check_actions(actions: object, traits: PolicyTraits, batch_size: int) -> None:
    """Shape, type, range and gripper of what `act` returned."""
    shape = (batch_size, traits.action_convention.action_dim)
    if not isinstance(actions, np.ndarray):
        raise PolicyCheckError(f"expected actions as a numpy array, got {_kind(actions)}. {_array_advice(actions)}")
    shapes = [(batch_size, dim) for dim in traits.action_convention.dims]
    if actions.dtype != np.float64 or actions.shape not in shapes:
        raise PolicyCheckError(
            f"expected float64 actions of shape {shape}, got {actions.dtype} of {actions.shape}. "
            f"{_shape_advice(actions, shape)}"
        )
    if not np.isfinite(actions).all():
        raise PolicyCheckError(
            f"expected finite actions, got {actions.tolist()}. A NaN usually comes from a diverged or half-loaded "
            "checkpoint, or from a division by 0 in normalisation."
        )
    if not np.isin(actions[:, -1], (-1.0, 1.0)).all():
        raise PolicyCheckError(
            f"expected gripper actions of exactly -1 or +1, got {actions[:, -1].tolist()}. Threshold the last number "
            "in act: np.where(number > 0, 1.0, -1.0) for numbers of -1..1, np.where(number > 0.5, 1.0, -1.0) for 0..1."
        )


def _kind(actions: object) -> str:
    """What it is, and where it lies if it is a tensor."""
    device = getattr(actions, "device", None)
    return type(actions).__name__ if device is None else f"{type(actions).__name__} on {device}"


def _array_advice(actions: object) -> str:
    if hasattr(actions, "detach"):
        return "Return actions.detach().cpu().double().numpy()."
    return "Return np.asarray(actions, dtype=np.float64)."


def _shape_advice(actions: np.ndarray, shape: tuple[int, int]) -> str:
    """How to make of it what was expected."""
    if actions.shape == shape:
        return "Return actions.astype(np.float64)."
    if actions.shape == shape[1:]:
        return "Return actions[np.newaxis]: one row for each world."
    if actions.ndim == 3 and (actions.shape[0], actions.shape[2]) == shape:
        return "Return one action for each world, actions[:, 0], and keep the rest of the chunk in the state."
    return "Return one row for each world, in the order of the observations."


def _difference(first: np.ndarray, second: np.ndarray) -> float:
    """The largest difference between two runs' actions; 0 for none."""
    return float(np.abs(first - second).max(initial=0.0))


def _require_same(what: str, expected: np.ndarray, got: np.ndarray, advice: str = "") -> None:
    """Raises if two runs differ by more than rounding."""
    difference = _difference(expected, got)
    if difference > MAX_DIFFERENCE:
        raise PolicyCheckError(
            f"expected the same actions for {what}, but they differ by {difference:.2g}: {expected.tolist()} against "
            f"{got.tolist()}. Keep all memory in the state that act takes and returns, one row a world, and draw "
            f"random numbers from the seeds given to initial_state.{advice}"
        )


def _made_up_scenes(number: int) -> list[CheckScene]:
    """What a world shows over `NUM_STEPS` steps: noise for pictures, a tidy table, the same task throughout."""
    task = CHECK_TASKS[number % len(CHECK_TASKS)]
    generator = np.random.default_rng(number)
    return [
        CheckScene(
            observation=made_up_observation(generator),
            instruction=embedded_instructions().canonical(task),
            privileged=_made_up_truth(task),
        )
        for _ in range(NUM_STEPS)
    ]


def made_up_observation(generator: np.random.Generator) -> dict[str, np.ndarray]:
    """What one world might show: every key of `Observation`, in native sizes, filled at random.

    Args:
        generator: Where the numbers come from.
    """
    observation: dict[str, np.ndarray] = {"robot_obs": generator.uniform(-1.0, 1.0, ROBOT_OBS_DIM)}
    observation["robot_obs"][-1] = 1.0
    for camera, size in CAMERA_SIZES.items():
        observation[f"rgb_{camera}"] = generator.integers(0, 256, (size, size, 3), dtype=np.uint8)
        observation[f"depth_{camera}"] = generator.uniform(0.1, 5.0, (size, size)).astype(np.float32)
    return observation


def _made_up_truth(task: str) -> PrivilegedState:
    """Three blocks in a row on the table, doors shut, lights off, the tool above them."""
    on_table = frozenset({Contact(TABLE, "base_link")})
    blocks = {
        name: BlockInfo(
            position=np.array([-0.1 + 0.15 * index, -0.1, 0.46]),
            quaternion=np.array([0.0, 0.0, 0.0, 1.0]),
            linear_velocity=np.zeros(3),
            angular_velocity=np.zeros(3),
            contacts=on_table,
        )
        for index, name in enumerate(BLOCKS)
    }
    joints = {"base__slide": 0.0, "base__drawer": 0.0, "base__button": 0.0, "base__switch": 0.0}
    position, euler = np.array([0.0, -0.1, 0.6]), np.array([np.pi, 0.0, np.pi / 2])
    return PrivilegedState(
        task=task,
        world=WorldInfo(blocks=blocks, joints=joints, lights={"lightbulb": 0, "led": 0}, robot_contacts=frozenset()),
        robot_obs=np.concatenate([position, euler, [0.08], np.zeros(7), [1.0]]),
        target_position=position,
        target_euler=euler,
    )
