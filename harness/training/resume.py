"""A training that goes on: what is asked for is compared with `training.json`; a change is refused, or said."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from calvinbench.harness.records.provenance import this_session
from calvinbench.harness.records.run_directory import write_text_atomically
from calvinbench.harness.training.changes import (
    changed_code,
    changed_data,
    changed_place,
    changed_schedule,
    changed_split,
)
from calvinbench.policies.demonstrations.fingerprint import Fingerprint
from calvinbench.policies.learned.trainable import count_parameters
from calvinbench.policies.training.history import Stretch, go_on, schedule_steps
from calvinbench.policies.training.origin import PolicyOrigin, without_places
from calvinbench.policies.training.preparation import Training
from calvinbench.policies.training.resumption import ROLES, Role
from calvinbench.policies.training.saved_state import last_step

TRAINING_FILE = "training.json"
_COMPARED = ("settings", "policy", "effective_batch_size")
_MAY_DIFFER = tuple(name for name, role in ROLES.items() if role not in (Role.RECIPE, Role.SEED))
_OF_OLDER_VERSIONS = {"window_stride": None}
"""Settings of the optimisation that older versions did not write down, and what they did."""


class TrainingMismatchError(ValueError):
    """The folder holds another training than the one asked for."""


@dataclass(frozen=True, slots=True)
class DataNow:
    """The data as it is now.

    Attributes:
        training: Of the training split.
        validation: Of the validation split; None where no validation loss is wanted.
    """

    training: Fingerprint
    validation: Fingerprint | None


@dataclass(frozen=True, slots=True)
class Resumed:
    """A training that may begin, or go on.

    Attributes:
        training: With its history.
        said: Sentences for a person: what changed since the training was stopped.
    """

    training: Training
    said: tuple[str, ...]


def read_training_file(out: Path) -> dict[str, Any] | None:
    """What `training.json` says of a training that can go on; None where there is none, or no state yet."""
    file = out / TRAINING_FILE
    if not file.exists() or last_step(out) is None:
        return None
    before: dict[str, Any] = json.loads(file.read_text("utf-8"))
    before["settings"]["optimization"] = _OF_OLDER_VERSIONS | before["settings"]["optimization"]
    return before


def resume(training: Training, data: DataNow, origin: PolicyOrigin, *, accepts_changed_data: bool = False) -> Resumed:
    """Writes `training.json`; if the folder holds a training with a state, compares it with what is asked for first.

    Args:
        training: What is asked for, made ready.
        data: What the data is known by.
        origin: What it began with.
        accepts_changed_data: Whether to go on with data that changed since.

    Raises:
        TrainingMismatchError: It is another training.
    """
    out = training.settings.out
    before, step = read_training_file(out), last_step(out)
    now = json.loads(json.dumps(_content(training, data, origin), default=str))
    if before is None or step is None:
        end = schedule_steps(training.settings.optimization, training.plan.steps_per_epoch)
        resumed = Resumed(replace(training, history=(Stretch(0, end, data.training.digest),)), ())
    else:
        # Of a split that is not looked at now, what was known stays known.
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
    """The training, going on after a step."""
    out, optimization = training.settings.out, training.settings.optimization
    steps_per_epoch, digest = training.plan.steps_per_epoch, now["fingerprints"]["training"]["digest"]
    differing = _differences({key: before[key] for key in _COMPARED}, {key: now[key] for key in _COMPARED})
    differing += _other_policy(before, now)
    if differing:
        raise TrainingMismatchError(
            f"expected the training that is in '{out}' already, but {'; '.join(differing)}. Choose another --out, or "
            "the settings of before."
        )
    data = changed_data(before, now)
    if data.refused and not accepts_changed_data:
        raise TrainingMismatchError(
            f"expected the data on which the training in '{out}' began, but {data.refused}. Choose another --out to "
            "train on the data as it is now, or go on with --accept-changed-data true: the policy is then of another "
            "recipe than one that saw this data from the start."
        )
    if training.num_steps < step:
        raise TrainingMismatchError(
            f"expected max_steps, or epochs, of at least the {step} steps that the training in '{out}' has done, got "
            f"{training.num_steps} steps. Raise --max-steps, or choose another --out for a shorter training."
        )
    first = Stretch(0, _schedule_end(before), None)
    stretches = tuple(Stretch.from_json(each) for each in before.get("history", ())) or (first,)
    history = go_on(stretches, step, optimization, steps_per_epoch, digest)
    said = (
        *data.said,
        *changed_schedule(stretches, history, step, training),
        *changed_place(before, now),
        *changed_split(before, now),
        *changed_code(before),
    )
    return Resumed(replace(training, history=history, forgets_best=data.forgets_best), said)


def _schedule_end(before: Mapping[str, Any]) -> int | None:
    """Where the rate's schedule ended, of a training that is older than histories."""
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
    """How the policy that training begins with is another one; a path may be another, if what lies there is not."""
    was, is_now = before["settings"]["policy"], now["settings"]["policy"]
    if without_places(was) != without_places(is_now):
        return [f"settings.policy was {json.dumps(was)} and is now {json.dumps(is_now)}"]
    if now["knows_origin"] and before["origin"] != now["origin"]:
        return [
            f"what the policy's spec names holds something else: {json.dumps(was)} was {before['origin']}, and "
            f"{json.dumps(is_now)} is {now['origin']}"
        ]
    return []


def _differences(before: dict[str, Any], now: dict[str, Any], above: str = "") -> list[str]:
    """What was changed that a training may not change on its way; what an older version did not know is passed over."""
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
