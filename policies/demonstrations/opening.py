"""Opens a data set by its folder, and finds out its format."""

import zipfile
from pathlib import Path

from calvinbench.envs.names import require_name
from calvinbench.policies.demonstrations.calvin_frames import FRAME_FILE
from calvinbench.policies.demonstrations.calvin_layout import ANNOTATIONS_FILE, CALVIN, EPISODES_FILE, CalvinLayout
from calvinbench.policies.demonstrations.compact import COMPACT, DATASET_FILE, CompactDemonstrations, read_dataset_file
from calvinbench.policies.demonstrations.demonstrations import DataError, Demonstrations

TRAINING, VALIDATION = "training", "validation"
SPLITS = (TRAINING, VALIDATION)


def open_data(path: Path, split: str) -> Demonstrations:
    """Opens one split of a data set of either format.

    Args:
        path: The folder that holds `training/` and `validation/`.
        split: One of `SPLITS`.

    Raises:
        DataError: The data set is missing or incomplete; the message says what to do.
        UnknownNameError: There is no such split.
    """
    require_name(split, SPLITS, "split of a data set")
    if find_format(path) == COMPACT:
        return CompactDemonstrations(path, split)
    return CalvinLayout(path / split)


def find_format(path: Path) -> str:
    """The format of the data set in a folder, `"compact"` or `"calvin"`.

    Raises:
        DataError: There is no data set, it is packed, or it is in another folder. The message says what to do.
    """
    if not path.exists():
        raise DataError(f"expected a data set at '{path}', but there is no such folder. Give the folder of training/.")
    if not path.is_dir():
        raise DataError(_of_a_file(path))
    if (path / DATASET_FILE).is_file():
        form = str(read_dataset_file(path).get("form", COMPACT))
        if form not in (COMPACT, CALVIN):
            raise DataError(
                f"expected form {COMPACT} or {CALVIN} in '{path / DATASET_FILE}', got {form!r}. Record the data again."
            )
        return form
    if any((path / split).is_dir() for split in SPLITS):
        return CALVIN
    raise DataError(_of_a_folder(path))


def _of_a_file(path: Path) -> str:
    if zipfile.is_zipfile(path):
        return (
            f"expected a folder, got '{path}', which is still packed. Extract it (`unzip -n {path}`) and give the "
            "extracted folder."
        )
    if path.suffix == ".zip":
        return (
            f"expected a folder, got '{path}', a zip file that is cut off or damaged. Download it again; CALVIN's "
            "sha256sum.txt says whether it is complete."
        )
    return f"expected the folder of a data set, got '{path}', which is a file."


def _of_a_folder(path: Path) -> str:
    """The message for a folder without a recorder's file and without splits."""
    if (path / EPISODES_FILE).exists() or any(FRAME_FILE.fullmatch(entry.name) for entry in path.iterdir()):
        return (
            f"expected the folder of {' and '.join(f'{split}/' for split in SPLITS)}, got '{path}', which is a split "
            f"itself. Give the folder above it, '{path.parent}'; the split's own folder must be named "
            f"{' or '.join(SPLITS)}."
        )
    below = [folder for folder in sorted(path.iterdir()) if any((folder / split).is_dir() for split in SPLITS)]
    if below:
        return (
            f"expected {' and '.join(f'{split}/' for split in SPLITS)} in '{path}', but they are one level deeper. "
            f"Give '{below[0]}'."
        )
    packed = sorted(path.glob("*.zip"))
    if packed:
        return (
            f"expected {' and '.join(f'{split}/' for split in SPLITS)} in '{path}', found '{packed[0].name}', which is "
            f"still packed. Extract it: unzip -n {packed[0]} -d {path}"
        )
    return (
        f"expected {DATASET_FILE} (our own format) or {' and '.join(f'{split}/' for split in SPLITS)} with "
        f"{EPISODES_FILE} and {ANNOTATIONS_FILE} (CALVIN's) in '{path}', found neither. Record a data set (calvinbench "
        "record), or download one of CALVIN's."
    )
