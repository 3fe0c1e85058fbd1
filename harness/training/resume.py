"""Resumes a training: compares its settings with `training.json`; a change raises an error, or is reported."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from calvinbench.harness.records.folders import write_text_atomically
from calvinbench.harness.records.provenance import this_session
from calvinbench.harness.training.changes import (
    changed_code,
    changed_data,
    changed_place,
    changed_schedule,
    changed_split,
)
from calvinbench.policies.demonstrations.fingerprint import Fingerprint
from calvinbench.policies.learned.trainable import count_parameters
from calvinbench.policies.training.preparation import Training
from calvinbench.policies.training.recipe.history import Stretch, resumed_history, schedule_steps
from calvinbench.policies.training.recipe.origin import PolicyOrigin, without_paths
from calvinbench.policies.training.recipe.roles import ROLES, Role
from calvinbench.policies.training.saved_state import last_step

TRAINING_FILE = "training.json"
_COMPARED = ("settings", "policy", "effective_batch_size")
_MAY_DIFFER = tuple(name for name, role in ROLES.items() if role not in (Role.RECIPE, Role.SEED))
_OF_OLDER_VERSIONS = {"window_stride": None}
"""Optimisation settings that older versions did not record, with the values that they used."""


class TrainingMismatchError(ValueError):
    """The folder holds a training with other settings."""


@dataclass(frozen=True, slots=True)
class DataNow:
    """Fingerprints of the current data.

    Attributes:
        training: Fingerprint of the training split.
        validation: Fingerprint of the validation split; None if no validation loss is computed.
    """

    training: Fingerprint
    validation: Fingerprint | None


@dataclass(frozen=True, slots=True)
class Resumed:
    """A training that can begin, or resume.

    Attributes:
        training: The training, with its history.
        said: Sentences that report what changed since the training was stopped.
    """

    training: Training
    said: tuple[str, ...]


def read_training_file(out: Path) -> dict[str, Any] | None:
    """The content of `training.json` if the training can be resumed; None without such a file or a saved state."""
    file = out / TRAINING_FILE
    if not file.exists() or last_step(out) is None:
        return None
    before: dict[str, Any] = json.loads(file.read_text("utf-8"))
    before["settings"]["optimization"] = _OF_OLDER_VERSIONS | before["settings"]["optimization"]
    return before


def resume(training: Training, data: DataNow, origin: PolicyOrigin, *, accepts_changed_data: bool = False) -> Resumed:
    """Writes `training.json`. If the folder holds a saved training, compares the settings with it first.

    Args:
        training: The prepared training.
        data: Fingerprints of the data.
        origin: The policy that the training began with.
        accepts_changed_data: Whether to resume with data that changed.

    Raises:
        TrainingMismatchError: The folder holds another training.
    """
    out = training.settings.out
    before, step = read_training_file(out), last_step(out)
    now = json.loads(json.dumps(_content(training, data, origin), default=str))
    if before is None or step is None:
        end = schedule_steps(training.settings.optimization, training.plan.steps_per_epoch)
        resumed = Resumed(replace(training, history=(Stretch(0, end, data.training.digest),)), ())
    else:
        # Keep the known fingerprint of a split that is not used now.
        now["fingerprints"]["validation"] = now["fingerprints"]["validation"] or before.get("fingerprints", {}).get(
            "validation"
        )
        resumed = _go_on(training, before, now, step, accepts_changed_data=accepts_changed_data)
    now["history"] = [asdict(stretch) for stretch in resumed.training.history]
    now["sessions"] = [*(before or {}).get("sessions", ()), asdict(this_session(1))]
    write_text_atomically(out / TRAINING_FILE, json.dumps(now, indent=2) + "\n")
    return resumed


def _go_on(
    training: Training, before: Mapping[str, Any], now: Mapping[str, Any], step: int, *, accepts_changed_data: bool
) -> Resumed:
    """The training, resumed after a step."""
    out, optimization = training.settings.out, training.settings.optimization
    steps_per_epoch, digest = training.plan.steps_per_epoch, now["fingerprints"]["training"]["digest"]
    differing = _differences({key: before[key] for key in _COMPARED}, {key: now[key] for key in _COMPARED})
    differing += _other_policy(before, now)
    if differing:
        raise TrainingMismatchError(
            f"'{out}' holds a training with other settings: {'; '.join(differing)}. Choose another --out, or "
            "the previous settings."
        )
    data = changed_data(before, now)
    if data.refused and not accepts_changed_data:
        raise TrainingMismatchError(
            f"the training in '{out}' began with other data: {data.refused}. Choose another --out to train on the "
            "data as it is now. To resume with it, add --accept-changed-data true: the policy then has a different "
            "training recipe than one that saw this data from the start."
        )
    if training.num_steps < step:
        raise TrainingMismatchError(
            f"expected max_steps, or epochs, of at least the {step} steps that the training in '{out}' has done, got "
            f"{training.num_steps} steps. Raise --max-steps, or choose another --out for a shorter training."
        )
    first = Stretch(0, _schedule_end(before), None)
    stretches = tuple(Stretch.from_json(each) for each in before.get("history", ())) or (first,)
    history = resumed_history(stretches, step, optimization, steps_per_epoch, digest)
    said = (
        *data.said,
        *changed_schedule(stretches, history, step, training),
        *changed_place(before, now),
        *changed_split(before, now),
        *changed_code(before),
    )
    return Resumed(replace(training, history=history, forgets_best=data.forgets_best), said)


def _schedule_end(before: Mapping[str, Any]) -> int | None:
    """The step at which the schedule ended, for a training by a version that recorded no history."""
    optimization = before["settings"]["optimization"]
    if optimization["schedule"] == "constant":
        return None
    by_epochs = int(optimization["max_epochs"] * before["steps_per_epoch"])
    return by_epochs if optimization["max_steps"] is None else min(by_epochs, optimization["max_steps"])


def _content(training: Training, data: DataNow, origin: PolicyOrigin) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "settings": asdict(training.settings),
        "policy": training.config.to_json(),
        "origin": origin.spec,
        "weights_digest": origin.weights_digest,
        "knows_origin": origin.is_known,
        "data": dict(training.notes["data"]),
        "fingerprints": asdict(data),
        "demonstrations": len(training.windows.annotations),
        "frames": training.windows.num_frames,
        "windows": len(training.windows),
        "effective_batch_size": training.plan.effective_batch_size,
        "processes": training.plan.num_processes,
        "steps_per_epoch": training.plan.steps_per_epoch,
        "parameters": {name: asdict(count) for name, count in count_parameters(training.model).items()},
    }


def _other_policy(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Differences of the initial policy. A path may differ if its content is the same."""
    was, is_now = before["settings"]["policy"], now["settings"]["policy"]
    if without_paths(was) != without_paths(is_now):
        return [f"settings.policy was {json.dumps(was)} and is now {json.dumps(is_now)}"]
    if now["knows_origin"] and before["origin"] != now["origin"]:
        return [
            f"what the policy's spec names holds something else: {json.dumps(was)} was {before['origin']}, and "
            f"{json.dumps(is_now)} is {now['origin']}"
        ]
    return []


def _differences(before: dict[str, Any], now: dict[str, Any], above: str = "") -> list[str]:
    """Changes that a resumed training may not have. Settings that an older version did not record are skipped."""
    found = []
    for key, value in now.items():
        name = f"{above}{key}"
        if key not in before or (key in _MAY_DIFFER and above != "") or name == "policy.backbone":
            continue
        if isinstance(value, dict) and isinstance(before[key], dict):
            found += _differences(before[key], value, f"{name}.")
        elif before[key] != value:
            found.append(f"{name} was {json.dumps(before[key])} and is now {json.dumps(value)}")
    return found
