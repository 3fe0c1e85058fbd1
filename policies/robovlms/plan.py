"""Which weight of a RoboVLMs file goes where. Names and shapes are compared before any weight is moved."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from calvinbench.policies.backbones.settings import LRN_READOUT
from calvinbench.policies.backbones.weights.sources import BUILD_ERRORS, BackboneSourceError
from calvinbench.policies.learned.checkpoint import build_model
from calvinbench.policies.learned.policy_config import PolicyConfig
from calvinbench.policies.robovlms.config_blocks import ConfigBlocks, config_from_blocks
from calvinbench.policies.robovlms.config_file import read_blocks
from calvinbench.policies.robovlms.config_keys import ConfigBlockError, IdleKey
from calvinbench.policies.robovlms.families import Family, Numbers, family_of
from calvinbench.policies.robovlms.weights import RoboVLMsError, read_weights

_REQUIRED = ("robovlm_name", "model", "window_size", "fwd_pred_next_n", "use_hand_rgb", "act_head")
_HEAD_NAMES = (
    (r"act_head\.rnn\.((?:weight|bias)_(?:ih|hh)_l\d+)", r"head.lstm.\1"),
    (r"act_head\.actions\.mlp\.(\d+\.(?:weight|bias))", r"head.decoder.pose.\1"),
    (r"act_head\.gripper\.mlp\.(\d+\.(?:weight|bias))", r"head.decoder.gripper.\1"),
)
LRN = "lrn.embedding"


@dataclass(frozen=True, slots=True)
class WeightRow:
    """One weight of the file.

    Attributes:
        theirs: Its name in the file, without prefixes; empty for a weight that is made here.
        shape: Its shape.
        ours: Its names here: one, three if a matrix is split, none if it is dropped or has no place.
        note: Why it is dropped, or how it is changed.
    """

    theirs: str
    shape: tuple[int, ...]
    ours: tuple[str, ...] = ()
    note: str = ""

    @property
    def is_left(self) -> bool:
        """Whether it has no place here, for no known reason."""
        return not self.ours and not self.note


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """How a checkpoint of RoboVLMs is imported.

    Attributes:
        file: The checkpoint.
        config_file: Its configuration.
        vlm_folder: Where the VLM's configuration and tokenizer are.
        config: The policy's settings.
        numbers: The backbone's numbers and tokenizer.
        rows: Where each weight goes.
        missing: Names of weights of this project's model that are not in the file.
        misshapen: Names of weights with different shapes, with both shapes.
        idle: Keys of the configuration that have no effect.
        written: The configuration as it was written.
        weights: The weights by this project's names.
    """

    file: Path
    config_file: Path
    vlm_folder: Path
    config: PolicyConfig
    numbers: Numbers
    rows: tuple[WeightRow, ...]
    missing: tuple[str, ...]
    misshapen: tuple[str, ...]
    idle: tuple[IdleKey, ...]
    written: Mapping[str, Any]
    weights: Mapping[str, Tensor] = field(repr=False)

    @property
    def left(self) -> tuple[str, ...]:
        """Weights of the file that have no place."""
        return tuple(row.theirs for row in self.rows if row.is_left)

    @property
    def fits(self) -> bool:
        """Whether every weight has a place and every place has a weight."""
        return not (self.missing or self.misshapen or self.left)


def plan_import(file: str | Path, config_file: str | Path, vlm: str | Path | None = None) -> ImportPlan:
    """Reads a checkpoint and says which weight goes where. The model is made without memory for its weights.

    Args:
        file: FILE.pt.
        config_file: Its FILE.json.
        vlm: Folder with the VLM's config.json and tokenizer. By default the one that the configuration names, relative
            to the configuration.

    Raises:
        RoboVLMsError: A file cannot be read, or holds something that is not supported.
        ConfigBlockError: The configuration asks for something that is not supported.
        OSError: The configuration cannot be read.
    """
    place, config_place = Path(file).expanduser(), Path(config_file).expanduser()
    written = read_blocks(config_place)
    blocks = config_from_blocks(written, strict=False)
    family = _require_readable(blocks, written, config_place)
    folder = _vlm_folder(written, config_place.parent, vlm)
    weights = read_weights(place)
    config = replace(
        blocks.policy_config(origin=f"RoboVLMs {place.stem}"),
        backbone_settings=replace(blocks.backbone_settings, image_size=None, scale_lrn=family.scales_embeddings),
    )
    try:
        numbers = family.read_numbers(folder, weights)
        expected, width = _expected(config, numbers, blocks, family)
        rows, ours = _renamed(weights, family, width, config.backbone_settings.readout)
    except (RoboVLMsError, BackboneSourceError, ConfigBlockError):
        raise
    except BUILD_ERRORS as error:
        raise RoboVLMsError(
            f"expected a VLM's folder '{folder}' and weights in '{place}' of which {config.backbone} can be made, but: "
            f"{type(error).__name__}: {error}"
        ) from error
    return ImportPlan(
        file=place,
        config_file=config_place,
        vlm_folder=folder,
        config=config,
        numbers=numbers,
        rows=_with_unknown_left(rows, expected),
        missing=tuple(sorted(expected.keys() - ours.keys())),
        misshapen=tuple(
            f"{name} {tuple(ours[name].shape)} instead of {expected[name]}"
            for name in sorted(expected.keys() & ours.keys())
            if tuple(ours[name].shape) != expected[name]
        ),
        idle=blocks.idle,
        written=written,
        weights=ours,
    )


def _require_readable(blocks: ConfigBlocks, written: Mapping[str, Any], config_file: Path) -> Family:
    """Raises an error if the configuration does not belong to a checkpoint that can be read."""
    missing = [key for key in _REQUIRED if written.get(key) is None]
    if missing:
        raise RoboVLMsError(
            f"expected the configuration of a RoboVLMs checkpoint in '{config_file}', but it has no "
            f"{', '.join(missing)}. It is the FILE.json that lies beside the checkpoint's folder, under configs/."
        )
    if blocks.head.type != "lstm":
        raise RoboVLMsError(
            f"expected act_head.type 'LSTMDecoder' with a history in '{config_file}', got "
            f"'{written['act_head'].get('type')}': only that head of RoboVLMs has the same layers here."
        )
    if blocks.trainable.lora_enable:
        raise RoboVLMsError(f"expected lora_enable: false in '{config_file}': RoboVLMs' own code cannot save adapters.")
    return family_of(blocks.backbone or "", blocks.backbone_settings.readout)


def _vlm_folder(written: Mapping[str, Any], beside: Path, vlm: str | Path | None) -> Path:
    """The folder with the VLM's files."""
    if vlm is not None:
        folder = Path(vlm).expanduser()
        if folder.is_dir():
            return folder
        raise RoboVLMsError(f"expected the VLM's folder (config.json and tokenizer), got '{vlm}': there is none.")
    said = (written.get("vlm") or {}).get("pretrained_model_name_or_path") or written.get("model_path")
    if said is not None and (beside / str(said)).is_dir():
        return beside / str(said)
    raise RoboVLMsError(
        f"expected the folder of the VLM that the checkpoint was trained from, with its config.json and tokenizer, got "
        f"'{said}' from the configuration, which is not there (looked in '{beside}'). Name it: vlm=DIR in a policy "
        "spec, --vlm DIR on the command line."
    )


def _expected(
    config: PolicyConfig, numbers: Numbers, blocks: ConfigBlocks, family: Family
) -> tuple[dict[str, tuple[int, ...]], int]:
    """Names and shapes of the model's weights, and its width."""
    with torch.device("meta"):
        model = build_model(config, numbers.config, numbers.tokenizer)
    wanted = blocks.backbone_settings.image_size
    if family.takes_image_size and wanted not in (None, model.backbone.image_size):
        raise RoboVLMsError(
            f"expected image_size {model.backbone.image_size} in the configuration, as the VLM's folder has it, got "
            f"{wanted}. The folder is another VLM's."
        )
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}, model.backbone.width


def _renamed(
    weights: Mapping[str, Tensor], family: Family, width: int, readout: str
) -> tuple[list[WeightRow], dict[str, Tensor]]:
    """Where each weight goes, and the weights by this project's names."""
    rows: list[WeightRow] = []
    ours: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        note = ""
        if name == "action_token":
            found: dict[str, Tensor] | str = {LRN: tensor}
            if family.scales_embeddings:
                note = f"multiplied by sqrt({width}) with the text's embeddings, there and here (scale_lrn)"
        else:
            found = _rename(name, tensor, family)
        if isinstance(found, str):
            rows.append(WeightRow(name, tuple(tensor.shape), note=found))
        else:
            twice = sorted(ours.keys() & found.keys())
            if twice:
                raise RoboVLMsError(
                    f"expected one weight of the file for each of this project's, got '{name}' as a second one for "
                    f"{', '.join(twice)}. The file holds two models' names; keep one of them."
                )
            rows.append(WeightRow(name, tuple(tensor.shape), tuple(found), note))
            ours |= found
    if readout != LRN_READOUT and LRN not in ours:
        rows.append(WeightRow("", (width,), (LRN,), "zeros: RoboVLMs has none where it pools all tokens; not read"))
        ours[LRN] = torch.zeros(width)
    return rows, ours


def _rename(name: str, tensor: Tensor, family: Family) -> dict[str, Tensor] | str:
    for pattern, replacement in _HEAD_NAMES:
        if match := re.fullmatch(pattern, name):
            return {match.expand(replacement): tensor}
    if not name.startswith("backbone."):
        return {}
    try:
        found = family.rename(name.removeprefix("backbone."), tensor)
    except KeyError:
        return {}
    return found if isinstance(found, str) else {f"backbone.{ours}": piece for ours, piece in found.items()}


def _with_unknown_left(rows: list[WeightRow], expected: Mapping[str, tuple[int, ...]]) -> tuple[WeightRow, ...]:
    """The rows, with weights marked as left over if the model does not have their names."""
    return tuple(
        replace(row, ours=(), note="") if row.ours and not set(row.ours) <= expected.keys() else row for row in rows
    )
