"""`check_policy` checks that a policy keeps to the interface. Run it on your own policy before you evaluate it."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float64

from calvinbench.envs.observation import Observation
from calvinbench.policies.check_actions import PolicyCheckError, check_actions
from calvinbench.policies.check_scenes import CheckScene, made_up_observation, made_up_scenes
from calvinbench.policies.looking import ADVICE, NotRenderedError, looks_next
from calvinbench.policies.policy import Decision, Policy, PolicyTraits, State

__all__ = ["PolicyCheckError", "check_policy", "made_up_observation"]

RESET_STEP = 2
"""The step before which some rows are reset, in checks that reset."""
OTHER_SEEDS = 1000
"""The first of the other random seeds, with which a policy that draws at random should act differently."""
MAX_DIFFERENCE = 1e-4
"""Two runs of one world may differ by this much, because batched matrix products round differently from single ones."""


def check_policy(policy: object, batch_sizes: Sequence[int] = (1, 3), *, state_is_value: bool = True) -> None:
    """Steps a policy through made-up observations and compares runs that must give the same actions.

    Args:
        policy: The policy. It is stepped a few dozen times.
        batch_sizes: Numbers of worlds to try. Those above the policy's own maximum are left out.
        state_is_value: Whether a state can be used twice with the same result. False for policies that keep their
            memory in objects that change, as the scripted expert and CALVIN's own models do.

    Raises:
        PolicyCheckError: The policy does not keep to `policy.Policy`.
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
        worlds = [made_up_scenes(number) for number in range(batch_size)]
        actions = _run(policy, worlds)
        _require_same("the same worlds and seeds a second time", actions, _run(policy, worlds))
        if state_is_value:
            _check_state_is_value(policy, worlds)
        _check_reset(policy, worlds, actions)
        _check_looks(policy, worlds, actions)
        for row in range(batch_size if batch_size > 1 else 0):
            alone = _run(policy, worlds[row : row + 1], first_seed=row)
            _require_same(f"world {row} alone as in a batch of {batch_size}", actions[:, row : row + 1], alone)


def _check_state_is_value(policy: Policy, worlds: Sequence[Sequence[CheckScene]]) -> None:
    """Acting twice from one state gives the same action. Resetting rows of a state does not change that state."""
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
        " For a policy that keeps its memory in objects that change, as CALVIN's own models do, call "
        "check_policy(policy, state_is_value=False).",
    )


def _check_reset(
    policy: Policy, worlds: Sequence[Sequence[CheckScene]], actions: Float64[np.ndarray, "T B action_dim"]
) -> None:
    """A reset row acts as if it had seen nothing. A reset does not affect the other rows."""
    batch_size = len(worlds)
    rows = np.arange(batch_size) % 2 == 0
    with_reset = _run(policy, worlds, reset_rows=rows)
    _require_same("rows that were not reset", actions[:, ~rows], with_reset[:, ~rows])
    if policy.traits.memory.span == "none":
        return
    after = with_reset[RESET_STEP:, rows]
    if _draws_at_random(policy, worlds, actions):
        # Random streams continue after a reset, so a reset row differs from a new world. What it saw must not count.
        pasts = [made_up_scenes(batch_size + number)[:RESET_STEP] for number in range(batch_size)]
        others = [past + list(world[RESET_STEP:]) for past, world in zip(pasts, worlds, strict=True)]
        other_past = _run(policy, others, reset_rows=rows)
        _require_same("reset rows that saw something else before", after, other_past[RESET_STEP:, rows])
    else:
        fresh = _run(policy, [world[RESET_STEP:] for world in worlds])
        _require_same("reset rows and new worlds", fresh[:, rows], after)


def _check_looks(
    policy: Policy, worlds: Sequence[Sequence[CheckScene]], actions: Float64[np.ndarray, "T B action_dim"]
) -> None:
    """The actions are the same without the images that the policy says it will not look at."""
    batch_size = len(worlds)
    state = policy.initial_state(batch_size, range(batch_size))
    looks = np.ones(batch_size, dtype=np.bool_)
    for step, expected in enumerate(actions):
        try:
            action, state = _act(policy, worlds, step, state, looks)
        except Exception as error:
            if looks.all():
                raise
            advice = "" if isinstance(error, NotRenderedError) else f" {ADVICE}"
            raise PolicyCheckError(
                f"expected act to work without the images that it does not look at, got {type(error).__name__} in step "
                f"{step}: {error}{advice}"
            ) from error
        if (difference := _difference(expected, action)) > MAX_DIFFERENCE:
            raise PolicyCheckError(
                f"expected the same actions in step {step} without the images of worlds "
                f"{np.flatnonzero(~looks).tolist()}, but they differ by {difference:.2g}. {ADVICE}"
            )
        try:
            looks = looks_next(policy, state, batch_size, reads_images=True)
        except (TypeError, ValueError) as error:
            raise PolicyCheckError(str(error)) from error


def _draws_at_random(
    policy: Policy, worlds: Sequence[Sequence[CheckScene]], actions: Float64[np.ndarray, "T B action_dim"]
) -> bool:
    """Whether other random seeds give other actions."""
    return _difference(actions, _run(policy, worlds, first_seed=OTHER_SEEDS)) > MAX_DIFFERENCE


def _run(
    policy: Policy,
    worlds: Sequence[Sequence[CheckScene]],
    first_seed: int = 0,
    reset_rows: np.ndarray | None = None,
) -> Float64[np.ndarray, "T B action_dim"]:
    """The actions of several worlds, from a new state."""
    state = policy.initial_state(len(worlds), range(first_seed, first_seed + len(worlds)))
    actions = []
    for step in range(len(worlds[0])):
        if reset_rows is not None and step == RESET_STEP:
            state = policy.reset_state(state, reset_rows)
        action, state = _act(policy, worlds, step, state)
        actions.append(action)
    return np.stack(actions)


def _act(
    policy: Policy,
    worlds: Sequence[Sequence[CheckScene]],
    step: int,
    state: State,
    looks: Bool[np.ndarray, " B"] | None = None,
) -> Decision:
    """One step, with the images of the marked worlds; None for all. Its actions are checked."""
    traits = policy.traits
    scenes = [world[step] for world in worlds]
    observations = Observation.stack([scene.observation for scene in scenes], traits.observation_keys)
    decision = policy.act(
        observations if looks is None else observations.with_images_of(looks),
        [scene.instruction for scene in scenes],
        state,
        [scene.privileged for scene in scenes] if traits.privileged else None,
    )
    check_actions(decision.actions, traits, len(worlds))
    return decision


def _difference(first: np.ndarray, second: np.ndarray) -> float:
    """The largest difference between two runs' actions; 0 for none."""
    return float(np.abs(first - second).max(initial=0.0))


def _require_same(what: str, expected: np.ndarray, got: np.ndarray, advice: str = "") -> None:
    """Raises if two runs differ by more than rounding."""
    difference = _difference(expected, got)
    if difference > MAX_DIFFERENCE:
        raise PolicyCheckError(
            f"expected the same actions for {what}, but they differ by {difference:.2g}: {expected.tolist()} against "
            f"{got.tolist()}. Keep all memory in the state that act takes and returns, one row a world. Draw random "
            f"numbers from the seeds given to initial_state.{advice}"
        )
