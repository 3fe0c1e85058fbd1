"""`checkpoint:ARGUMENT` leads to a checkpoint, or says at once where one is."""

import subprocess
import sys

import pytest

from calvinbench.policies.learned.checkpoint_folder import CheckpointError, checkpoint_folder
from calvinbench.policies.shipped import shipped_folder

SCRIPT = """
import sys
from calvinbench.harness.suite.suite import Suite
from calvinbench.harness.evaluation.suite_checks import require_known_names
try:
    require_known_names(Suite.of(policy=("checkpoint:cnnn",)))
except ValueError as error:
    print(error)
assert "torch" not in sys.modules
"""


def test_a_shipped_name_leads_to_its_folder_and_a_folder_of_that_name_goes_first(tmp_path, monkeypatch):
    assert checkpoint_folder("cnn") == shipped_folder("cnn")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cnn").mkdir()
    with pytest.raises(CheckpointError, match="got 'cnn'"):
        checkpoint_folder("cnn")


def test_remedy_a_name_that_is_nearly_a_shipped_one(tmp_path):
    with pytest.raises(CheckpointError, match=r"no such folder\. Did you mean checkpoint:cnn\?"):
        checkpoint_folder("cnnn")
    assert checkpoint_folder("cnn").is_dir()


def test_a_wrong_name_is_refused_without_torch():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Did you mean checkpoint:cnn?" in done.stdout


def test_remedy_the_folder_of_a_training(tmp_path):
    for name in ("checkpoint", "best"):
        (tmp_path / "trained" / name).mkdir(parents=True)
        (tmp_path / "trained" / name / "policy.json").write_text("{}")
    with pytest.raises(CheckpointError) as raised:
        checkpoint_folder(str(tmp_path / "trained"))
    ways = [word.strip(".") for word in str(raised.value).split() if word.startswith("checkpoint:")]
    assert ways == [f"checkpoint:{tmp_path / 'trained' / name}" for name in ("checkpoint", "best")]
    for way in ways:
        assert checkpoint_folder(way.removeprefix("checkpoint:")).is_dir()


def test_a_training_without_a_checkpoint_yet_is_named_as_one(tmp_path):
    (tmp_path / "training.json").write_text("{}")
    with pytest.raises(CheckpointError, match="a training that has saved no checkpoint yet"):
        checkpoint_folder(str(tmp_path))
