"""Where pretrained weights come from: a local folder, or a snapshot of the hub."""

import re
from pathlib import Path

from huggingface_hub.errors import StrictDataclassError

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+(@[\w.-]+)?")


BUILD_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    StrictDataclassError,
    TypeError,
    ValueError,
)
"""Errors that wrong numbers of a model may raise: here, in torch and in transformers."""


class BackboneSourceError(ValueError):
    """Pretrained weights are missing, belong to another architecture, or cannot be downloaded."""


def local_folder(source: str | Path, hint: str) -> Path:
    """The folder that holds a model's files, downloaded if the source is a name on the hub.

    Args:
        source: A folder, or `ORG/NAME` or `ORG/NAME@REVISION` on the Hugging Face hub.
        hint: An example of a name, for the message: `"microsoft/kosmos-2-patch14-224"`.

    Raises:
        BackboneSourceError: There is no such folder, and the hub cannot be reached or has no such name.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        return folder
    if not _HUB_NAME.fullmatch(str(source)):
        raise BackboneSourceError(
            f"expected a folder with a model's files or a name ORG/NAME on the hub, such as {hint}, got '{source}': "
            "there is no such folder."
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    name, _, revision = str(source).partition("@")
    try:
        return Path(snapshot_download(name, revision=revision or None, ignore_patterns=["*.onnx", "*.gguf", "*.h5"]))
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError, ValueError) as error:
        raise BackboneSourceError(
            f"expected to download '{source}' from the Hugging Face hub, but: {_first_line(error)}. Check the name and "
            "the network. For a gated model, accept its licence on its page and run `hf auth login`. Or name a local "
            "folder with the model. HF_HUB_OFFLINE=1 forbids downloads."
        ) from error


def _first_line(error: Exception) -> str:
    lines = [line.strip().removeprefix("Got: ") for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
