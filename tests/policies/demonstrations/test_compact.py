"""Our compact form: read as it was written, by the slice; what is wrong is told in words."""

import json
import shutil
import tracemalloc

import numpy as np
import pytest
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from calvinbench.policies.demonstrations import compact
from calvinbench.policies.demonstrations.compact import CompactDemonstrations, episode_file, write_episode
from calvinbench.policies.demonstrations.demonstrations import FRAME_KEYS, Annotation, DataError, Demonstrations
from calvinbench.policies.demonstrations.opening import open_data
from tests.policies.demonstrations.conftest import frame

LENGTHS = (30, 12)
ANNOTATIONS = (
    (Annotation(0, 0, 10, "open_drawer", "open it"), Annotation(0, 10, 30, "turn_on_led", "push the button")),
    (Annotation(0, 2, 12, "open_drawer", "pull the drawer"),),
)


def arrays_of(first, length):
    """Frames whose pictures and numbers say which they are, see `conftest.frame`."""
    frames = [frame(number) for number in range(first, first + length)]
    arrays = {key: np.stack([one[key] for one in frames]) for key in FRAME_KEYS}
    return {key: array if array.dtype == np.uint8 else array.astype(np.float32) for key, array in arrays.items()}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compact")
    notes = {"schema_version": 1, "form": "compact", "picture_sizes": {"static": 20, "gripper": 8}, "seed": 3}
    (folder / "dataset.json").write_text(json.dumps(notes))
    for split in ("training", "validation"):
        (folder / split).mkdir()
        for number, (length, annotations) in enumerate(zip(LENGTHS, ANNOTATIONS, strict=True)):
            path = episode_file(folder / split, number)
            write_episode(path, arrays_of(100 * number, length), annotations, {"number": number})
    return folder


@pytest.fixture
def folder(made, tmp_path):
    return shutil.copytree(made, tmp_path / "data")


def test_what_was_written_is_read(made):
    data = CompactDemonstrations(made, "training")
    assert isinstance(data, Demonstrations)
    assert data.num_episodes == 2
    assert data.annotations == (
        Annotation(0, 0, 10, "open_drawer", "open it"),
        Annotation(0, 10, 30, "turn_on_led", "push the button"),
        Annotation(1, 2, 12, "open_drawer", "pull the drawer"),
    )
    assert data.description.form == "compact"
    assert data.description.image_sizes == {"static": 20, "gripper": 8}
    assert data.description.details["seed"] == 3
    assert isinstance(open_data(made, "validation"), CompactDemonstrations)


def test_frames_are_read_where_they_are_asked_for(made):
    frames = CompactDemonstrations(made, "training").read(1, 2, 5, FRAME_KEYS)
    expected = arrays_of(102, 3)
    for key in FRAME_KEYS:
        found = getattr(frames, key)
        assert found.dtype == expected[key].dtype
        assert np.array_equal(found, expected[key])
    assert frames.rgb_static[:, 0, 0, 0].tolist() == [102, 103, 104]


def test_what_was_not_asked_for_is_not_read(made):
    frames = CompactDemonstrations(made, "training").read(0, 0, 2, ["rel_actions"])
    assert frames.rel_actions.shape == (2, 7)
    assert frames.rgb_static is None
    assert frames.rgb_gripper is None
    assert frames.robot_obs is None


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ((0, 29, 31, ["rel_actions"]), "some of the 30 frames of .*episode_000000.safetensors', got 29 to 31"),
        ((0, -1, 2, ["rel_actions"]), "got -1 to 2"),
        ((0, 5, 5, ["rel_actions"]), "got 5 to 5"),
        ((2, 0, 1, ["rel_actions"]), "one of 2 episodes of '.*training', got 2"),
        ((-1, 0, 1, ["rel_actions"]), "got -1"),
        ((0, 0, 1, ["rgb_wrist"]), "got rgb_wrist"),
    ],
)
def test_what_there_is_not_is_refused(made, request_, words):
    with pytest.raises(DataError, match=words):
        CompactDemonstrations(made, "training").read(*request_)


def test_a_window_is_read_without_the_rest_of_its_file(tmp_path):
    """Twenty megabytes a file: opening the data set and reading eight frames takes a small part of it."""
    num_frames = 400
    generator = np.random.default_rng(0)
    arrays = {
        "rgb_static": generator.integers(0, 256, (num_frames, 120, 120, 3), np.uint8),
        "rgb_gripper": generator.integers(0, 256, (num_frames, 40, 40, 3), np.uint8),
        "rel_actions": np.zeros((num_frames, 7), np.float32),
        "robot_obs": np.zeros((num_frames, 15), np.float32),
    }
    (tmp_path / "training").mkdir()
    notes = {"schema_version": 1, "picture_sizes": {"static": 120, "gripper": 40}}
    (tmp_path / "dataset.json").write_text(json.dumps(notes))
    path = episode_file(tmp_path / "training", 0)
    write_episode(path, arrays, [Annotation(0, 0, 400, "open_drawer", "open it")], {})
    assert path.stat().st_size > 19e6
    tracemalloc.start()
    data = CompactDemonstrations(tmp_path, "training")
    for start in (0, 200, 392):
        frames = data.read(0, start, start + 8, FRAME_KEYS)
        assert np.array_equal(frames.rgb_static, arrays["rgb_static"][start : start + 8])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 8 * 120 * 120 * 3 < peak < 2e6


def test_a_file_that_is_cut_off_is_named(folder):
    file = episode_file(folder / "training", 1)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(DataError, match=f"complete episode in '{file}'.*Delete the file and run the same"):
        CompactDemonstrations(folder, "training")


def test_a_file_that_goes_away_is_named(folder):
    data = CompactDemonstrations(folder, "training")
    file = episode_file(folder / "training", 1)
    file.unlink()
    with pytest.raises(DataError, match=f"complete episode in '{file}'"):
        data.read(1, 0, 1, ["rel_actions"])
    assert data.read(0, 0, 1, ["rel_actions"]).rel_actions.shape == (1, 7)


def test_an_array_that_is_not_there_is_named(folder):
    file = episode_file(folder / "training", 0)
    annotations = {"annotations": json.dumps([{"start": 0, "end": 2, "task": "open_drawer", "instruction": "open"}])}
    kept = {key: array for key, array in arrays_of(0, 2).items() if key != "robot_obs"}
    save_file(kept, file, metadata=annotations)
    data = CompactDemonstrations(folder, "training")
    with pytest.raises(DataError, match=f"'{file}'.*robot_obs"):
        data.read(0, 0, 2, FRAME_KEYS)


@pytest.mark.parametrize(
    "header",
    [
        None,
        {"notes": "{}"},
        {"annotations": "{"},
        {"annotations": '[{"start": 5, "end": 5, "task": "open_drawer", "instruction": "a"}]'},
        {"annotations": '[{"start": 5, "task": "open_drawer"}]'},
    ],
)
def test_a_header_without_annotations_is_told(folder, header):
    file = episode_file(folder / "training", 0)
    save_file(arrays_of(0, 2), file, metadata=header)
    with pytest.raises(DataError, match=f"complete episode in '{file}'"):
        CompactDemonstrations(folder, "training")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, r"expected a data set with dataset.json in '.*data', found none. Record one: calvinbench record"),
        ("", "expected the description of a data set in"),
        ("[1]", "expected the description of a data set in"),
        ('{"form": "compact"}', "schema_version"),
        ('{"schema_version": 99, "form": "compact"}', "schema version 1 or older in .*, got 99. A later version"),
        ('{"schema_version": 1, "form": "compact"}', "expected picture_sizes in .*, got None"),
    ],
)
def test_a_data_set_that_does_not_say_what_it_is_is_told(folder, content, words):
    if content is None:
        (folder / "dataset.json").unlink()
    else:
        (folder / "dataset.json").write_text(content)
    with pytest.raises(DataError, match=words):
        CompactDemonstrations(folder, "training")


def test_a_split_without_episodes_is_told(folder):
    for file in (folder / "validation").iterdir():
        file.rename(file.with_name(f"{file.name}.1234.part"))  # what a killed recorder leaves
    with pytest.raises(DataError, match=r"expected episodes in '.*validation', found none. Record some"):
        CompactDemonstrations(folder, "validation")


def test_a_file_is_written_as_a_whole_or_not_at_all(folder, monkeypatch):
    file = episode_file(folder / "training", 0)
    before = file.read_bytes()

    def torn(arrays, path, metadata):
        path.write_bytes(b"torn")
        raise SafetensorError("No space left on device")

    monkeypatch.setattr(compact, "save_file", torn)
    with pytest.raises(OSError, match=f"cannot write '{file}': No space left on device. Free space"):
        write_episode(file, arrays_of(0, 3), [], {})
    assert file.read_bytes() == before
    assert len(list(file.parent.iterdir())) == 2


def test_others_may_read_what_was_written_and_arrays_of_any_order_are_taken(tmp_path):
    file = episode_file(tmp_path, 7)
    assert file.name == "episode_000007.safetensors"
    arrays = arrays_of(0, 4)
    turned = arrays | {"robot_obs": np.asfortranarray(arrays["robot_obs"]), "rgb_static": arrays["rgb_static"][::-1]}
    write_episode(file, turned, [], {})
    assert file.stat().st_mode & 0o777 == 0o644
    kept = load_file(file)
    assert np.array_equal(kept["robot_obs"], arrays["robot_obs"])
    assert kept["rgb_static"][:, 0, 0, 0].tolist() == [3, 2, 1, 0]
