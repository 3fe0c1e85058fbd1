"""A user's own CALVIN model, unchanged, as a policy: a class with `reset()` and `step(obs, goal)`.

The protocol is that of `calvin_agent/evaluation/evaluate_policy.py` (`CustomModel`); `calvin_action` reads its actions.
"""

import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool
from typing_extensions import override

from calvinbench.envs.observation import ActionConvention, Observation, is_image
from calvinbench.envs.world_info import PrivilegedState
from calvinbench.policies.adapters.calvin_action import read_action
from calvinbench.policies.adapters.calvin_settings import CalvinSettings
from calvinbench.policies.adapters.gripper import GripperReader, GripperRule
from calvinbench.policies.adapters.user_factory import call_user_factory, named_parameters
from calvinbench.policies.batch import require_batch, require_rows
from calvinbench.policies.looking import NotRenderedError
from calvinbench.policies.policy import Decision, Memory, Policy, PolicyTraits
from calvinbench.policies.spec import NotAPolicyError, require_argument
from calvinbench.policies.spec_settings import read_settings, setting_names

_ADD_DEPTH = "Add ',depth=true' to the policy spec to have depth rendered."
_NOT_SHOWN: Mapping[str, str] = MappingProxyType(
    {
        "scene_obs": "Learned policies see only cameras and proprioception. The true state of the scene, 'scene_obs', "
        "is withheld.",
        "depth_static": _ADD_DEPTH,
        "depth_gripper": _ADD_DEPTH,
        "robot_obs": "Proprioception is withheld. Remove 'proprioception=false' from the policy spec, or "
        "'uses_proprioception = False' from the model.",
    }
)
"""Why a key of calvin_env's observations may be missing in ours."""


@runtime_checkable
class CustomModel(Protocol):
    """The interface of CALVIN's models."""

    def reset(self) -> None:
        """Called when a subtask begins."""
        ...

    def step(self, obs: Mapping[str, Any], goal: str) -> Any:
        """One action for one observation and sentence."""
        ...


@dataclass(frozen=True, slots=True)
class CalvinModelState:
    """A placeholder, because CALVIN's interface keeps the memory inside the model.

    So only the newest state is valid, only one world can be served, and a state cannot be used twice.

    Attributes:
        num_steps: Steps since the model's last `reset()`.
    """

    num_steps: int = 0


class CalvinModelPolicy(Policy):
    """One CALVIN model, serving one world."""

    def __init__(
        self,
        model: object,
        label: str,
        action_convention: ActionConvention = ActionConvention.REL_ACTIONS,
        with_depth: bool = False,
        memory_reset: str = "subtask",
        gripper: GripperRule | None = None,
        proprioception: bool | None = None,
        looks_every: int | None = None,
    ) -> None:
        """Takes the model.

        Args:
            model: An object with `reset()` and `step(obs, goal)`; see `CustomModel`.
            label: The policy's name in tables.
            action_convention: What the model's actions mean. Other actions raise an error.
            with_depth: Whether depth is rendered and given to the model.
            memory_reset: When `reset()` is called: `"subtask"`, as CALVIN does, or `"chain"`.
            gripper: How the action's last number is read; None for exactly -1 and +1, as in calvin_env.
            proprioception: Whether the model uses `robot_obs`. False withholds it. None takes the model's attribute
                `uses_proprioception`; without that attribute the model is given `robot_obs` and may use it.
            looks_every: The model uses the images of the first step after `reset()` and of every K-th step after it.
                None takes the model's attribute `looks_every`; without that attribute it uses all images.

        Raises:
            NotAPolicyError: The model lacks one of the two methods, or its `looks_every` is not a whole number above 0.
        """
        if not isinstance(model, CustomModel):
            raise NotAPolicyError(
                f"expected a CALVIN model with methods reset() and step(obs, goal), got {type(model).__name__}. "
                "For a calvinbench Policy write 'python:package.module:factory' instead."
            )
        self._model: CustomModel = model
        self._gripper = GripperReader(gripper or GripperRule())
        self._looks_every = _require_number(getattr(model, "looks_every", 1) if looks_every is None else looks_every)
        depth_keys = ("depth_static", "depth_gripper") if with_depth else ()
        said = getattr(model, "uses_proprioception", None) if proprioception is None else proprioception
        robot_keys = () if said is False else ("robot_obs",)
        self._traits = PolicyTraits(
            label=label,
            action_convention=action_convention,
            observation_keys=("rgb_static", "rgb_gripper", *depth_keys, *robot_keys),
            may_read=() if said is True else robot_keys,
            memory=Memory(span="unbounded", reset=memory_reset),
            max_batch_size=1,
        )

    @property
    @override
    def traits(self) -> PolicyTraits:
        """It serves one world. What it remembers is not known, so that its memory counts as unbounded."""
        return self._traits

    @override
    def initial_state(self, batch_size: int, seeds: Sequence[int] | None = None) -> CalvinModelState:
        """Calls the model's `reset()`. A seed sets the global random generators first.

        Raises:
            ValueError: There is more than one world, or not exactly one seed.
        """
        self._require_one_world(batch_size)
        if seeds is not None:
            require_batch("seeds", len(seeds), batch_size)
            _seed_global_generators(int(seeds[0]))
        self._model.reset()
        return CalvinModelState()

    @override
    def reset_state(self, state: CalvinModelState, rows: Bool[np.ndarray, " B"]) -> CalvinModelState:
        """Calls the model's `reset()` if the one row is marked."""
        require_rows(rows, 1)
        if rows[0]:
            self._model.reset()
            return CalvinModelState()
        return state

    @override
    def act(
        self,
        observations: Observation,
        instructions: Sequence[str],
        state: CalvinModelState,
        privileged: Sequence[PrivilegedState] | None = None,
    ) -> Decision:
        """Calls the model's `step(obs, goal)`.

        Raises:
            ValueError: The action has another convention or shape, is not finite, or the gripper rule cannot read its
                gripper.
            NotRenderedError: The model uses an image between those that `looks_every` declares.
            KeyError: The model asks for another observation that it is not given.
        """
        self._require_one_world(len(instructions))
        shown = observations.with_images_of(self.looks_next(state))  # a run leaves the others out, so all callers do
        try:
            action = self._model.step(_calvin_observation(shown), instructions[0])
        except KeyError as error:
            key = str(error.args[0]) if error.args else ""
            if shown.is_rendered is not None and key in self._traits.observation_keys and is_image(key):
                raise NotRenderedError(
                    f"expected no use of '{key}' in step {state.num_steps + 1} after the model's reset(), because "
                    f"looks_every={self._looks_every} says that the model uses images in one of {self._looks_every} "
                    "steps, beginning with the first. Correct or remove looks_every."
                ) from error
            if key not in _NOT_SHOWN or key in self._traits.observation_keys:
                raise
            raise KeyError(f"the observation has no '{key}'. {_NOT_SHOWN[key]}") from error
        row = read_action(action, self._traits.action_convention, self._gripper)
        return Decision(row[np.newaxis], CalvinModelState(state.num_steps + 1))

    def looks_next(self, state: CalvinModelState) -> Bool[np.ndarray, " 1"]:
        """By `looks_every`, see `looking.LooksAhead`."""
        return np.array([state.num_steps % self._looks_every == 0])

    def _require_one_world(self, batch_size: int) -> None:
        if batch_size != 1:
            raise ValueError(
                f"expected one world for a CALVIN model (its memory is inside the model), got {batch_size}. "
                "Make one policy for each world."
            )


def _require_number(looks_every: object) -> int:
    """Returns `looks_every` if it is a whole number above 0."""
    if not isinstance(looks_every, int) or isinstance(looks_every, bool) or looks_every < 1:
        raise NotAPolicyError(
            f"expected looks_every of a CALVIN model as a whole number above 0, got {looks_every!r}. It is the number "
            "of actions that the model executes before it uses an image again."
        )
    return looks_every


def _calvin_observation(observations: Observation) -> dict[str, Any]:
    """The dictionary of calvin_env's `get_obs()` without `scene_obs`, for the one world of a batch.

    The dictionaries are plain ones, because torch's and jax's tree functions do not split others.
    """

    def shown(*keys: str) -> dict[str, Any]:
        values = {key: getattr(observations, key) for key in keys}
        return {key: value[0] for key, value in values.items() if value is not None}

    return {
        "rgb_obs": shown("rgb_static", "rgb_gripper"),
        "depth_obs": shown("depth_static", "depth_gripper"),
        **shown("robot_obs"),
    }


def _seed_global_generators(seed: int) -> None:
    """Seeds the global random generators.

    CALVIN's interface passes no generator, so its models draw from the global ones. CALVIN's evaluation seeds them
    once, at its start (`seed_everything(0)`). We seed them for each chain, so that a chain's record does not depend on
    the chains that ran before it.
    """
    random.seed(seed)
    np.random.seed(seed % 2**32)
    # A model that draws from torch has imported it by now. For other models the import would only cost time.
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)


def make_calvin_policy(argument: str | None, texts: Mapping[str, str]) -> CalvinModelPolicy:
    """Makes `calvin:package.module:Class`.

    Args:
        argument: Import string of the class.
        texts: The spec's settings: those of `CalvinSettings`, and those of the class, which are given to it as keyword
            arguments (`spec_values.parse_literal`).

    Raises:
        PolicySpecError: The class does not take these settings, or one of ours is misspelt or cannot be used.
        NotAPolicyError: What the import string names does not make a model.
        UnknownNameError: There is no such action convention or gripper rule.
    """
    import_string = require_argument("calvin", argument, "an import string package.module:Class")
    names = setting_names(CalvinSettings)
    # Settings that we added later stay those of a class that has a parameter of the same name.
    theirs = named_parameters(import_string, ("gripper", "proprioception", "looks_every", "label"))
    own = {key: text for key, text in texts.items() if key in names and key not in theirs}
    settings = read_settings(CalvinSettings, own, "calvin")
    passed_on = {key: text for key, text in texts.items() if key not in own}
    return CalvinModelPolicy(
        call_user_factory(import_string, passed_on, own_settings=names),
        label=texts.get("label") or import_string,
        action_convention=settings.actions,
        with_depth=settings.depth,
        memory_reset=settings.memory_reset,
        gripper=settings.gripper,
        proprioception=settings.proprioception,
        looks_every=settings.looks_every,
    )
