"""The content of `run.json`: everything that a run's numbers depend on, and whether they follow CALVIN's protocol."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from calvinbench.envs.chains import CHAIN_LENGTH
from calvinbench.envs.observation import CAMERA_SIZES
from calvinbench.envs.scenes.calvin_scene import ASSET_DIGESTS
from calvinbench.envs.scenes.scene import CALVIN_SCENES
from calvinbench.envs.simulation import REPRODUCIBLE
from calvinbench.harness.records.provenance import Session
from calvinbench.harness.records.typed_reading import NOTHING, Count, InvalidFieldError, Name, Size, read_as
from calvinbench.policies.image_facts import ImageFacts, unlike_images
from calvinbench.policies.policy import Memory, PolicyTraits, TrainedOn
from calvinbench.policies.spec import kind_of

SCHEMA_VERSION = 1
OFFICIAL_SCENE = "D"
OFFICIAL_NUM_CHAINS = 1000
OFFICIAL_MAX_STEPS = 360
OFFICIAL_INSTRUCTIONS = "calvin"
OFFICIAL_RENDERERS = ("opengl-look", "bullet-egl", "calvin_env")
"""Renderers with the look of CALVIN's data. The last one is calvin_env's own renderer, in any of its variants."""


_ALWAYS_THERE = ("schema_version", "sessions", "memory.span", "memory.reset", "official.because")
"""Every file must have these keys, although the classes have defaults."""
_LEFT_OUT_IF_UNSET = ("chain_length", "static_size", "gripper_size")
"""Keys that files have only if there is a value, so that files are as they were before these fields existed."""


@dataclass(frozen=True, slots=True)
class Official:
    """Whether a run follows CALVIN's protocol.

    Attributes:
        official: Whether it does.
        because: The differences from the protocol; empty if there are none.
    """

    official: bool
    because: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "yes" if self.official else f"no, because {'; '.join(self.because)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDescription:
    """The content of `run.json`.

    Attributes:
        policy: The policy's spec.
        label: The policy's name.
        variant: Distinguishes it in tables from policies of the same label, as declared in a suite; None for nothing.
        train: Scene or split that the policy was trained on; None if unknown.
        training_seed: Random seed of its training; None if unknown.
        training_recipe: Digest of its training without the seed; None if unknown.
        unlike_training: How this world's images and scene differ from those that the policy was trained on.
        action_convention: The meaning of actions, for policy and world, such as `rel_actions`.
        observation_keys: The observations that the policy reads.
        may_read: Those of `observation_keys` that the policy gets, without saying whether it uses them.
        chunk_length: Number of actions that the policy predicts at once.
        chunk_rule: How chunks become actions.
        weights_digest: SHA-256 of the policy's file of weights; None if there is none.
        source_digest: SHA-256 of the file of a user's own policy, or of the description that a policy's server sends;
            None for other policies, and in older files.
        privileged: Whether the policy reads the world's state.
        memory: What the policy remembers, and when it forgets.
        official: Whether the run follows CALVIN's protocol.
        world: Class of the world.
        scene: Name of the scene.
        asset_digest: SHA-256 of the files of the scene.
        calvin_env: Revision of the calvin_env that the scene is read from, `"unknown"` if it cannot be found out;
            None for our own scenes.
        simulation: How physics is simulated: `reproducible`, `parity` or `upstream`.
        renderer: Name of the renderer.
        depth_bits: Bits of the renderer's depth buffer; None if unknown.
        reference_frame: Digest of both cameras' images of the first published chain's initial state. If the world has
            no other cameras, of the policy's cameras only; None without images.
        chains: Planned number of chains, from the start of the list.
        chain_digest: SHA-256 of these chains.
        chain_length: Number of subtasks in each chain; None in older files.
        static_size: Width and height of the static camera's images, if they were set; None for CALVIN's 200 pixels.
        gripper_size: The same of the gripper camera; None for CALVIN's 84 pixels.
        tasks: Single tasks, each run as a chain of its own; empty for chains of several tasks.
        max_steps: Steps for each subtask.
        instructions: Name of the instruction set.
        instruction_digest: SHA-256 of the sentences that it may give.
        seed: Random seed.
        batch_size: Number of worlds that the policy answers at once. The last digits of its actions depend on it.
        suite: The suite's name; None without a suite.
        created: Date and time of the first call, UTC.
        sessions: Each call that worked on the run, with versions and machine.
        schema_version: Version of the format of this file and of `chains.jsonl`.
    """

    policy: Name
    label: Name
    action_convention: Name
    observation_keys: tuple[Name, ...]
    chunk_length: Size
    chunk_rule: Name
    privileged: bool
    memory: Memory
    official: Official
    world: Name
    scene: Name
    asset_digest: Name
    renderer: Name
    chains: Count
    chain_digest: Name
    max_steps: Size
    instructions: Name
    instruction_digest: Name
    seed: int
    may_read: tuple[str, ...] = ()
    chain_length: Size | None = None
    static_size: Size | None = None
    gripper_size: Size | None = None
    batch_size: Size = 1
    variant: str | None = None
    tasks: tuple[Name, ...] = ()
    weights_digest: str | None = None
    source_digest: str | None = None
    depth_bits: Size | None = None
    reference_frame: str | None = None
    suite: str | None = None
    train: str | None = None
    training_seed: int | None = None
    training_recipe: str | None = None
    unlike_training: tuple[Name, ...] = ()
    calvin_env: str | None = None
    simulation: Name = REPRODUCIBLE
    created: str = ""
    sessions: tuple[Session, ...] = ()
    schema_version: Size = SCHEMA_VERSION

    @property
    def name(self) -> str:
        """The run's name in tables."""
        return f"{self.label}, {self.variant}" if self.variant else self.label

    @property
    def num_subtasks(self) -> int:
        """Number of subtasks in each chain: one for single tasks, and CALVIN's five if the file does not say."""
        return self.chain_length or (1 if self.tasks else CHAIN_LENGTH)

    @property
    def is_untrained(self) -> bool:
        """Whether the policy has random weights."""
        return kind_of(self.policy) == "untrained"

    def to_json(self) -> dict[str, Any]:
        """A mapping that `json` can write."""
        values = {"schema_version": self.schema_version} | asdict(self)
        for name in _LEFT_OUT_IF_UNSET:
            if values[name] is None:
                del values[name]
        return values

    @classmethod
    def from_json(cls, values: Any) -> "RunDescription":
        """Reads what `to_json` made. Unknown keys are ignored, because a later version may have added them.

        Raises:
            InvalidFieldError: A field is missing, of another type or out of its range, or contradicts another.
            ValueError: The file has a later schema version.
        """
        version = values.get("schema_version") if isinstance(values, Mapping) else None
        if isinstance(version, int) and version > SCHEMA_VERSION:
            raise ValueError(
                f"expected schema version {SCHEMA_VERSION} or older, got {version}. "
                "A later version of calvinbench wrote this; install that version to read it."
            )
        for path in _ALWAYS_THERE:
            *outer, name = path.split(".")
            holder = values.get(outer[0]) if outer and isinstance(values, Mapping) else values
            if isinstance(holder, Mapping) and name not in holder:
                raise InvalidFieldError(path, "a value", NOTHING)
        read = read_as(cls, values)
        if read.official.official == bool(read.official.because):
            expected = "reasons in 'because' where it is false, and none where it is true"
            raise InvalidFieldError("official", expected, values["official"])
        return read if "may_read" in values else replace(read, may_read=_may_have_read(read))


@dataclass(frozen=True, slots=True)
class Difference:
    """A field in which two descriptions differ."""

    name: str
    old: Any
    new: Any

    def __str__(self) -> str:
        meaning = f" ({_MEANINGS[self.name]})" if self.name in _MEANINGS else ""
        return f"{self.name} was {_shown(self.old)} and is now {_shown(self.new)}{meaning}"


def _shown(value: Any) -> str:
    """A value as text for a message. A digest is shortened to its first digits."""
    if isinstance(value, str) and _DIGEST.fullmatch(value):
        return f"'{value[:_SHOWN_DIGITS]}...'"
    return f"'{value}'" if isinstance(value, str) else str(value)


_DIGEST = re.compile(r"[0-9a-f]{64}")
_SHOWN_DIGITS = 12


def _may_have_read(read: RunDescription) -> tuple[str, ...]:
    """The `may_read` of older runs: `calvin:` models and `ws:` servers always got `robot_obs` if they could read it."""
    is_from_outside = kind_of(read.policy) in ("calvin", "ws")
    return ("robot_obs",) if is_from_outside and "robot_obs" in read.observation_keys else ()


_MEANINGS = {"source_digest": "the file of the policy's code changed, or the description that its server sends"}
_MAY_BE_UNKNOWN = frozenset({"source_digest"})
"""Older runs do not have these fields; a missing value agrees with any."""
_MAY_DIFFER = frozenset(
    {
        *("suite", "variant", "official", "chains", "chain_digest", "chain_length", "created", "sessions"),
        *("schema_version", "may_read"),
    }
)


def differences(old: RunDescription, new: RunDescription) -> tuple[Difference, ...]:
    """The fields in which two descriptions differ, so that they cannot be one run. Chains are compared elsewhere."""
    return tuple(
        Difference(field.name, getattr(old, field.name), getattr(new, field.name))
        for field in fields(RunDescription)
        if field.name not in _MAY_DIFFER and not _agree(field.name, getattr(old, field.name), getattr(new, field.name))
    )


def _agree(name: str, old: Any, new: Any) -> bool:
    if name == "label" and _OLD_CONTROL.sub(lambda found: _CONTROLS[found[1]], old) == new:
        return True
    return old == new or (name in _MAY_BE_UNKNOWN and None in (old, new))


_CONTROLS = {"blind": ", with blank images", "deaf": ", without the instruction"}
"""What older versions called the controls in labels, and what they are called now."""
_OLD_CONTROL = re.compile(r", (blind|deaf)\b")


def with_session(description: RunDescription, session: Session) -> RunDescription:
    """The description with one more session."""
    return replace(
        description,
        created=description.created or session.started,
        sessions=(*description.sessions, session),
    )


def unlike_training(
    trained_on: TrainedOn | None,
    *,
    scene: str,
    asset_digest: str,
    renderer: str,
    depth_bits: int | None,
    reference_frame: str | None,
    images: Sequence[ImageFacts] = (),
) -> tuple[str, ...]:
    """How a world differs from the one that a policy was trained on, as text. Unknown values are ignored."""
    if trained_on is None:
        return ()
    pairs = {
        "scene": (trained_on.scene, scene),
        "assets": (trained_on.asset_digest, asset_digest),
        "renderer": (trained_on.renderer, renderer),
        "depth bits": (trained_on.depth_bits, depth_bits),
        "reference picture": (trained_on.reference_frame, reference_frame),
    }
    if trained_on.scene is not None and is_among(scene, trained_on.scene):
        del pairs["scene"]
    return (
        *(
            f"{name} {str(before)[:12]} in training, {str(now)[:12]} here"
            for name, (before, now) in pairs.items()
            if before is not None and now is not None and before != now
        ),
        *unlike_images(trained_on.images, images),
    )


def is_among(scene: str, trained_on: str) -> bool:
    """Whether a policy was trained on a scene. It may be trained on several, such as `"ABC"`."""
    return scene == trained_on or (
        scene in CALVIN_SCENES and set(trained_on) <= set(CALVIN_SCENES) and scene in trained_on
    )


def judge_official(
    traits: PolicyTraits,
    *,
    scene: str,
    asset_digest: str,
    is_published_list: bool,
    num_chains: int,
    max_steps: int,
    instructions: str,
    renderer: str,
    camera_sizes: Mapping[str, int],
) -> Official:
    """Whether a run follows CALVIN's protocol, and all reasons if it does not.

    Both simulations count as official: `reproducible` differs from calvin_env only as calvin_env differs from itself
    when the order of episodes changes, and the protocol does not fix that order.
    """
    reasons = {
        f"the scene is {scene}, not {OFFICIAL_SCENE}": scene != OFFICIAL_SCENE,
        "the scene's files are not those of calvin_env 797142c": scene == OFFICIAL_SCENE
        and asset_digest != ASSET_DIGESTS[OFFICIAL_SCENE],
        f"{num_chains} chains, not the published {OFFICIAL_NUM_CHAINS}": num_chains != OFFICIAL_NUM_CHAINS,
        "the chains are not the published ones": not is_published_list,
        f"{max_steps} steps a subtask, not {OFFICIAL_MAX_STEPS}": max_steps != OFFICIAL_MAX_STEPS,
        f"the sentences are {instructions}'s, not CALVIN's": instructions != OFFICIAL_INSTRUCTIONS,
        f"the renderer {renderer} does not have CALVIN's look": not renderer.startswith(OFFICIAL_RENDERERS),
        **{
            f"the {camera} camera has {size} pixels, not {CAMERA_SIZES[camera]}": size != CAMERA_SIZES[camera]
            for camera, size in camera_sizes.items()
        },
        "memory is kept across subtasks": traits.memory.reset != "subtask",
        "the policy reads privileged state": traits.privileged,
    }
    because = tuple(reason for reason, holds in reasons.items() if holds)
    return Official(not because, because)
