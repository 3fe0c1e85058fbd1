"""What `calvinbench train` is told: flags laid over a configuration (YAML), laid over a JSON file of the seed's blocks.

A flag, a key of the configuration and a field of the settings that mean one thing are spelled alike. A key that is not
known, or that would do nothing beside the others (`training_conflicts`) or with the policy and the data
(`training_idle`), is refused.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from importlib.resources import files
from pathlib import Path
from types import NoneType
from typing import Any, get_args

import yaml

from calvinbench.envs.names import require_name
from calvinbench.envs.scenes.scene import SCENES
from calvinbench.harness.training.aliases import ALIASES
from calvinbench.harness.training.conflicts import EVALUATION_KEYS, conflicts, idle_keys, idle_words
from calvinbench.harness.training.smoke import smoke_keys
from calvinbench.policies.learned.trainable_parts import TrainableParts
from calvinbench.policies.spec import PolicySpec
from calvinbench.policies.training.optimization import OptimizationSettings
from calvinbench.policies.training.settings import TrainingSettings

OPTIMIZATION_KEYS = tuple(field.name for field in fields(OptimizationSettings))
TRAINABLE_KEYS = tuple(field.name for field in fields(TrainableParts))
_PLAIN_KEYS = ("paraphrases", "data_scenes", "log_every", "save_every", "validate_every", "validation_windows")
SETTINGS_KEYS = ("policy", "data", "out", "tasks", *_PLAIN_KEYS)
CALL_KEYS = ("evaluate_every", *EVALUATION_KEYS, "device", "effective_batch_size", "accept_changed_data")
KEYS = (*SETTINGS_KEYS, *TRAINABLE_KEYS, *OPTIMIZATION_KEYS, *CALL_KEYS)
"""Every key of a configuration, and every flag of `train` but `--json`."""
_TRAINED_KINDS = ("untrained", "checkpoint")
_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a word", NoneType: "nothing"}


class TrainingCallError(ValueError):
    """A training that cannot be done as it was asked for."""


@dataclass(frozen=True, slots=True)
class TrainingCall:
    """A training, and what is done beside it.

    Attributes:
        settings: The training.
        evaluate_every: Steps between chains run with the policy, a multiple of `save_every`; 0 for none.
        evaluate_chains: How many of the published chains.
        evaluate_worlds: Worlds stepped at once.
        evaluate_scene: The scene that they are run on; None for that of the data.
        calvin_env: The checkout of calvin_env for CALVIN's scenes; None looks for one.
        device: `"auto"` or `"cpu"`.
        accept_changed_data: Whether a training goes on with data that changed since it began.
        effective_batch_size: What micro-batch x accumulation x processes must be; None for whatever it is.
        said: The keys that were said, and what; the other settings are as they are by default.
        flags: Those of them that flags said.
        configuration: What the configuration of the others is called; None for none, or one without a name.
        smoke: Whether a few small steps are taken, to see that everything works.
    """

    settings: TrainingSettings
    evaluate_every: int = 0
    evaluate_chains: int = 20
    evaluate_worlds: int = 1
    evaluate_scene: str | None = None
    calvin_env: str | None = None
    device: str = "auto"
    effective_batch_size: int | None = None
    accept_changed_data: bool = False
    said: Mapping[str, Any] = field(default_factory=dict)
    flags: frozenset[str] = frozenset()
    configuration: str | None = None
    smoke: bool = False

    def __post_init__(self) -> None:
        if self.evaluate_every < 0:
            raise TrainingCallError(f"expected evaluate_every of at least 0, got {self.evaluate_every}.")
        for name in ("evaluate_chains", "evaluate_worlds"):
            if getattr(self, name) < 1:
                raise TrainingCallError(f"expected {name} of at least 1, got {getattr(self, name)}.")
        if self.evaluate_scene is not None:
            require_name(self.evaluate_scene, SCENES, "scene")

    def source(self, key: str) -> str:
        """Where a key's value comes from, in words."""
        if key in self.flags:
            return f"given as --{key.replace('_', '-')}"
        if key in self.said:
            return (
                "set by the configuration"
                if self.configuration is None
                else f"set by configuration {self.configuration}"
            )
        return "the default"

    def is_refused_as_idle(self, key: str, *changing: str) -> bool:
        """Whether a key that does nothing with this policy and data is refused.

        It is if a flag has it; and if a configuration of the user's own has it, unless flags changed what decides it.

        Args:
            key: The key.
            changing: Keys on which it depends whether it does something.
        """
        if key in self.flags:
            return True
        is_shipped = self.configuration in shipped_configurations()
        return key in self.said and not is_shipped and not self.flags.intersection(changing)


def shipped_configurations() -> tuple[str, ...]:
    """Names of the configurations in the package."""
    folder = files("calvinbench.harness.training.configurations")
    return tuple(sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml")))


def read_configuration(name_or_path: str) -> dict[str, Any]:
    """The keys of a configuration.

    Args:
        name_or_path: One of `shipped_configurations`, or the path of a YAML file.

    Raises:
        TrainingCallError: There is none, or it is no mapping.
        UnknownNameError: A key, or a shipped configuration, is not known.
    """
    path = Path(name_or_path)
    if path.suffix in (".yaml", ".yml"):
        try:
            text = path.read_text("utf-8")
        except OSError as error:
            raise TrainingCallError(
                f"expected a configuration at '{path}', but: {error.strerror}. Shipped ones go by their names: "
                f"{', '.join(shipped_configurations())}."
            ) from error
    else:
        require_name(name_or_path, shipped_configurations(), "configuration")
        text = files("calvinbench.harness.training.configurations").joinpath(f"{name_or_path}.yaml").read_text("utf-8")
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise TrainingCallError(f"expected YAML in '{name_or_path}', got: {error}") from error
    if not isinstance(content, dict):
        raise TrainingCallError(f"expected keys and values in '{name_or_path}', got {content!r}.")
    for key in content:
        require_name(str(key), KEYS, f"key of '{name_or_path}'", ALIASES)
    return content


def make_call(
    flags: Mapping[str, Any],
    configuration: Mapping[str, Any] | None = None,
    *,
    name: str | None = None,
    smoke: bool = False,
) -> TrainingCall:
    """Makes a training's settings of keys.

    A value of the configuration that flags make idle is passed over; one that a flag itself has is refused.

    Args:
        flags: Values by key, see `KEYS`.
        configuration: Values by key that they are laid over.
        name: What the configuration is called, for messages.
        smoke: Whether to take a few small steps instead, see `training_smoke`.

    Raises:
        TrainingCallError: Keys are missing, do nothing, or contradict each other; the message names all of them.
        ValueError: A value is out of its range.
    """
    below = dict(configuration or {})
    if smoke:
        below, flags = smoke_keys(below, flags)
    said = {**below, **flags}
    missing = [key for key in ("policy", "data", "out") if said.get(key) is None]
    if missing:
        raise TrainingCallError(
            "; ".join(f"expected --{key}, or '{key}' in a configuration, got none" for key in missing) + "."
        )
    call = _call(said)
    dropped = {key for key in _idle(said, (below,)) if key not in flags} - _idle_alone(below, said).keys()
    if dropped:
        said = {key: value for key, value in said.items() if key not in dropped}
        call = _call(said)
    given = {key: value for key, value in said.items() if value is not None}
    if "max_epochs" in flags and "max_steps" not in flags:
        given.pop("max_steps", None)  # a length that was said later takes the place of the configuration's
    call = replace(call, said=given, flags=frozenset(flags), configuration=name, smoke=smoke)
    found = [idle_words(key, said[key], reason) for key, reason in _idle(said, (below,)).items()]
    found += conflicts(call.settings, call.evaluate_every, call.effective_batch_size, call.source)
    if len(found) > 1:
        listed = "".join(f"\n- {words}" for words in found)
        raise TrainingCallError(f"expected settings that fit together, got {len(found)} that do not:{listed}")
    if found:
        raise TrainingCallError(found[0])
    return call


def _call(said: Mapping[str, Any]) -> TrainingCall:
    """The call that values come to, not yet compared with each other."""
    spec = PolicySpec.parse(str(said["policy"]))
    require_name(spec.kind, _TRAINED_KINDS, "kind of policy that can be trained")
    optimization, trainable = _from_blocks(spec)
    settings = TrainingSettings(
        policy=str(said["policy"]),
        data=Path(str(said["data"])).expanduser(),
        out=Path(str(said["out"])).expanduser(),
        tasks=_tasks(said.get("tasks", ())),
        optimization=replace(optimization, **_values(said, OptimizationSettings, OPTIMIZATION_KEYS)),
        trainable=replace(trainable, **_values(said, TrainableParts, TRAINABLE_KEYS)),
        **_values(said, TrainingSettings, _PLAIN_KEYS),
    )
    return TrainingCall(settings, **_values(said, TrainingCall, CALL_KEYS))


def _from_blocks(spec: PolicySpec) -> tuple[OptimizationSettings, TrainableParts]:
    """What a JSON file of blocks that the policy's spec names says of training; the defaults where it names none."""
    of_policy = dict(spec.settings)
    if "config" not in of_policy:
        return OptimizationSettings(), TrainableParts()
    from calvinbench.policies.robovlms.config_blocks import read_config_file  # loads torch

    blocks = read_config_file(of_policy["config"])
    return blocks.optimization, blocks.trainable


def _idle(said: Mapping[str, Any], below: tuple[Mapping[str, Any], ...]) -> dict[str, str]:
    """Keys that do nothing, with the reason."""
    call = _call(said)
    _, trainable = _from_blocks(PolicySpec.parse(call.settings.policy))
    return idle_keys(said, call.settings, call.evaluate_every, (*below, asdict(trainable)))


def _idle_alone(configuration: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, str]:
    """Keys of a configuration that do nothing in it, whatever flags say."""
    places = {key: said[key] for key in ("policy", "data", "out")}
    try:
        return _idle({**places, **configuration}, ())
    except ValueError:  # by itself it is no training, and flags make it one
        return {}


def _tasks(said: Any) -> tuple[str, ...]:
    if not isinstance(said, list | tuple):
        raise TrainingCallError(f"expected a list of names as 'tasks', got {said!r}.")
    return tuple(str(task) for task in said)


def _values(said: Mapping[str, Any], settings: type, keys: tuple[str, ...]) -> dict[str, Any]:
    """What was said of some settings, of the kind that each has."""
    kinds = {field.name: get_args(field.type) or (field.type,) for field in fields(settings)}
    return {key: _value(key, said[key], kinds[key]) for key in keys if key in said}


def _value(key: str, value: Any, kinds: tuple[Any, ...]) -> Any:
    """A value of one of the kinds. YAML has `1` for `1.0`, and text for `1e-4`."""
    if value is None and NoneType in kinds:
        return None
    if float in kinds and not isinstance(value, bool):
        with suppress(TypeError, ValueError):
            return float(value)
    elif isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool)):
        return value
    words = " or ".join(_WORDS[kind] for kind in kinds)
    raise TrainingCallError(f"expected {words} as '{key}', got {value!r}.")
