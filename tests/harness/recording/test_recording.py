"""Data sets of demonstrations: the same whoever records them and however often they are cut off."""

import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from calvinbench.envs.scenes.calvin_scene import ASSET_DIGESTS
from calvinbench.envs.start_states import is_evaluation_state
from calvinbench.harness import cli
from calvinbench.harness.data_check.verdict import check_data
from calvinbench.harness.recording import recorder
from calvinbench.harness.recording.data_set_folder import RecordingMismatchError
from calvinbench.harness.recording.episode import Episode, Perturbation
from calvinbench.harness.recording.episode_records import EpisodeRecord, count_tasks, read_records
from calvinbench.harness.recording.formats import CalvinFormat
from calvinbench.harness.recording.progress import RecordingProgress
from calvinbench.harness.recording.recorder import Recorder, record
from calvinbench.harness.recording.settings import RecordingSettings
from calvinbench.harness.records.folders import RunLockedError, locked_folder
from calvinbench.policies.backbones.images.pil_resize import resize_with_pil
from calvinbench.policies.demonstrations.calvin_layout import CalvinLayout
from calvinbench.policies.demonstrations.calvin_pickle import load_dictionary
from calvinbench.policies.demonstrations.compact import CompactDemonstrations
from calvinbench.policies.demonstrations.demonstrations import IMAGE_KEYS, Annotation, DataError
from support.processes import processes_below, require_ended
from tests.policies.demonstrations.conftest import read_by_public_code

TASKS = ("turn_on_led", "turn_off_led", "open_drawer")
FORMATS = ("calvin", "compact")
QUICK = {"episodes": 2, "validation_episodes": 1, "subtasks": 2, "tasks": TASKS, "static_size": 32, "gripper_size": 16}


def settings_of(out, form, **changes):
    return RecordingSettings(**({"out": out, "form": form} | QUICK | changes))


def flags(out, form, **changes):
    """The same as a command's flags."""
    words = ["--out", str(out), "--form", form]
    for name, value in (QUICK | changes).items():
        words += [f"--{name.replace('_', '-')}", *(map(str, value) if isinstance(value, tuple) else [str(value)])]
    return words


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A data set of either form, made by one process: `recorded["calvin"]` is its folder."""
    folder = tmp_path_factory.mktemp("recorded")
    for form in FORMATS:
        record(settings_of(folder / form, form))
    return {form: folder / form for form in FORMATS}


@cache
def kept_content(folder):
    """The content of a data set of the fixture `recorded`, read once."""
    return content_of(folder)


def content_of(folder):
    """All that a data set holds, by file, but for when and where it was made: arrays by their values, others as bytes.

    Bytes of the same data may differ: a zip has the time of its making, safetensors shuffles its header, and a pickle
    knows which of its strings were one object.
    """
    content = {}
    for file in sorted(Path(folder).rglob("*")):
        name = str(file.relative_to(folder))
        if file.is_dir() or name == ".lock":
            continue
        if file.suffix == ".npz":
            with np.load(file) as arrays:
                content[name] = {key: (arrays[key].dtype.str, arrays[key].tobytes()) for key in arrays.files}
        elif file.suffix == ".safetensors":
            with safe_open(file, framework="np") as opened:
                arrays = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118  it is no mapping
                content[name] = opened.metadata(), {key: array.tobytes() for key, array in arrays.items()}
        elif file.name == "auto_lang_ann.npy":
            found = load_dictionary(file)
            content[name] = {**found["language"], "emb": found["language"]["emb"].shape}, found["info"]
        elif name == "dataset.json":
            content[name] = {key: value for key, value in json.loads(file.read_text()).items() if key != "sessions"}
        else:
            content[name] = file.read_bytes()
    return content


def assert_same(one, other):
    assert one.keys() == other.keys()
    assert [name for name in one if one[name] != other[name]] == []


@pytest.mark.parametrize("form", FORMATS)
def test_two_processes_record_what_one_does(form, recorded, tmp_path):
    records = record(settings_of(tmp_path, form), num_workers=2)
    assert_same(content_of(tmp_path), kept_content(recorded[form]))
    assert [(found.split, found.number) for found in records] == [("training", 0), ("training", 1), ("validation", 0)]


@pytest.mark.parametrize("form", FORMATS)
def test_what_was_recorded_is_whole_and_can_be_read(form, recorded):
    check = check_data(recorded[form])
    assert check.is_whole, check
    records = read_records(recorded[form])
    assert sum(len(found.annotations) for found in records.values()) == 6
    for split, data in (
        ("training", open_split(recorded[form], form, "training")),
        ("validation", open_split(recorded[form], form, "validation")),
    ):
        ours = [found for key, found in sorted(records.items()) if key[0] == split]
        expected = [replace(a, episode=number) for number, found in enumerate(ours) for a in found.annotations]
        assert list(data.annotations) == expected
        assert data.description.image_sizes == {"static": 32, "gripper": 16}
        assert data.description.details["seed"] == 0


def open_split(folder, form, split):
    return CalvinLayout(folder / split) if form == "calvin" else CompactDemonstrations(folder, split)


def test_both_forms_have_the_same_demonstrations(recorded):
    """The pictures alone differ: one renders them small, the other makes them small."""
    calvin, compact = (open_split(recorded[form], form, "training") for form in FORMATS)
    assert list(calvin.annotations) == list(compact.annotations)
    for annotation in calvin.annotations:
        span = annotation.episode, annotation.start, annotation.end
        for key in ("rel_actions", "robot_obs"):
            assert np.array_equal(getattr(calvin.read(*span, [key]), key), getattr(compact.read(*span, [key]), key))
        rendered, resized = (data.read(*span, ["rgb_static"]).rgb_static for data in (calvin, compact))
        assert rendered.shape == resized.shape == (annotation.num_frames, 32, 32, 3)
        assert 1 < np.abs(rendered.astype(int) - resized).mean() < 16


def test_each_frame_is_a_picture_of_its_own(recorded):
    pictures = load_file(recorded["compact"] / "training" / "episode_000000.safetensors")["rgb_gripper"]
    changes = (pictures[1:] != pictures[:-1]).any(axis=(1, 2, 3))
    assert changes.mean() > 0.9


def test_calvins_form_has_depths_and_calvins_numbers(recorded):
    folder = recorded["calvin"] / "training"
    frames = sorted(folder.glob("episode_*.npz"))
    spans = np.load(folder / "ep_start_end_ids.npy").tolist()
    records = [found for (split, _), found in sorted(read_records(recorded["calvin"]).items()) if split == "training"]
    first, second = (found.num_frames + 1 for found in records)  # the frame after the last action is there too
    assert spans == [[100, 100 + first - 1], [100 + first, 100 + first + second - 1]]
    assert [int(file.stem[8:]) for file in frames] == list(range(100, 100 + first + second))
    with np.load(frames[0]) as frame:
        shapes = {key: (frame[key].shape, frame[key].dtype.name) for key in frame.files}
        depth = frame["depth_static"]
    assert shapes == {
        "rgb_static": ((32, 32, 3), "uint8"),
        "rgb_gripper": ((16, 16, 3), "uint8"),
        "depth_static": ((32, 32), "float32"),
        "depth_gripper": ((16, 16), "float32"),
        "actions": ((7,), "float64"),
        "rel_actions": ((7,), "float64"),
        "expert_actions": ((7,), "float64"),
        "expert_rel_actions": ((7,), "float64"),
        "robot_obs": ((15,), "float64"),
        "scene_obs": ((24,), "float64"),
    }
    assert 2.0 < depth.min() < depth.max() < 8.0  # metres from the camera beside the table
    assert not (recorded["calvin"] / "unfinished").exists()


def test_the_compact_form_keeps_pictures_of_the_size_asked_for_and_no_depths(recorded):
    arrays = load_file(recorded["compact"] / "training" / "episode_000001.safetensors")
    length = len(arrays["rel_actions"])
    assert {key: (array.shape, array.dtype.name) for key, array in arrays.items()} == {
        "rgb_static": ((length, 32, 32, 3), "uint8"),
        "rgb_gripper": ((length, 16, 16, 3), "uint8"),
        "rel_actions": ((length, 7), "float32"),
        "actions": ((length, 7), "float32"),
        "robot_obs": ((length, 15), "float32"),
        "scene_obs": ((length, 24), "float32"),
    }


def test_validation_is_of_other_draws_and_no_episode_begins_as_an_evaluation(recorded):
    starts = {}
    for file in recorded["compact"].rglob("episode_*.safetensors"):
        scene_obs = load_file(file)["scene_obs"][0].astype(np.float64)
        assert not is_evaluation_state(scene_obs)
        starts[file.parent.name, file.stem] = scene_obs
    assert len(starts) == 3
    blocks = np.stack(list(starts.values()))[:, 6:]
    assert min(np.abs(blocks[a] - blocks[b]).max() for a, b in ((0, 1), (0, 2), (1, 2))) > 0.01


def test_another_seed_gives_other_demonstrations(recorded, tmp_path):
    record(settings_of(tmp_path, "compact", seed=1, episodes=1, validation_episodes=0))
    one, other = (
        load_file(folder / "training" / "episode_000000.safetensors")["scene_obs"][0]
        for folder in (recorded["compact"], tmp_path)
    )
    assert not np.array_equal(one, other)


@pytest.mark.slow
def test_public_loaders_read_what_was_recorded(recorded):
    found = read_by_public_code(recorded["calvin"])
    folder = recorded["calvin"] / "training"
    content = load_dictionary(folder / "lang_annotations" / "auto_lang_ann.npy")
    stretches = [
        (*span, words) for span, words in zip(content["info"]["indx"], content["language"]["ann"], strict=True)
    ]

    def actions_of(starts):
        return [np.load(folder / f"episode_{start:07d}.npz")["rel_actions"] for start in starts]

    of_calvin, of_robovlms = found["calvin"]["training, lang"], found["robovlms"]
    # Windows of at least 16 frames, the last frame of an annotation left out; RoboVLMs' of 8.
    assert of_calvin["starts"] == [start for first, last, _ in stretches for start in range(first, last - 15)]
    np.testing.assert_allclose(of_calvin["actions"], actions_of(of_calvin["starts"]), rtol=1e-6)
    assert found["calvin"]["training, vis"]["shapes"]["rgb_static"] == [32, 3, 32, 32]
    assert of_robovlms["sentences"] == [words for first, last, words in stretches for _ in range(first, last - 7)]
    np.testing.assert_allclose(of_robovlms["actions"], actions_of(of_robovlms["starts"]), rtol=1e-6)


@pytest.mark.recorded
def test_demonstrations_are_recorded_on_calvins_scene(recordings, tmp_path, capsys):
    words = flags(tmp_path, "calvin", episodes=1, validation_episodes=0, subtasks=1, frames_after=2, scene="D")
    assert cli.main(["record", *words, "--calvin-env", str(recordings / "calvin_env"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["demonstrations"] == 1
    described = json.loads((tmp_path / "dataset.json").read_text())
    assert (described["scene"], described["depth_bits"]) == ("D", 16)
    assert described["asset_digest"] == ASSET_DIGESTS["D"]
    data = CalvinLayout(tmp_path / "training")
    (annotation,) = data.annotations
    (name,) = load_dictionary(tmp_path / "training" / "scene_info.npy")
    assert name == "calvin_scene_D"
    pictures = data.read(0, 0, annotation.num_frames, ["rgb_static"]).rgb_static
    assert pictures.std() > 10
    changes = {"turn_on_led": 5, "turn_off_led": 5, "open_drawer": 1}  # of scene_obs; frames after it show it
    with np.load(data.frame_file(0, 0)) as first, np.load(data.frame_file(0, annotation.num_frames - 1)) as last:
        assert first["scene_obs"][changes[annotation.task]] != last["scene_obs"][changes[annotation.task]]


def test_a_data_set_says_how_many_frames_follow_a_success_and_an_older_one_had_none(recorded, tmp_path):
    folder = shutil.copytree(recorded["compact"], tmp_path / "older")
    described = json.loads((folder / "dataset.json").read_text())
    assert described.pop("frames_after") == 0
    (folder / "dataset.json").write_text(json.dumps(described))
    record(settings_of(folder, "compact"))  # goes on with it
    with pytest.raises(RecordingMismatchError, match="frames_after was 0 and is now 8"):
        record(settings_of(folder, "compact", frames_after=8))


@pytest.mark.parametrize("form", FORMATS)
def test_a_finished_data_set_is_left_as_it_is(form, recorded, tmp_path, monkeypatch):
    folder = shutil.copytree(recorded[form], tmp_path / form)
    monkeypatch.setattr(Recorder, "record", None)  # whoever calls it fails
    times = {file: file.stat().st_mtime_ns for file in folder.rglob("*.*")}
    told = []
    record(settings_of(folder, form), on_episode=told.append)
    assert {file: file.stat().st_mtime_ns for file in folder.rglob("*.*")} == times
    assert [(found.split, found.number) for found in told] == [("training", 0), ("training", 1), ("validation", 0)]


@pytest.mark.parametrize("form", FORMATS)
def test_an_episode_without_a_record_is_recorded_again(form, recorded, tmp_path):
    """Cut off in the middle: a record is written last, so that what has none may be torn."""
    folder = shutil.copytree(recorded[form], tmp_path / form)
    (folder / "episodes" / "training" / "000001.json").unlink()
    if form == "calvin":
        torn = folder / "unfinished" / "training" / "000001"
        torn.mkdir(parents=True)
        (torn / "episode_0000000.npz").write_bytes(b"torn")
        (torn / "episode_0009999.npz").write_bytes(b"of another world")
    else:
        (folder / "training" / "episode_000001.safetensors").write_bytes(b"torn")
        (folder / "training" / "episode_000001.safetensors.17.part").write_bytes(b"torn")
    (folder / "episodes" / "training" / "000001.json.17.tmp").write_text("torn")
    record(settings_of(folder, form))
    assert_same(content_of(folder), kept_content(recorded[form]))


@pytest.mark.parametrize("form", FORMATS)
def test_an_episode_whose_frames_are_lost_is_recorded_again(form, recorded, tmp_path):
    """What is damaged is deleted by its owner, as he is told to, and the same command makes it again."""
    folder = shutil.copytree(recorded[form], tmp_path / form)
    lost = folder / "training" / ("episode_0000105.npz" if form == "calvin" else "episode_000000.safetensors")
    lost.unlink()
    again = []
    real = Recorder.record
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Recorder, "record", lambda self, *key: again.append(key) or real(self, *key))
        record(settings_of(folder, form))
    assert again == [("training", 0)]
    assert_same(content_of(folder), kept_content(recorded[form]))


@pytest.mark.parametrize("num_moved", [0, 20, 100])
def test_calvins_form_goes_on_when_it_is_cut_off_between_frames(num_moved, recorded, tmp_path, monkeypatch):
    """Frames lie in `unfinished`, the first ones have their names already."""
    folder = shutil.copytree(recorded["calvin"], tmp_path / "calvin")
    for found in read_records(folder).values():
        offset = 100 + (read_records(folder)["training", 0].num_frames + 1 if found.number else 0)
        waiting = folder / "unfinished" / found.split / f"{found.number:06d}"
        waiting.mkdir(parents=True)
        for index in range(found.num_frames + 1):
            name = f"episode_{offset + index:07d}.npz"
            (folder / found.split / name).rename(waiting / f"episode_{index:07d}.npz")
    for file in [*folder.glob("*/*.npy"), *folder.glob("*/*.yaml"), *folder.glob("*/*/auto_lang_ann.npy")]:
        file.unlink()
    moved = []
    real = Path.replace

    def replace_some(self, target):
        if self.parent.parent.parent.name == "unfinished":
            if len(moved) == num_moved:
                raise KeyboardInterrupt
            moved.append(target)
        return real(self, target)

    monkeypatch.setattr(Recorder, "record", None)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", replace_some)
        with pytest.raises(KeyboardInterrupt):
            record(settings_of(folder, "calvin"))
    assert len(list((folder / "training").glob("episode_*.npz"))) == num_moved
    assert not (folder / "training" / "ep_start_end_ids.npy").exists()
    record(settings_of(folder, "calvin"))
    assert_same(content_of(folder), kept_content(recorded["calvin"]))


def test_calvins_form_goes_on_when_it_is_cut_off_before_its_index(recorded, tmp_path, monkeypatch):
    folder = shutil.copytree(recorded["calvin"], tmp_path / "calvin")
    (folder / "validation" / "ep_start_end_ids.npy").unlink()  # the last file that is written
    (folder / "validation" / "statistics.yaml").write_text("torn")
    monkeypatch.setattr(Recorder, "record", None)
    record(settings_of(folder, "calvin"))
    assert_same(content_of(folder), kept_content(recorded["calvin"]))


@pytest.mark.parametrize("form", FORMATS)
def test_more_episodes_go_on_with_a_data_set(form, recorded, tmp_path):
    records = record(settings_of(tmp_path, form, episodes=1, validation_episodes=0))
    assert len(records) == 1
    assert len(open_split(tmp_path, form, "training").annotations) == 2
    record(settings_of(tmp_path, form))
    assert_same(content_of(tmp_path), kept_content(recorded[form]))


def test_tasks_may_be_named_in_any_order(recorded, tmp_path):
    folder = shutil.copytree(recorded["compact"], tmp_path / "compact")
    (folder / "episodes" / "training" / "000000.json").unlink()
    record(settings_of(folder, "compact", tasks=("open_drawer", "turn_off_led", "turn_on_led", "open_drawer")))
    assert_same(content_of(folder), kept_content(recorded["compact"]))


def test_fewer_episodes_leave_what_is_there(recorded, tmp_path):
    folder = shutil.copytree(recorded["calvin"], tmp_path / "calvin")
    told = []
    records = record(settings_of(folder, "calvin", episodes=1), on_episode=told.append)
    assert len(records) == 3
    assert len(told) == 2
    assert_same(content_of(folder), kept_content(recorded["calvin"]))


def test_other_settings_are_refused_and_each_is_named(recorded, tmp_path):
    folder = shutil.copytree(recorded["calvin"], tmp_path / "calvin")
    changes = {"seed": 1, "static_size": 40, "tasks": ("turn_on_led",), "subtasks": 3, "max_steps": 100}
    with pytest.raises(RecordingMismatchError) as refused:
        record(settings_of(folder, "compact", perturbation=Perturbation(sigma=0.3), **changes))
    words = str(refused.value)
    for difference in (
        "form was calvin and is now compact",
        "picture_sizes was {'static': 32, 'gripper': 16} and is now {'static': 40, 'gripper': 16}",
        "tasks was {'open_drawer': 0.7, 'turn_on_led': 0.7, 'turn_off_led': 0.7} and is now {'turn_on_led': 0.7}",
        "subtasks was 2 and is now 3",
        "max_steps was 360 and is now 100",
        "perturbation was {'sigma': 0.15,",
        "and is now {'sigma': 0.3,",
        "seed was 0 and is now 1",
    ):
        assert difference in words
    for same in ("scene was", "asset_digest was", "renderer was", "instructions was", "depth_bits was"):
        assert same not in words
    assert_same(content_of(folder), kept_content(recorded["calvin"]))


def test_another_world_is_refused(recorded, tmp_path):
    folder = shutil.copytree(recorded["compact"], tmp_path / "compact")
    noted = json.loads((folder / "dataset.json").read_text()) | {"reference_frame": "0", "asset_digest": "1"}
    (folder / "dataset.json").write_text(json.dumps(noted))
    with pytest.raises(RecordingMismatchError, match=r"asset_digest was 1 and .*reference_frame was 0 and is now"):
        record(settings_of(folder, "compact"))


@pytest.mark.parametrize("place", ["training", "validation", "episodes"])
def test_a_folder_with_somebody_elses_data_is_not_touched(place, tmp_path):
    """CALVIN's own data set has no `dataset.json`, and its frames have the names that ours would get."""
    (tmp_path / place).mkdir()
    (tmp_path / place / "episode_0000100.npz").write_bytes(b"precious")
    with pytest.raises(RecordingMismatchError, match=f"'{tmp_path / place}' has files"):
        record(settings_of(tmp_path, "calvin"))
    assert [file.name for file in tmp_path.rglob("*.*")] == ["episode_0000100.npz"]


def test_an_episode_that_comes_out_otherwise_does_not_overwrite_others(recorded, tmp_path, monkeypatch):
    """An expert of another version needs one step less: frames behind it would all have to move."""
    folder = shutil.copytree(recorded["calvin"], tmp_path / "calvin")
    before = content_of(folder)
    (folder / "episodes" / "training" / "000000.json").unlink()
    real = recorder.demonstrate

    def shorter(*arguments, **settings):
        episode = real(*arguments, **settings)
        last = episode.annotations[-1]
        return replace(
            episode,
            frames=episode.frames[:-1],
            annotations=[*episode.annotations[:-1], replace(last, end=last.end - 1)],
        )

    monkeypatch.setattr(recorder, "demonstrate", shorter)
    with pytest.raises(DataError, match="another now that it was recorded anew"):
        record(settings_of(folder, "calvin"))
    after = content_of(folder)
    assert all(after[name] == before[name] for name in before if name.startswith(("training", "validation")))


def test_a_damaged_record_is_told_with_what_to_do(recorded, tmp_path):
    folder = shutil.copytree(recorded["compact"], tmp_path / "compact")
    damaged = folder / "episodes" / "training" / "000001.json"
    damaged.write_text("{")
    with pytest.raises(DataError, match=f"'{damaged}'.*Delete the file"):
        record(settings_of(folder, "compact"))


def test_two_recorders_in_one_folder_are_refused(recorded, tmp_path):
    folder = shutil.copytree(recorded["compact"], tmp_path / "compact")
    with locked_folder(folder), pytest.raises(RunLockedError, match="another process is writing"):
        record(settings_of(folder, "compact"))
    record(settings_of(folder, "compact"))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_recording_that_is_killed_or_stopped_goes_on(recorded, tmp_path, number):
    """While the second episode or a later one is under way; what is finished is not recorded again."""
    command = [sys.executable, "-m", "calvinbench.harness.cli", "record", *flags(tmp_path, "calvin"), "--workers", "2"]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    finished = []
    deadline = time.monotonic() + 120
    while not finished and process.poll() is None and time.monotonic() < deadline:
        finished = list((tmp_path / "episodes").rglob("*.json"))
        time.sleep(0.005)
    assert process.poll() is None, process.communicate()
    children = processes_below(process.pid)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert finished
    if number == signal.SIGTERM:  # as Ctrl-C
        assert process.returncode == 1, errors
        require_ended(children, errors)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:  # workers see that their driver is gone, and leave the lock to others
        try:
            with locked_folder(tmp_path):
                break
        except RunLockedError:
            time.sleep(0.05)
    times = {file: file.stat().st_mtime_ns for file in (tmp_path / "episodes").rglob("*.json")}
    record(settings_of(tmp_path, "calvin"))
    assert all(file.stat().st_mtime_ns == times[file] for file in times)
    assert_same(content_of(tmp_path), kept_content(recorded["calvin"]))
    sessions = json.loads((tmp_path / "dataset.json").read_text())["sessions"]
    assert [session["worlds"] for session in sessions] == [2, 1]
    assert all(session["versions"]["pybullet"] for session in sessions)


@pytest.mark.parametrize("form", FORMATS)
def test_an_episode_whose_first_subtask_fails_leaves_a_record_and_no_frames(form, tmp_path):
    settings = settings_of(tmp_path, form, episodes=1, validation_episodes=0, max_steps=2)
    records = record(settings)
    assert len(records) == 1
    assert records[0].num_frames == 0
    assert records[0].annotations == ()
    assert records[0].failed_task in TASKS
    assert list(tmp_path.rglob("episode_*")) == []
    assert record(settings) == records  # it was done: nothing is left to do


def test_a_demonstration_of_one_action_has_two_frames_in_calvins_form(tmp_path):
    form = CalvinFormat(tmp_path, {"static": 8, "gripper": 4})
    episode = Episode([small_frame(number) for number in range(9)], last_frame=small_frame(9))
    form.write("training", 0, episode)
    (tmp_path / "training").mkdir()
    annotations = (
        Annotation(0, 0, 1, "turn_on_led", "push the button"),
        Annotation(0, 1, 9, "open_drawer", "open the drawer"),
    )
    form.finish("training", [EpisodeRecord("training", 0, 9, annotations)], "embedded")
    note = {"schema_version": 1, "form": "calvin", "last_frame": form.last_frame}
    (tmp_path / "dataset.json").write_text(json.dumps(note))
    assert [(a.start, a.end) for a in CalvinLayout(tmp_path / "training").annotations] == [(0, 1), (1, 9)]
    indexed = load_dictionary(tmp_path / "training" / "lang_annotations" / "auto_lang_ann.npy")["info"]["indx"]
    assert indexed == [(100, 101), (101, 109)]  # the last frames are included


def small_frame(number):
    action = np.array([number / 100, 0, 0, 0, 0, 0, 1.0])
    return {
        "rgb_static": np.zeros((8, 8, 3), np.uint8),
        "rgb_gripper": np.zeros((4, 4, 3), np.uint8),
        "actions": action,
        "rel_actions": action,
        "executed_actions": action,
        "executed_rel_actions": action,
        "robot_obs": np.zeros(15),
        "scene_obs": np.zeros(24),
    }


def test_tasks_are_counted():
    records = (
        EpisodeRecord(
            "training", 0, 9, (Annotation(0, 0, 4, "open_drawer", "a"), Annotation(0, 4, 9, "stack_block", "b"))
        ),
        EpisodeRecord("training", 1, 3, (Annotation(0, 0, 3, "open_drawer", "c"),), "stack_block"),
        EpisodeRecord("validation", 0, 0, (), "stack_block"),
    )
    counts = count_tasks(records)
    assert (counts["open_drawer"].done, counts["open_drawer"].failed, counts["open_drawer"].frames) == (2, 0, 7)
    assert (counts["stack_block"].done, counts["stack_block"].failed, counts["stack_block"].frames) == (1, 2, 5)
    assert (counts["turn_on_led"].done, counts["turn_on_led"].failed) == (0, 0)
    assert [EpisodeRecord.from_json(json.loads(json.dumps(found.to_json()))) for found in records] == list(records)


def test_progress_counts_what_is_kept():
    progress = RecordingProgress(2)
    with progress:
        progress.episode_finished(EpisodeRecord("training", 0, 9, (Annotation(0, 0, 9, "open_drawer", "a"),)))
        progress.episode_finished(EpisodeRecord("training", 1, 0, (), "open_drawer"))
    assert str(progress) == "1 demonstrations, 9 frames, 1 failed"


def test_the_command_prints_a_table_and_says_where_it_is(recorded, capsys):
    assert cli.main(["record", *flags(recorded["calvin"], "calvin")]) == 0
    said = capsys.readouterr()
    header, _, *rows = said.out.splitlines()
    names = [name.strip() for name in header.strip("|").split("|")]
    assert names == ["task", "demonstrations", "failed, not kept", "mean frames"]
    counts = count_tasks(tuple(read_records(recorded["calvin"]).values()))
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    expected = [(task, c.done, c.frames / c.done) for task, c in counts.items() if c.done]
    assert [cell[:3] for cell in cells] == [[task, str(done), "0"] for task, done, _ in expected]
    assert [float(cell[3]) for cell in cells] == pytest.approx([mean for *_, mean in expected], abs=0.5)
    assert f"6 demonstrations, {sum(c.frames for c in counts.values())} frames in {recorded['calvin']}" in said.err


def test_json_is_one_object(recorded, capsys):
    assert cli.main(["record", *flags(recorded["compact"], "compact"), "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["out"] == str(recorded["compact"])
    assert content["demonstrations"] == sum(task["done"] for task in content["tasks"].values()) == 6
    assert content["frames"] == sum(task["frames"] for task in content["tasks"].values())
    assert set(content["tasks"]) <= set(TASKS)


def test_a_recording_without_a_demonstration_has_failed(tmp_path, capsys):
    words = flags(tmp_path, "compact", episodes=1, validation_episodes=0, max_steps=2)
    assert cli.main(["record", *words]) == 1
    assert "0 demonstrations" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--tasks", "open_drawers"], "Did you mean 'open_drawer'"),
        (["--episodes", "0"], "expected episodes of at least 1, got 0"),
        (["--validation-episodes", "-1"], "expected validation_episodes of at least 0, got -1"),
        (["--workers", "0"], "expected at least 1 worker, got 0"),
        (["--noise", "-0.1"], "expected noise to be a finite number of at least 0, got -0.1"),
        (["--kicks", "2"], "expected kicks to be a probability from 0 to 1, got 2"),
        (["--static-size", "0"], "expected static_size of at least 1, got 0"),
        (["--episodes", "1000000"], "expected episodes of at most 999999, because their files are numbered by six"),
        (["--subtasks", "1000001"], "expected subtasks of at most 1000000, got 1000001"),
        (["--gripper-size", "4097"], "expected gripper_size of at most 4096 pixels, got 4097"),
        (["--renderer", ""], "expected a value for --renderer, got an empty one"),
        (["--renderer", "opengl-lok"], "Did you mean 'opengl-look'"),
        (["--instructions", "calvinbnch"], "Did you mean 'calvinbench'"),
        (["--scene", "D", "--calvin-env", "nowhere"], "nowhere"),
    ],
)
def test_a_wrong_call_is_told_in_words_with_status_2_and_leaves_nothing(words, told, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["record", "--out", "data", *words]) == 2
    said = capsys.readouterr()
    assert told in said.err
    assert "Traceback" not in said.err
    assert said.out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [["--form", "hdf5"], ["--scene", "A"], ["--episods", "3"], ["--depth-bits", "8"]])
def test_flags_that_do_not_exist_have_status_2(words):
    assert cli.main(["record", *words]) == 2


def test_pictures_are_resized_as_policies_resize_them(tmp_path):
    """A native picture in, the small one out, by the filter of `augmentation`."""
    from calvinbench.harness.recording.formats import CompactFormat

    generator = np.random.default_rng(0)
    native = {"rgb_static": (200, 200, 3), "rgb_gripper": (84, 84, 3)}
    pictures = {key: generator.integers(0, 256, shape, np.uint8) for key, shape in native.items()}
    (tmp_path / "training").mkdir()
    form = CompactFormat(tmp_path, {"static": 100, "gripper": 84})
    assert dict(form.rendered_sizes) == {"static": 200, "gripper": 84}
    form.write("training", 0, Episode([small_frame(1) | pictures], [Annotation(0, 0, 1, "open_drawer", "a")]))
    kept = load_file(tmp_path / "training" / "episode_000000.safetensors")
    for key, size in zip(IMAGE_KEYS, (100, 84), strict=True):
        assert np.array_equal(kept[key], resize_with_pil(pictures[key][None], size))
    assert np.array_equal(kept["rgb_gripper"][0], pictures["rgb_gripper"])
