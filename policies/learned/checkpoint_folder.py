"""The folder that `checkpoint:ARGUMENT` names. It is found without torch, so that an error is reported at once."""

from difflib import get_close_matches
from pathlib import Path

from calvinbench.policies.shipped import shipped_folder, shipped_policies

CONFIG_FILE, WEIGHTS_FILE, TOKENIZER_FOLDER = "policy.json", "model.safetensors", "tokenizer"
_OF_TRAINING = ("checkpoint", "best")
"""Folders with checkpoints inside the folder of a training."""


class CheckpointError(ValueError):
    """A folder that holds no checkpoint, or a checkpoint that does not fit."""


def checkpoint_folder(argument: str) -> Path:
    """The folder of a checkpoint.

    Args:
        argument: The folder, or the name of one of `shipped_policies`. A folder of that name takes precedence.

    Raises:
        CheckpointError: There is no checkpoint. The message says where one is, or which name was probably meant.
    """
    folder = Path(argument).expanduser()
    if not folder.exists() and argument in shipped_policies():
        return shipped_folder(argument)
    require_checkpoint(folder)
    return folder


def require_checkpoint(folder: Path) -> None:
    """Raises an error for a folder without the settings of a checkpoint.

    Raises:
        CheckpointError: There are none.
    """
    if (folder / CONFIG_FILE).is_file():
        return
    raise CheckpointError(
        f"expected a checkpoint's folder with {CONFIG_FILE}, {WEIGHTS_FILE} and {TOKENIZER_FOLDER}/, got '{folder}'"
        f"{_what_to_do(folder)}"
    )


def _what_to_do(folder: Path) -> str:
    """The rest of the sentence."""
    if not folder.exists():
        near = get_close_matches(str(folder), shipped_policies(), n=1, cutoff=0.5)
        meant = f" Did you mean checkpoint:{near[0]}?" if near else ""
        return (
            f": there is no such folder.{meant} Policies that come with calvinbench: {', '.join(shipped_policies())}."
        )
    inside = [folder / name for name in _OF_TRAINING if (folder / name / CONFIG_FILE).is_file()]
    if inside:
        kept = " or ".join(f"checkpoint:{place}" for place in inside)
        return f", which is the folder of a training. Its checkpoint is one level deeper: {kept}."
    if (folder / "training.json").is_file():
        return (
            ", which is the folder of a training that has saved no checkpoint yet. Run the same `calvinbench "
            "train` again to resume it; --save-every sets how often a checkpoint is saved."
        )
    return (
        ". A RoboVLMs file is read by robovlms:FILE.pt,config=FILE.json, or imported first: calvinbench import "
        "robovlms."
    )
