"""Reports what changed since a training was stopped."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from calvinbench.harness.records.provenance import this_session
from calvinbench.policies.demonstrations.fingerprint import Fingerprint
from calvinbench.policies.training.optimizer import rate_scale
from calvinbench.policies.training.preparation import Training
from calvinbench.policies.training.recipe.history import Stretch

_TRAINING, _VALIDATION = "training", "validation"


@dataclass(frozen=True, slots=True)
class ChangedData:
    """Changes of the data.

    Attributes:
        refused: Changes that need the user's consent; empty if there are none.
        said: Sentences that report the changes.
        forgets_best: Whether the lowest validation loss so far was computed on other windows.
    """

    refused: str
    said: tuple[str, ...]
    forgets_best: bool


def changed_data(before: Mapping[str, Any], now: Mapping[str, Any]) -> ChangedData:
    """Compares the data before and now.

    Args:
        before: The content of `training.json`.
        now: The same content for the current data.
    """
    said = []
    known = before.get("fingerprints")
    if known is None:
        counts = [
            f"{before[key]} {key} then, {now[key]} now"
            for key in ("demonstrations", "frames")
            if before[key] != now[key]
        ]
        said.append(
            "This training was started by an older version, which stored no digest of the data. Only the numbers of "
            "demonstrations and frames were compared. The digest is stored now."
        )
        return ChangedData("; ".join(counts), tuple(said), forgets_best=False)
    changes = {}
    for split in (_TRAINING, _VALIDATION):
        if known[split] is not None and now["fingerprints"][split] is not None:
            was, is_now = (Fingerprint.from_json(each[split]) for each in (known, now["fingerprints"]))
            if was.digest != is_now.digest:
                changes[split] = (
                    f"the {split} split changed ({is_now.changes_since(was)}{_windows(before, now, split)})"
                )
    windows = [each["settings"]["validation_windows"] for each in (before, now)]
    forgets = _VALIDATION in changes or windows[0] != windows[1]
    if changes:
        said.append(f"Resuming with changed data: {' and '.join(changes.values())}.")
    if _TRAINING in changes:
        said.append(
            "From now on, checkpoints have a different training recipe than those of an uninterrupted training."
        )
    if forgets and now["settings"]["validate_every"]:
        said.append(
            "From now on, validation losses are on other windows than before. best/ is chosen by the new ones only."
        )
    return ChangedData(" and ".join(changes.values()), tuple(said), forgets)


def _windows(before: Mapping[str, Any], now: Mapping[str, Any], split: str) -> str:
    if split != _TRAINING or before["windows"] == now["windows"]:
        return ""
    return f"; {before['windows']} windows then, {now['windows']} now"


def changed_schedule(
    before: Sequence[Stretch], now: Sequence[Stretch], step: int, training: Training
) -> tuple[str, ...]:
    """Reports how the learning rate continues if its schedule now ends at another step."""
    was, is_now = before[-1].schedule_steps, now[-1].schedule_steps
    if was == is_now or len(now) == 1:
        return ()
    optimization, steps_per_epoch = training.settings.optimization, training.plan.steps_per_epoch
    rates = [optimization.learning_rate * rate_scale(optimization, steps_per_epoch, end)(step) for end in (was, is_now)]
    return (
        f"The {optimization.schedule} schedule ended at step {was} and now ends at step {is_now}: at step {step + 1} "
        f"the learning rate is {rates[1]:.3g}, instead of {rates[0]:.3g}. A training of {is_now} steps from the start "
        "has other rates. From now on, checkpoints have a different training recipe.",
    )


def changed_place(before: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[str, ...]:
    """Reports that the policy's weights or files moved."""
    was, is_now = before["settings"]["policy"], now["settings"]["policy"]
    if was == is_now:
        return ()
    if now["knows_origin"]:
        return (f"The policy was '{was}' and is now '{is_now}': the content is the same.",)
    return (
        f"The policy was '{was}' and is now '{is_now}'. An older version started this training and stored "
        "no digest of it, so the content was not compared. The weights come from the training's own state.",
    )


def changed_split(before: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[str, ...]:
    """Reports that the windows of a step are split in another way."""
    factors = []
    for each in (before, now):
        optimization = each["settings"]["optimization"]
        per_process = optimization["batch_size"] * optimization["gradient_accumulation_steps"]
        processes = each.get("processes", each["effective_batch_size"] // per_process)
        factors.append((optimization["batch_size"], optimization["gradient_accumulation_steps"], processes))
    if factors[0] == factors[1]:
        return ()
    was, is_now = (" x ".join(map(str, each)) for each in factors)
    return (
        f"A step's windows (batch size x accumulation x processes) were {was} and are now {is_now}: the windows are "
        "the same, but rounding and dropout differ from those of an uninterrupted training.",
    )


def changed_code(before: Mapping[str, Any]) -> tuple[str, ...]:
    """Reports other versions of packages or code than before."""
    sessions = before["sessions"]
    if not sessions:
        return ()
    last, now = sessions[-1], this_session(1)
    changes = [
        f"{package} {last['versions'].get(package)} then, {version} now"
        for package, version in now.versions.items()
        if last["versions"].get(package) != version
    ]
    if last["commit"] != now.commit:
        changes.append(f"commit {last['commit']} then, {now.commit} now")
    return (f"The code changed since this training was stopped: {'; '.join(changes)}.",) if changes else ()
