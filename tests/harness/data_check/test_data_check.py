import json
import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image

from calvinbench.harness import cli
from calvinbench.harness.data_check.verdict import check_data
from calvinbench.policies.demonstrations.calvin_frames import write_frame
from calvinbench.policies.demonstrations.compact import episode_file, write_episode
from calvinbench.policies.demonstrations.demonstrations import Annotation
from tests.policies.demonstrations.conftest import frame, write_split

SPLITS = ("training", "validation")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """CALVIN's layout: two episodes of 60 frames a split, demonstrations at 100 to 140 and 165 to 219."""
    folder = tmp_path_factory.mktemp("calvin") / "task_D_D"
    for split in SPLITS:
        write_split(folder / split)
    return folder


@pytest.fixture
def data(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "task_D_D")


@pytest.fixture
def compact(tmp_path):
    """Our compact form: two episodes of 20 frames a split, a demonstration of 8 frames in each."""
    folder = tmp_path / "compact"
    for split in SPLITS:
        (folder / split).mkdir(parents=True)
        (folder / "episodes" / split).mkdir(parents=True)
        for number in range(2):
            frames = [frame(100 + index) for index in range(20)]
            arrays = {key: np.stack([one[key] for one in frames]) for key in ("rgb_static", "rgb_gripper")}
            arrays |= {
                key: np.stack([one[key] for one in frames]).astype(np.float32) for key in ("rel_actions", "robot_obs")
            }
            annotation = Annotation(0, 2, 10, "open_drawer", "open the drawer")
            write_episode(episode_file(folder / split, number), arrays, [annotation], {})
            note = {"split": split, "number": number, "num_frames": 20, "annotations": [], "failed_task": None}
            (folder / "episodes" / split / f"{number:06d}.json").write_text(json.dumps(note))
    sizes = {"static": 20, "gripper": 8}
    (folder / "dataset.json").write_text(json.dumps({"schema_version": 1, "form": "compact", "picture_sizes": sizes}))
    return folder


def training(number):
    return lambda data: data / "training" / f"episode_{number:07d}.npz"


def test_a_whole_data_set_is_called_so_and_described(whole):
    check = check_data(whole)
    assert check.lines()[0] == check.verdict()
    split = check.splits[0]
    assert (split.num_episodes, split.num_demonstrations, split.num_frames) == (2, 2, 41 + 55)
    assert (split.shortest, split.median, split.longest) == (41, 48.0, 55)
    assert split.tasks == {"open_drawer": 1, "turn_on_led": 1}
    assert split.picture_sizes == {"static": 20, "gripper": 8}
    assert split.num_read == 96
    # The first of the pose's numbers is the frame's by 1000, the gripper opens at odd frames.
    np.testing.assert_allclose(split.actions.low[:2], [0.1, 0.1], rtol=1e-6)
    np.testing.assert_allclose(split.actions.high[:2], [0.219, 0.1], rtol=1e-6)
    assert split.actions.gripper == {"-1": 48, "1": 48}


def test_whole_is_said_of_what_was_looked_at_alone(whole):
    # Between the demonstrations there are 24 frames in each split.
    assert check_data(whole).verdict() == "complete as far as checked (192 of 240 frames)"
    assert check_data(whole, num_frames=5).verdict() == "complete as far as checked (10 of 240 frames)"
    assert check_data(whole, all_frames=True).verdict() == "complete"


def test_all_frames_are_those_of_the_episodes_each_once(whole):
    assert [split.num_read for split in check_data(whole, all_frames=True).splits] == [120, 120]


def test_a_sample_is_spread_from_the_first_to_the_last_demonstration(whole):
    low, high = (getattr(check_data(whole, num_frames=4).splits[0].actions, end)[0] for end in ("low", "high"))
    assert (low, high) == (pytest.approx(0.1), pytest.approx(0.219))


def test_progress_is_told(whole):
    told = []
    check_data(whole, num_frames=3, on_frame=lambda split, done, total: told.append((split, done, total)))
    assert told == [(split, done, 3) for split in SPLITS for done in (1, 2, 3)]


def test_the_compact_form_is_described_alike(compact):
    check = check_data(compact)
    assert check.is_whole
    split = check.splits[0]
    assert (split.num_episodes, split.num_demonstrations, split.num_frames, split.shortest) == (2, 2, 16, 8)
    assert split.tasks == {"open_drawer": 2}
    assert split.actions.gripper == {"-1": 8, "1": 8}
    # Read up to the end of the demonstration, frames before it too.
    assert check_data(compact, all_frames=True).splits[0].num_read == 20


def remove_training(data):
    shutil.rmtree(data / "training")


def remove_validation(data):
    shutil.rmtree(data / "validation")


def cut_extraction_short(data):
    for number in range(130, 220):
        training(number)(data).unlink()


def empty_a_frame(data):
    training(120)(data).write_bytes(b"")


def leave_a_pointer(data):
    training(120)(data).write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")


def cut_a_frame_off(data):
    file = training(120)(data)
    file.write_bytes(file.read_bytes()[:1500])


def remove_annotations(data):
    shutil.rmtree(data / "training" / "lang_annotations")


def remove_episodes(data):
    (data / "training" / "ep_start_end_ids.npy").unlink()


def remove_all_frames(data):
    for file in (data / "training").glob("episode_*.npz"):
        file.unlink()


def point_past_the_frames(data):
    np.save(data / "training" / "ep_start_end_ids.npy", np.array([[100, 159], [160, 219], [300, 320]]))


def remove_a_frame_between(data):
    training(150)(data).unlink()


def empty_a_frame_between(data):
    training(150)(data).write_bytes(b"")


def shorten_an_episode(data):
    np.save(data / "training" / "ep_start_end_ids.npy", np.array([[100, 159], [160, 200]]))


def leave_another_index(data):
    np.save(data / "training" / "ep_start_end_ids.npy", np.array([[142, 159]]))


def remove_statistics(data):
    (data / "training" / "statistics.yaml").unlink()


def unscale(data):
    arrays = frame(120)
    np.savez(training(120)(data), **arrays | {"rel_actions": arrays["rel_actions"] * 50})


def half_close(data):
    arrays = frame(120)
    arrays["rel_actions"][6] = 0.5
    np.savez(training(120)(data), **arrays)


def forget_a_number(data):
    arrays = frame(120)
    arrays["rel_actions"][0] = np.nan
    np.savez(training(120)(data), **arrays)


def strip_a_frame(data):
    np.savez(training(120)(data), padding=np.zeros(200), rel_actions=np.zeros(7))


def stop_recording(data):
    remove_training(data)
    (data / "training").mkdir()
    write_frame(data / "unfinished" / "training" / "000000", 0, frame(100))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (remove_training, ("there is no folder", "unzip -n")),
        (
            cut_extraction_short,
            ("90 of 120 frames are not there", "episode_0000130.npz", "2 of 2 demonstrations", "unzip"),
        ),
        (
            empty_a_frame,
            ("1 file is too small", "1 of 2 demonstrations", "episode_0000120.npz", "empty", "download it"),
        ),
        (leave_a_pointer, ("episode_0000120.npz", "git-lfs pointer", "git lfs pull")),
        (cut_a_frame_off, ("1 of 96 frames cannot be read", "episode_0000120.npz", "cut off", "download it again")),
        (remove_annotations, ("lang_annotations", "extract it again", "download_lang_embeddings.sh")),
        (remove_episodes, ("ep_start_end_ids.npy", "extract it again")),
        (remove_all_frames, ("found none", "Extract the data set")),
        (leave_another_index, ("all 2 are outside", "Extract the data set again")),
        (unscale, ("rel_actions within [-1, 1]", "not scaled")),
        (half_close, ("gripper of -1 (close) or 1 (open)", "0.5")),
        (forget_a_number, ("NaN", "1 frames")),
        (strip_a_frame, ("expected rgb_static in", "it has padding, rel_actions")),
        (stop_recording, ("still being recorded", "calvinbench record")),
    ],
)
def test_what_training_would_stumble_over_is_not_usable(data, damage, words):
    damage(data)
    check = check_data(data)
    assert not check.is_usable
    verdict = check.lines()[0]
    assert verdict.startswith("not usable: ")
    assert all(word in verdict for word in words), verdict


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (remove_validation, ("validation: there is no folder", "unzip -n")),
        (point_past_the_frames, ("21 of 141 frames are not there", "no demonstration needs them")),
        (
            remove_a_frame_between,
            ("1 of 120 frames are not there", "episode_0000150.npz", "no demonstration needs them"),
        ),
        (empty_a_frame_between, ("1 file is too small", "0 of 2 demonstrations")),
        (shorten_an_episode, ("1 of 2 annotations lie outside", "left out")),
        (remove_statistics, ("statistics.yaml", "our training does not")),
    ],
)
def test_what_training_can_do_without_is_usable(data, damage, words):
    damage(data)
    check = check_data(data)
    assert check.is_usable
    assert not check.is_whole
    verdict = check.verdict()
    assert verdict.startswith("usable: ")
    assert all(word in verdict for word in words), verdict


def test_a_frame_between_demonstrations_is_only_opened_when_all_are(data):
    file = training(150)(data)
    file.write_bytes(file.read_bytes()[:1500])
    assert check_data(data).is_whole
    check = check_data(data, all_frames=True)
    assert check.verdict().startswith("usable: training: 1 of 120 frames cannot be read")
    assert "No demonstration needs them" in check.verdict()


def test_a_debug_set_is_usable_and_called_so(data, tmp_path):
    folder = data.rename(tmp_path / "calvin_debug_dataset")
    assert check_data(folder).verdict().startswith("usable: by its name this is CALVIN's debug set")


def test_a_data_set_that_lies_elsewhere_is_found(data, tmp_path):
    deeper = check_data(tmp_path).verdict()
    assert deeper.startswith("not usable: ")
    assert f"one level deeper. Give '{data}'" in deeper
    assert f"Give the folder above it, '{data}'" in check_data(data / "training").verdict()
    assert "there is no such folder" in check_data(tmp_path / "nowhere").verdict()
    (tmp_path / "empty").mkdir()
    assert "found neither" in check_data(tmp_path / "empty").verdict()


def test_a_data_set_that_is_still_packed_is_told(tmp_path):
    packed = tmp_path / "task_D_D.zip"
    with zipfile.ZipFile(packed, "w") as opened:
        opened.writestr("task_D_D/training/x", "")
    for path in (packed, tmp_path):
        assert "still packed" in check_data(path).verdict()
        assert f"unzip -n {packed}" in check_data(path).verdict()
    packed.write_bytes(packed.read_bytes()[:50])
    assert "cut off or damaged. Download it again" in check_data(packed).verdict()


def test_damage_of_the_compact_form_is_told(compact):
    file = episode_file(compact / "training", 1)
    content = file.read_bytes()
    file.write_bytes(content[:-10])
    assert check_data(compact).verdict().startswith(f"not usable: training: expected a complete episode in '{file}'")
    file.unlink()
    verdict = check_data(compact).verdict()
    assert verdict.startswith("usable: training: 1 of 2 recorded episodes are not there")
    assert "calvinbench record" in verdict
    shutil.rmtree(compact / "training")
    assert check_data(compact).verdict().startswith("not usable: training: there is no folder")
    (compact / "dataset.json").write_text("{")
    assert check_data(compact).verdict().startswith("not usable: expected the description of a data set")


@pytest.fixture
def said(data, tmp_path, monkeypatch, capsys):
    """Calls the verb from an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        status = cli.main(["data", "check", str(data), *arguments])
        return status, capsys.readouterr().out

    return call


def test_the_verb_writes_nothing_that_was_not_asked_for(said, tmp_path):
    before = sorted(tmp_path.iterdir())
    status, _ = said()
    assert status == 0
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.usefixtures("rendered_figures")
def test_the_verb_says_the_verdict_first_and_draws_pictures(said, tmp_path):
    status, out = said("--all-frames", "--contact-sheet", "contact_sheet.png")
    assert status == 0
    assert out.splitlines()[0] == "complete"
    assert "training: 2 demonstrations of 2 tasks in 2 episodes, 96 frames; 41 to 55 frames each, median 48" in out
    assert out.splitlines()[-1] == "Images: contact_sheet.png"
    picture = np.asarray(Image.open(tmp_path / "contact_sheet.png").convert("RGB")).reshape(-1, 3)
    # First and last frame of the first demonstration, by the static camera; one of the last by the gripper's.
    for colour in ((100, 1, 2), (140, 1, 2), (219, 3, 4)):
        assert (picture == colour).all(axis=1).any()


@pytest.mark.usefixtures("rendered_figures")
def test_the_verb_fails_where_something_is_wrong_and_speaks_json(said, data):
    remove_a_frame_between(data)
    status, out = said("--json", "--contact-sheet", "page.png")
    content = json.loads(out)
    assert status == 1
    assert (content["whole"], content["usable"], content["contact_sheet"]) == (False, True, "page.png")
    assert content["verdict"].startswith("usable: ")
    assert content["splits"][0]["tasks"] == {"open_drawer": 1, "turn_on_led": 1}
    assert content["splits"][0]["problems"][0]["is_fatal"] is False


@pytest.mark.usefixtures("rendered_figures")
def test_the_verb_draws_nothing_where_nothing_can_be_read(said, data, tmp_path):
    remove_validation(data)
    remove_all_frames(data)
    status, out = said("--contact-sheet", "contact_sheet.png")
    assert status == 1
    assert out.startswith("not usable: ")
    assert not (tmp_path / "contact_sheet.png").exists()
