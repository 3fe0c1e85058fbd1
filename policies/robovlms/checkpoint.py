"""Checkpoints of RoboVLMs (arXiv:2412.14058, github.com/Robot-VLAs/RoboVLMs at 8adc1d2) as policies of this project.

A checkpoint is FILE.pt with its FILE.json, and the folder of the VLM that it was trained from. Only config.json and
tokenizer of that folder are read. Tests compare a tiny checkpoint, saved by RoboVLMs' own code, with that code's
outputs. We could not read the released files, so we do not know what they hold beyond the public code. Every weight of
a file is accounted for, and `calvinbench import robovlms --dry-run` lists which weight goes where.

These follow RoboVLMs: the order of tokens (layout `robovlms`), a memory of exactly the last `window_size` features, the
first action of each chunk, poses mapped from [-1, 1] to `norm_min`..`norm_max`. One thing does not: RoboVLMs also maps
the gripper to that range before it compares it with 0.5, which never opens the gripper if `norm_max` is below 0.5.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from calvinbench.policies.backbones.registry import backbone_class
from calvinbench.policies.learned.checkpoint import build_model, load_strictly, save_checkpoint
from calvinbench.policies.learned.usage import Usage, with_memory
from calvinbench.policies.learned.vlm_lstm import VLMLSTM
from calvinbench.policies.learned.vlm_lstm_policy import VLMLSTMPolicy
from calvinbench.policies.robovlms.plan import ImportPlan, plan_import
from calvinbench.policies.robovlms.settings import RoboVLMsSettings
from calvinbench.policies.robovlms.weights import RoboVLMsError, weights_digest
from calvinbench.policies.spec import PolicySpecError, require_argument

UNCHECKED = "RoboVLMs' released files could not be read where this import was written; names are the public code's"
_NAMES_SHOWN = 8


def make_robovlms_policy(
    argument: str | None,
    settings: RoboVLMsSettings = RoboVLMsSettings(),  # noqa: B008  frozen
) -> VLMLSTMPolicy:
    """Makes `robovlms:FILE.pt,config=FILE.json,vlm=DIR`.

    Args:
        argument: The checkpoint.
        settings: Where its configuration and its VLM are, and how it is used.

    Raises:
        RoboVLMsError: A file cannot be read, or the files do not fit together.
        PolicySpecError: A setting cannot be used.
    """
    file = require_argument("robovlms", argument, "a RoboVLMs checkpoint FILE.pt")
    usage = Usage.of(settings)
    plan = plan_import(file, settings.config or _config_beside(Path(file).expanduser()), settings.vlm)
    model = load_planned(plan)
    return VLMLSTMPolicy(model, with_memory(plan.config, settings), usage, weights_digest(plan.file))


def load_planned(plan: ImportPlan) -> VLMLSTM:
    """The model with the file's weights, in eval mode.

    Raises:
        RoboVLMsError: A weight is missing, left over or has another shape.
    """
    if not plan.fits:
        raise RoboVLMsError(
            f"expected in '{plan.file}' the weights of {plan.config.backbone} and its head as '{plan.config_file}' and "
            f"'{plan.vlm_folder}' say, but {_some('missing', plan.missing)}, {_some('left over', plan.left)}, "
            f"{_some('of another shape', plan.misshapen)}. {_advice(plan)}"
        )
    odd = sorted(name for name, weight in plan.weights.items() if not _is_finite(weight))
    if odd:
        raise RoboVLMsError(
            f"expected finite floating-point weights in '{plan.file}', got others: "
            f"{', '.join(odd[:_NAMES_SHOWN])}. The training diverged, or the file is quantised."
        )
    model = build_model(plan.config, plan.numbers.config, plan.numbers.tokenizer)
    load_strictly(model, plan.weights, f"'{plan.file}'")
    return model.eval()


def save_imported(plan: ImportPlan, folder: Path) -> Path:
    """Writes the checkpoint as one of this project (`checkpoint:FOLDER`). Its notes say where it came from.

    Args:
        plan: What `plan_import` found.
        folder: The folder, which is created.

    Raises:
        RoboVLMsError: A weight is missing, left over or has another shape.
    """
    dropped = {row.theirs: row.note for row in plan.rows if not row.ours}
    notes: dict[str, Any] = {
        "imported_from": {
            "format": "RoboVLMs",
            "file": plan.file.name,
            "sha256": weights_digest(plan.file),
            "config_file": plan.config_file.name,
            "config": plan.written,
            "idle_keys": {key.key: key.reason for key in plan.idle},
            "dropped_weights": dropped,
            "unchecked": unchecked(plan),
        }
    }
    json.dumps(notes)  # raises an error before the weights are moved
    return save_checkpoint(folder, load_planned(plan), plan.config, notes)


def unchecked(plan: ImportPlan) -> str:
    """What could not be checked about this import."""
    backbone = backbone_class(plan.config.backbone).unchecked
    return UNCHECKED if not backbone else f"{UNCHECKED}. {backbone[0].upper()}{backbone[1:]}"


def plan_as_json(plan: ImportPlan) -> dict[str, Any]:
    """The plan, for a JSON file."""
    return {
        "file": str(plan.file),
        "config": str(plan.config_file),
        "vlm": str(plan.vlm_folder),
        "fits": plan.fits,
        "policy": plan.config.to_json(),
        "weights": [asdict(row) for row in plan.rows],
        "missing": plan.missing,
        "left": plan.left,
        "misshapen": plan.misshapen,
        "idle_keys": [asdict(key) for key in plan.idle],
        "unchecked": unchecked(plan),
    }


def _is_finite(weight: Tensor) -> bool:
    """Whether a weight is of floating point and all its numbers are finite."""
    return weight.is_floating_point() and bool(weight.isfinite().all())


def _config_beside(file: Path) -> Path:
    """The configuration that belongs to a checkpoint by its name."""
    places = (
        file.with_suffix(".json"),
        file.with_name(f"{file.stem}_config.json"),
        file.parent.parent / "configs" / f"{file.stem}.json",
    )
    for place in places:
        if place.is_file():
            return place
    raise PolicySpecError(
        f"expected the configuration of '{file}' at {' or '.join(map(str, places))}, got none. Name it: "
        f"robovlms:{file},config=FILE.json."
    )


def _some(what: str, names: tuple[str, ...]) -> str:
    if not names:
        return f"0 are {what}"
    rest = f", and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return f"{len(names)} are {what} ({', '.join(names[:_NAMES_SHOWN])}{rest})"


def _advice(plan: ImportPlan) -> str:
    if plan.misshapen:
        return "The configuration or the VLM's folder is another checkpoint's."
    if plan.missing and not plan.left:
        return (
            "RoboVLMs can save without the parts that it froze. Such a file is not enough, because a policy is made "
            "from one file alone. Save it again with all weights."
        )
    return "The file belongs to another model, or to another version of RoboVLMs' code."
