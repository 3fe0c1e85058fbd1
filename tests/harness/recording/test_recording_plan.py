"""Before anything is recorded: what is there, what will be added, how large it will be."""

import json
import shutil
from collections import namedtuple

import pytest

from calvinbench.harness import cli
from calvinbench.harness.recording import plan
from calvinbench.harness.recording.episode_records import read_records
from calvinbench.harness.recording.plan import bytes_of_frame, plan_recording
from calvinbench.harness.recording.recorder import record
from calvinbench.harness.recording.settings import RecordingSettings

QUICK = {"form": "compact", "subtasks": 1, "tasks": ("turn_on_led", "turn_off_led"), "static_size": 8}
WORDS = ["--form", "compact", "--subtasks", "1", "--tasks", *QUICK["tasks"], "--static-size", "8"]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """One training episode and two of validation."""
    out = tmp_path_factory.mktemp("plan") / "data"
    assert cli.main(["record", "--out", str(out), *WORDS, "--episodes", "1", "--validation-episodes", "2"]) == 0
    return out


@pytest.fixture
def data(recorded, tmp_path):
    return shutil.copytree(recorded, tmp_path / "data")


def numbers_of(out):
    return sorted(read_records(out))


def test_a_number_that_is_not_given_stays_as_it_was(data, capsys):
    assert cli.main(["record", "--out", str(data), *WORDS, "--episodes", "2"]) == 0
    assert numbers_of(data) == [("training", 0), ("training", 1), ("validation", 0), ("validation", 1)]
    said = capsys.readouterr().err
    assert "Training episodes: 1 were requested before, 2 now." in said
    assert "has 1 training and 2 validation episodes. 1 training episode will be added." in said
    assert "A training that already uses this folder would resume with changed data." in said


def test_the_same_command_says_that_nothing_is_missing(data, capsys):
    assert cli.main(["record", "--out", str(data), *WORDS]) == 0
    said = capsys.readouterr().err
    assert "has 1 training and 2 validation episodes. Nothing is missing." in said
    assert "requested before" not in said
    assert len(numbers_of(data)) == 3


def test_fewer_episodes_than_there_are_leaves_those_there_and_says_so(data, capsys):
    assert cli.main(["record", "--out", str(data), *WORDS, "--validation-episodes", "1"]) == 0
    said = capsys.readouterr().err
    assert "Validation episodes: 2 were requested before, 1 now." in said
    assert "The folder has more than requested now: 1 validation episode. They stay." in said
    assert len(numbers_of(data)) == 3


def test_a_data_set_of_before_that_says_no_numbers_goes_on_by_the_defaults(data):
    described = json.loads((data / "dataset.json").read_text())
    del described["asked"]
    (data / "dataset.json").write_text(json.dumps(described))
    planned = plan_recording(RecordingSettings(out=data, **QUICK))
    assert (planned.there, planned.added) == ({"training": 1, "validation": 2}, {"training": 99, "validation": 8})
    assert "99 training and 8 validation episodes will be added" in " ".join(planned.lines())


def test_the_expected_size_is_about_that_of_what_is_recorded(tmp_path):
    settings = RecordingSettings(out=tmp_path, episodes=1, validation_episodes=0, **{**QUICK, "static_size": 100})
    record(settings)
    (file,) = tmp_path.glob("training/*.safetensors")
    num_frames = read_records(tmp_path)["training", 0].num_frames
    assert bytes_of_frame(settings) == pytest.approx(file.stat().st_size / num_frames, rel=0.05)
    assert bytes_of_frame(settings) == pytest.approx(51_380, abs=1)


def test_size_and_space_are_said_before_it_starts(tmp_path):
    settings = RecordingSettings(out=tmp_path / "not" / "there", form="compact", static_size=100, frames_after=8)
    (line,) = plan_recording(settings).lines()
    # 110 episodes of 6 subtasks of 60 + 8 frames.
    assert line.startswith("Expected size: about 2.3 GB (44,880 frames of about 51 kB). Free on the disk: ")


def test_a_disk_that_is_too_small_is_told_before_it_starts(tmp_path, monkeypatch):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(plan.shutil, "disk_usage", lambda path: usage(10**6))
    planned = plan_recording(RecordingSettings(out=tmp_path))
    assert not planned.fits
    assert "this may not fit on the disk" in planned.lines()[-1]


def test_remedy_fewer_episodes_fit_on_a_small_disk(tmp_path, monkeypatch):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(plan.shutil, "disk_usage", lambda path: usage(10**8))
    remedies = {"episodes": 1, "validation_episodes": 0}, {"static_size": 8, "gripper_size": 8, "episodes": 30}
    for remedy in remedies:
        assert not plan_recording(RecordingSettings(out=tmp_path)).fits
        assert plan_recording(RecordingSettings(out=tmp_path, **remedy)).fits
