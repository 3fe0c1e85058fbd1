"""What `calvinbench train` is told: flags laid over a configuration (YAML), laid over a JSON file of the seed's blocks.

A flag, a key of the configuration and a field of the settings that mean one thing are spelled alike. A key that is not
known, or that would do nothing beside the others or with the policy and the data (`training_idle`), is refused.
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
from calvinbench.envs.scene import SCENES
from calvinbench.policies.config.blocks import read_config_file
from calvinbench.policies.config.optimization import OptimizationSettings
from calvinbench.policies.spec import PolicySpec
from calvinbench.policies.trainable_parts import TrainableParts
from calvinbench.policies.training.settings import TrainingSettings

OPTIMIZATION_KEYS = tuple(field.name for field in fields(OptimizationSettings))
TRAINABLE_KEYS = tuple(field.name for field in fields(TrainableParts))
_PLAIN_KEYS = ("paraphrases", "log_every", "save_every", "validate_every", "validation_windows")
SETTINGS_KEYS = ("policy", "data", "out", "tasks", *_PLAIN_KEYS)
_EVALUATION_KEYS = ("evaluate_chains", "evaluate_worlds", "evaluate_scene", "calvin_env")
CALL_KEYS = ("evaluate_every", *_EVALUATION_KEYS, "device", "effective_batch_size", "accept_changed_data")
KEYS = (*SETTINGS_KEYS, *TRAINABLE_KEYS, *OPTIMIZATION_KEYS, *CALL_KEYS)
"""Every key of a configuration, and every flag of `train` but `--json`."""
_PARTS = ("train_vision", "train_connector", "train_text_embedding")
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

    def __post_init__(self) -> None:
        if self.evaluate_every < 0 or self.evaluate_every % self.settings.save_every:
            raise TrainingCallError(
                f"expected evaluate_every as a multiple of save_every, {self.settings.save_every}, or 0, got "
                f"{self.evaluate_every}: chains are run with a checkpoint that was saved."
            )
        for name in ("evaluate_chains", "evaluate_worlds"):
            if getattr(self, name) < 1:
                raise TrainingCallError(f"expected {name} of at least 1, got {getattr(self, name)}.")
        if self.evaluate_scene is not None:
            require_name(self.evaluate_scene, SCENES, "scene")


def shipped_configurations() -> tuple[str, ...]:
    """Names of the configurations in the package."""
    folder = files("calvinbench.harness.configurations")
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
        text = files("calvinbench.harness.configurations").joinpath(f"{name_or_path}.yaml").read_text("utf-8")
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise TrainingCallError(f"expected YAML in '{name_or_path}', got: {error}") from error
    if not isinstance(content, dict):
        raise TrainingCallError(f"expected keys and values in '{name_or_path}', got {content!r}.")
    for key in content:
        require_name(str(key), KEYS, f"key of '{name_or_path}'")
    return content


def make_call(flags: Mapping[str, Any], configuration: Mapping[str, Any] | None = None) -> TrainingCall:
    """Makes a training's settings of keys.

    Args:
        flags: Values by key, see `KEYS`.
        configuration: Values by key that they are laid over.

    Raises:
        TrainingCallError: A key is missing, does nothing, or contradicts another.
        ValueError: A value is out of its range.
    """
    below = configuration or {}
    said = {**below, **flags}
    for key in ("policy", "data", "out"):
        if said.get(key) is None:
            raise TrainingCallError(f"expected --{key}, or '{key}' in a configuration, got none.")
    spec = PolicySpec.parse(str(said["policy"]))
    require_name(spec.kind, _TRAINED_KINDS, "kind of policy that can be trained")
    of_policy = dict(spec.settings)
    optimization, trainable = OptimizationSettings(), TrainableParts()
    if "config" in of_policy:
        blocks = read_config_file(of_policy["config"])
        optimization, trainable = blocks.optimization, blocks.trainable
    settings = TrainingSettings(
        policy=str(said["policy"]),
        data=Path(str(said["data"])).expanduser(),
        out=Path(str(said["out"])).expanduser(),
        tasks=_tasks(said.get("tasks", ())),
        optimization=replace(optimization, **_values(said, OptimizationSettings, OPTIMIZATION_KEYS)),
        trainable=replace(trainable, **_values(said, TrainableParts, TRAINABLE_KEYS)),
        **_values(said, TrainingSettings, _PLAIN_KEYS),
    )
    given = {key: value for key, value in said.items() if value is not None}
    if "max_epochs" in flags and "max_steps" not in flags:
        given.pop("max_steps", None)  # a length that was said later takes the place of the configuration's
    call = TrainingCall(settings, **_values(said, TrainingCall, CALL_KEYS), said=given)
    _refuse_idle(said, of_policy, call)
    _refuse_following_parts(said, settings.trainable, (below, asdict(trainable)))
    return call


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


def _refuse_idle(said: Mapping[str, Any], of_policy: Mapping[str, str], call: TrainingCall) -> None:
    """Refuses what was said and would do nothing."""
    settings, optimization, trainable = call.settings, call.settings.optimization, call.settings.trainable
    parts = tuple(getattr(trainable, part) for part in _PARTS)
    if "device" in of_policy:
        raise TrainingCallError(
            f"expected no device in the policy's spec, got '{of_policy['device']}': training chooses it. Say --device."
        )
    idle = {
        "min_learning_rate_scale": (optimization.schedule == "constant", "the schedule is constant"),
        **dict.fromkeys(
            ("lora_r", "lora_alpha", "lora_dropout", "lora_bias"),
            (not trainable.lora_enable, "lora_enable is false"),
        ),
        "validation_windows": (settings.validate_every == 0, "validate_every is 0"),
        **dict.fromkeys(_EVALUATION_KEYS, (call.evaluate_every == 0, "evaluate_every is 0")),
        "backbone_learning_rate": (trainable.freeze_backbone and True not in parts, "freeze_backbone is true"),
        "same_shift_in_window": (
            (not optimization.static_shift and not optimization.gripper_shift) or optimization.window_size == 1,
            "a window has one frame" if optimization.window_size == 1 else "pictures are not shifted",
        ),
        "gripper_change_weight": (optimization.gripper_loss_ratio == 0, "gripper_loss_ratio is 0"),
    }
    for key, (is_idle, reason) in idle.items():
        if is_idle and said.get(key) is not None:
            raise TrainingCallError(f"expected no '{key}', got {said[key]!r}: it does nothing, for {reason}.")


def _refuse_following_parts(
    said: Mapping[str, Any], trainable: TrainableParts, below: tuple[Mapping[str, Any], ...]
) -> None:
    """Refuses a part's setting that says what is so without it, unless it undoes what it was laid over."""
    follows = not trainable.freeze_backbone and not trainable.lora_enable
    if trainable.freeze_backbone:
        reason = "freeze_backbone is true"
    else:
        reason = "lora_enable is true" if trainable.lora_enable else "the whole VLM is trained"
    for part in _PARTS:
        undoes = any(keys.get(part) is not None and keys[part] is not said.get(part) for keys in below)
        if said.get(part) is follows and not undoes:
            raise TrainingCallError(f"expected no '{part}', got {follows}: it does nothing, for {reason}.")
