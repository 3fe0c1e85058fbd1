"""The settings of `calvinbench train`: flags override a configuration (YAML), which overrides a JSON file of blocks.

A flag, a key of the configuration and a field of the settings that mean one thing have one name. An unknown key raises
an error. So does a key without effect, because of other keys (`conflicts`) or because of policy and data (`idle`).
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
from calvinbench.envs.system.yaml_text import kind_in_words, read_yaml
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
_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text", NoneType: "nothing"}


class TrainingCallError(ValueError):
    """The settings of a training are missing, contradictory or without effect."""


@dataclass(frozen=True, slots=True)
class TrainingCall:
    """A training, its evaluations, and where its settings come from.

    Attributes:
        settings: The training.
        evaluate_every: Steps between evaluations on chains, a multiple of `save_every`; 0 for none.
        evaluate_chains: Chains of an evaluation: the first ones of the published chains.
        evaluate_worlds: Worlds stepped at once in an evaluation.
        evaluate_scene: The scene of the evaluations; None for the scene of the data.
        calvin_env: The checkout of calvin_env for CALVIN's scenes; None searches for one.
        device: `"auto"` or `"cpu"`.
        accept_changed_data: Whether a resumed training accepts data that changed since it began.
        effective_batch_size: The required product of micro-batch, accumulation and processes; None to accept any.
        said: Keys and values that were given; all other settings have their defaults.
        flags: Keys that were given by flags.
        configuration: The name of the configuration; None without a configuration, or if it has no name.
        smoke: Whether to take a few small steps only, to test that everything works together.
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
        """Says where the value of a key comes from."""
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
        """Whether a key without effect on this policy and data raises an error.

        It does if a flag gave the key. It also does if the user's own configuration gave it, unless flags changed one
        of the keys that decide whether it has an effect.

        Args:
            key: The key.
            changing: Keys that decide whether it has an effect.
        """
        if key in self.flags:
            return True
        is_shipped = self.configuration in shipped_configurations()
        return key in self.said and not is_shipped and not self.flags.intersection(changing)


def shipped_configurations() -> tuple[str, ...]:
    """Names of the shipped configurations."""
    folder = files("calvinbench.harness.training.configurations")
    return tuple(sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml")))


def read_configuration(name_or_path: str) -> dict[str, Any]:
    """The keys of a configuration.

    Args:
        name_or_path: One of `shipped_configurations`, or the path of a YAML file.

    Raises:
        TrainingCallError: The file does not exist, or is not a mapping.
        UnknownNameError: A key, or the name of a shipped configuration, is unknown.
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
        content = read_yaml(text)
    except yaml.YAMLError as error:
        raise TrainingCallError(f"expected YAML in '{name_or_path}', got: {error}") from error
    if not isinstance(content, dict):
        raise TrainingCallError(f"expected keys and values in '{name_or_path}', got {kind_in_words(content)}.")
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
    """Makes the settings of a training from keys and values.

    A value of the configuration that has no effect because of flags is ignored; a flag without effect is an error.

    Args:
        flags: Values by key, see `KEYS`.
        configuration: Values by key, which flags override.
        name: The name of the configuration, for messages.
        smoke: Whether to take a few small steps only, see `smoke`.

    Raises:
        TrainingCallError: Keys are missing, contradict each other or have no effect; the message names all of them.
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
        given.pop("max_steps", None)  # the flag replaces the length of the configuration
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
    """The call for these values. Contradictions are not checked yet."""
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
    """Training settings in the JSON file of blocks that the policy's spec names; the defaults without such a file."""
    of_policy = dict(spec.settings)
    if "config" not in of_policy:
        return OptimizationSettings(), TrainableParts()
    from calvinbench.policies.robovlms.config_blocks import read_config_file  # loads torch

    blocks = read_config_file(of_policy["config"])
    return blocks.optimization, blocks.trainable


def _idle(said: Mapping[str, Any], below: tuple[Mapping[str, Any], ...]) -> dict[str, str]:
    """Keys without effect, and why."""
    call = _call(said)
    _, trainable = _from_blocks(PolicySpec.parse(call.settings.policy))
    return idle_keys(said, call.settings, call.evaluate_every, (*below, asdict(trainable)))


def _idle_alone(configuration: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, str]:
    """Keys of a configuration that have no effect in it, even without any flags."""
    places = {key: said[key] for key in ("policy", "data", "out")}
    try:
        return _idle({**places, **configuration}, ())
    except ValueError:  # the configuration is incomplete without the flags
        return {}


def _tasks(said: Any) -> tuple[str, ...]:
    if not isinstance(said, list | tuple):
        raise TrainingCallError(f"expected a list of names as 'tasks', got {said!r}.")
    return tuple(str(task) for task in said)


def _values(said: Mapping[str, Any], settings: type, keys: tuple[str, ...]) -> dict[str, Any]:
    """The given values of some settings, converted to the type of each."""
    kinds = {field.name: get_args(field.type) or (field.type,) for field in fields(settings)}
    return {key: _value(key, said[key], kinds[key]) for key in keys if key in said}


def _value(key: str, value: Any, kinds: tuple[Any, ...]) -> Any:
    """Converts a value to one of the types. YAML reads `1` as an integer, and `1e-4` as text."""
    if value is None and NoneType in kinds:
        return None
    if float in kinds and not isinstance(value, bool):
        with suppress(TypeError, ValueError):
            return float(value)
    elif isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool)):
        return value
    words = " or ".join(_WORDS[kind] for kind in kinds)
    raise TrainingCallError(f"expected {words} as '{key}', got {value!r}.")
