"""Checkouts of CALVIN for tests: hollow ones, and the recordings' own with single files replaced."""

import os
import shutil
from pathlib import Path

from calvinbench.envs.scenes.calvin_checkout import VALIDATION_SENTENCES
from calvinbench.envs.tasks import TASKS


def hollow_calvin_env(folder: Path) -> Path:
    """The folders of calvin_env and nothing in them."""
    for part in ("conf/scene", "data"):
        (folder / part).mkdir(parents=True)
    return folder


def small_calvin(folder: Path) -> Path:
    """A checkout of calvin whose sentences are made up: one for validation, three for training."""
    validation = folder / VALIDATION_SENTENCES
    validation.parent.mkdir(parents=True)
    validation.write_text("".join(f"{task}: [do {task}]\n" for task in TASKS))
    training = "".join(f"{task}: [train {task} 0, train {task} 1, train {task} 2]\n" for task in TASKS)
    validation.with_name("new_playtable.yaml").write_text(training)
    return folder


def linked_calvin_env(source: Path, folder: Path) -> Path:
    """A checkout whose files are links to those of another one, so that single ones can be replaced."""
    shutil.copytree(source, folder, copy_function=os.symlink)
    return folder


def replace_file(file: Path, content: bytes) -> None:
    file.unlink()
    file.write_bytes(content)
