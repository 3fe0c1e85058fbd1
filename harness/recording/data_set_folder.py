"""The folder of a data set that is being recorded: prepared, compared with the settings, and its notes written."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from calvinbench.harness.recording.episode_records import RECORDS_FOLDER, EpisodeRecord, read_records
from calvinbench.harness.recording.formats import LABELS, LAST_ACTION, RecordingFormat, make_format
from calvinbench.harness.recording.settings import RecordingSettings
from calvinbench.harness.records.folders import make_folder, write_text_atomically
from calvinbench.harness.records.provenance import this_session
from calvinbench.policies.demonstrations.compact import DATASET_FILE, read_dataset_file
from calvinbench.policies.demonstrations.opening import SPLITS

_OLDER_DEFAULTS = {"frames_after": 0, "actions": LABELS, "last_frame": LAST_ACTION}
"""Settings of data sets by earlier versions, which did not record them."""


class RecordingMismatchError(ValueError):
    """The folder holds demonstrations with other settings."""


def require_ours(out: Path) -> None:
    """Raises an error if the folder holds files that were not recorded by us and would be overwritten."""
    if (out / DATASET_FILE).exists():
        return
    for name in (*SPLITS, RECORDS_FOLDER):
        if (out / name).is_dir() and any((out / name).iterdir()):
            raise RecordingMismatchError(
                f"expected an empty folder or demonstrations of ours, but '{out / name}' has files and there is no "
                f"{DATASET_FILE} in '{out}'. Choose another --out."
            )


def prepare_folder(settings: RecordingSettings, description: Mapping[str, Any]) -> RecordingFormat:
    """Makes the folders and writes the description of the data set, or checks that it is the same as before."""
    if (settings.out / DATASET_FILE).exists():
        before = _OLDER_DEFAULTS | read_dataset_file(settings.out)
        differing = [
            f"{key} was {before.get(key)} and is now {value}"
            for key, value in json.loads(json.dumps(description)).items()
            if before.get(key) != value
        ]
        if differing:
            raise RecordingMismatchError(
                f"'{settings.out}' holds demonstrations with other settings: {'; '.join(differing)}. "
                "Choose another --out, or the previous settings."
            )
    else:
        write_text_atomically(settings.out / DATASET_FILE, json.dumps(description, indent=2) + "\n")
    for split in SPLITS:
        for folder in (settings.out / split, settings.out / RECORDS_FOLDER / split):
            make_folder(folder)
            for torn in (*folder.glob("*.part"), *folder.glob("*.tmp")):
                torn.unlink()
    return make_format(settings.form, settings.out, settings.picture_sizes)


def note_asked(settings: RecordingSettings) -> None:
    """Records the largest requested number of episodes: the default of the next call."""
    content = read_dataset_file(settings.out)
    before = content.get("asked", {})
    asked = {name: max(getattr(settings, name), before.get(name, 0)) for name in ("episodes", "validation_episodes")}
    if content.get("asked") != asked:
        content["asked"] = asked
        write_text_atomically(settings.out / DATASET_FILE, json.dumps(content, indent=2) + "\n")


def note_session(out: Path, num_workers: int) -> None:
    """Records the versions and the hardware of this session."""
    content = read_dataset_file(out)
    content["sessions"] = [*content.get("sessions", ()), asdict(this_session(num_workers))]
    write_text_atomically(out / DATASET_FILE, json.dumps(content, indent=2) + "\n")


def read_whole_records(out: Path, layout: RecordingFormat) -> dict[tuple[str, int], EpisodeRecord]:
    """Finished episodes with all their frames, including those that are not requested now."""
    records = read_records(out)
    for split in SPLITS:
        for number in layout.lost(split, [records[key] for key in sorted(records) if key[0] == split]):
            del records[split, number]
    return records
