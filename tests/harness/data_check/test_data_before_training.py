"""What is wrong with data is said by `data check`, and by `train` before anything slow is made."""

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file

from calvinbench.harness import cli
from calvinbench.harness.data_check.verdict import check_data
from calvinbench.harness.evaluation import conventions, describing
from calvinbench.harness.suite.settings import RunSettings
from calvinbench.harness.training import training
from calvinbench.harness.training.call import make_call
from calvinbench.harness.training.report import FigureWriter
from calvinbench.harness.training.training import train
from calvinbench.policies.demonstrations.calvin_frames import read_arrays
from calvinbench.policies.demonstrations.calvin_layout import CalvinLayout
from calvinbench.policies.demonstrations.calvin_pickle import load_dictionary, save_dictionary
from calvinbench.policies.demonstrations.compact import CompactDemonstrations, write_episode
from calvinbench.policies.demonstrations.demonstrations import Annotation, DataError
from calvinbench.policies.policy import TrainedOn
from calvinbench.policies.registry import make_policy
from support.small_training import separate_training, write_data, write_numbers
from tests.policies.demonstrations.conftest import write_split

POLICY = "untrained:cnn,memory_span=window:3,chunk_length=4,hidden_dim=16"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Data in CALVIN's layout, and the policy's numbers."""
    folder = tmp_path_factory.mktemp("made")
    for split in ("training", "validation"):
        write_split(folder / "data" / split)
    write_numbers(folder)
    return folder


@pytest.fixture
def data(made, tmp_path):
    return shutil.copytree(made / "data", tmp_path / "data")


@pytest.fixture(autouse=True)
def _separate_training_without_figures(monkeypatch):
    monkeypatch.setattr(FigureWriter, "_draw", lambda self: None)
    with separate_training():
        yield


@pytest.fixture
def trains(made, tmp_path):
    """Trains on a data set by two small steps, and gives what was said."""

    def trains_on(data, policy=POLICY, **changes):
        keys = {
            "policy": f"{policy},size={made / 'numbers.json'}",
            "data": str(data),
            "out": str(tmp_path / "out"),
            "precision": "fp32",
            "batch_size": 2,
            "gradient_accumulation_steps": 1,
            "warmup_epochs": 0,
            "window_size": 3,
            "max_steps": 2,
            "validate_every": 0,
            "device": "cpu",
        }
        told = []
        train(make_call(keys | changes), told.append)
        return "\n".join(told)

    return trains_on


@pytest.fixture
def no_policy(monkeypatch):
    """Whoever makes a policy fails."""
    monkeypatch.setattr(training, "make_policy_by_spec", None)


def change_annotations(data, change, split="training"):
    file = data / split / "lang_annotations" / "auto_lang_ann.npy"
    content = load_dictionary(file)
    change(content)
    save_dictionary(file, content)


def change_frames(data, change, split="training"):
    for file in (data / split).glob("episode_*.npz"):
        with np.load(file) as kept:
            arrays = dict(kept)
        change(arrays)
        np.savez(file, **arrays)


def words_of(check):
    return " ".join(problem.words for split in check.splits for problem in split.problems) + " ".join(
        problem.words for problem in check.problems
    )


def remove(data, *numbers, split="training"):
    for number in numbers:
        (data / split / f"episode_{number:07d}.npz").unlink()


@pytest.mark.usefixtures("no_policy")
def test_missing_frames_are_named_before_a_policy_is_made(data, trains, tmp_path):
    remove(data, 110, 130)
    with pytest.raises(DataError) as caught:
        trains(data)
    said = str(caught.value)
    assert "training: 2 of 96 frames are not there, the first '" in said
    assert "episode_0000110.npz', the last 'episode_0000130.npz'; 1 of 2 demonstrations lack frames" in said
    assert not (tmp_path / "out").exists()
    assert "2 of 120 frames are not there" in words_of(check_data(data))


@pytest.mark.usefixtures("no_policy")
def test_missing_frames_of_the_validation_split_are_found_too_where_it_is_used(data, trains):
    remove(data, 110, split="validation")
    with pytest.raises(DataError, match="validation: 1 of 96 frames are not there"):
        trains(data, validate_every=1)


def test_missing_frames_that_training_does_not_read_do_not_stop_it(data, trains):
    remove(data, 150)  # of no annotation
    remove(data, 200)  # of a task that is left out
    remove(data, 110, split="validation")
    assert "2 demonstrations" not in trains(data, tasks=["open_drawer"])


def test_remedy_the_missing_frames_put_back(data, made, trains):
    remove(data, 110, 130)
    with pytest.raises(DataError, match="Extract it again"):
        trains(data)
    for number in (110, 130):
        name = f"training/episode_{number:07d}.npz"
        shutil.copy(made / "data" / name, data / name)
    assert "2 demonstrations" in trains(data)


@pytest.mark.usefixtures("no_policy")
def test_an_empty_sentence_is_named_before_a_policy_is_made(data, trains):
    change_annotations(data, lambda content: content["language"]["ann"].__setitem__(1, "  "))
    with pytest.raises(DataError) as caught:
        trains(data)
    file = data / "training" / "lang_annotations" / "auto_lang_ann.npy"
    expected = f"1 annotation with an empty sentence: number 1 (frames 165 to 219) of '{file}'"
    assert expected in str(caught.value)
    check = check_data(data)
    assert not check.is_usable
    assert expected in check.verdict()


def test_remedy_the_annotation_with_an_empty_sentence_is_deleted(data, trains):
    change_annotations(data, lambda content: content["language"]["ann"].__setitem__(1, ""))
    with pytest.raises(DataError, match="Correct the annotations, or delete them"):
        trains(data)

    def delete(content):
        for values in (content["language"]["ann"], content["language"]["task"], content["info"]["indx"]):
            del values[1]
        content["language"]["emb"] = content["language"]["emb"][:1]

    change_annotations(data, delete)
    assert "1 demonstrations" in trains(data)


def test_an_empty_sentence_in_the_compact_form_is_named(tmp_path, trains, no_policy):
    folder = write_data(tmp_path / "compact")
    file = folder / "training" / "episode_000002.safetensors"
    write_episode(file, load_file(file), [Annotation(0, 0, 7, "close_drawer", "")], {})
    with pytest.raises(DataError, match="1 annotation with an empty sentence: frames 0 to 6 of episode 2"):
        trains(folder)
    assert not check_data(folder).is_usable


@pytest.mark.usefixtures("no_policy")
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c["language"]["ann"].__setitem__(0, None), "text as the sentence of annotation number 0"),
        (lambda c: c["language"]["task"].__setitem__(1, 7), "text as the task's name of annotation number 1"),
        (lambda c: c["language"]["task"].__setitem__(1, " "), "1 annotation with an empty task name: number 1"),
        (lambda c: c["info"]["indx"].__setitem__(1, (165.5, 219)), "annotation number 1 in .* whole numbers"),
        (lambda c: c["info"]["indx"].__setitem__(1, (-5, 219)), "annotation number 1 in .* at least 0"),
    ],
)
def test_annotations_that_are_none_are_refused_and_named(data, trains, change, words):
    change_annotations(data, change)
    with pytest.raises(DataError, match=words):
        trains(data)
    assert not check_data(data).is_usable


def test_annotations_that_count_for_nothing_or_twice_are_said(data):
    def change(content):
        content["language"]["ann"] += ["open the drawer", "push the button"]
        content["language"]["task"] += ["open_drawer", "turn_on_led"]
        content["info"]["indx"] += [(100, 140), (200, 190)]

    change_annotations(data, change)
    check = check_data(data)
    assert check.is_usable
    assert "1 annotation that repeat an earlier one (counted twice): number 2 (frames 100 to 140)" in words_of(check)
    assert "1 annotation with the last frame before the first (left out): number 3 (frames 200 to 190)" in words_of(
        check
    )


def scale(factor):
    def change(arrays):
        arrays["rel_actions"] = np.append(arrays["rel_actions"][:6] * factor, arrays["rel_actions"][6])

    return change


def close_to_0(arrays):
    arrays["rel_actions"][6] = max(arrays["rel_actions"][6], 0.0)


@pytest.mark.parametrize(
    ("change", "words", "is_usable"),
    [
        (scale(0.02), "99% of motions are smaller than 0.0044 in x, y and z; CALVIN's reach 1", True),
        (scale(10), "got 5, and 100% of frames have one beyond", False),
    ],
)
def test_actions_unlike_calvins_are_said_by_both(data, trains, change, words, is_usable):
    change_frames(data, change)
    check = check_data(data)
    assert words in words_of(check)
    assert check.is_usable == is_usable
    said = trains(data)
    assert f"WARNING: training: {'99%' if is_usable else 'expected'}" in said
    assert words in said


@pytest.mark.usefixtures("no_policy")
def test_a_gripper_of_0_and_1_is_refused_before_a_policy_is_made(data, trains):
    change_frames(data, close_to_0)
    with pytest.raises(DataError, match=r"They look like 0 \(closed\) and 1 \(open\): 2 \* gripper - 1"):
        trains(data)
    assert "They look like 0 (closed) and 1 (open)" in words_of(check_data(data))


def test_ordinary_actions_are_not_remarked_on(made, trains):
    assert "WARNING" not in trains(made / "data")


@pytest.mark.parametrize(
    ("change", "inverse", "words"),
    [
        (scale(0.02), scale(50.0), "divide them by 0.02"),
        (close_to_0, lambda a: a["rel_actions"].__setitem__(6, 2 * a["rel_actions"][6] - 1), "2 * gripper - 1"),
    ],
)
def test_remedy_actions_are_scaled_as_calvins(data, change, inverse, words):
    change_frames(data, change)
    assert words in words_of(check_data(data))
    change_frames(data, inverse)
    assert check_data(data, all_frames=True).is_whole


@pytest.mark.usefixtures("no_policy")
def test_actions_that_are_no_numbers_are_refused_before_a_policy_is_made(data, trains):
    change_frames(data, lambda arrays: arrays["rel_actions"].__setitem__(0, np.nan))
    with pytest.raises(DataError, match="training: expected finite actions, got NaN or infinity in 96 frames"):
        trains(data)


def test_actions_of_text_are_refused_in_words(data):
    change_frames(data, lambda arrays: arrays.update(rel_actions=arrays["rel_actions"].astype(str)))
    with pytest.raises(DataError, match="expected rel_actions of numbers of shape"):
        CalvinLayout(data / "training").read(0, 0, 1, ["rel_actions"])


@pytest.mark.usefixtures("rendered_figures")
def test_data_without_a_gripper_camera_are_checked_and_trained_on(data, trains, tmp_path):
    for split in ("training", "validation"):
        change_frames(data, lambda arrays: (arrays.pop("rgb_gripper"), arrays.pop("depth_gripper")), split)
    check = check_data(data, all_frames=True)
    assert check.is_whole, check
    assert check.splits[0].picture_sizes == {"static": 20}
    assert cli.main(["data", "check", str(data), "--contact-sheet", str(tmp_path / "sheet.png")]) == 0
    assert (tmp_path / "sheet.png").stat().st_size > 1000
    assert "2 demonstrations" in trains(data, f"{POLICY},cameras=static", validate_every=1)


def test_remedy_a_camera_that_is_not_there_is_left_out(data, trains):
    change_frames(data, lambda arrays: arrays.pop("rgb_gripper"))
    with pytest.raises(DataError, match=r"images of the gripper camera .* Train with cameras=static in the policy's"):
        trains(data)
    assert "2 demonstrations" in trains(data, f"{POLICY},cameras=static")


def test_compact_data_without_a_gripper_camera_are_trained_on(tmp_path, trains):
    folder = write_data(tmp_path / "compact")
    for file in folder.glob("*/*.safetensors"):
        arrays, number = load_file(file), int(file.stem[-6:])
        del arrays["rgb_gripper"]
        annotation = CompactDemonstrations(folder, file.parent.name).annotations[number]
        write_episode(file, arrays, [annotation], {})
    described = json.loads((folder / "dataset.json").read_text())
    del described["picture_sizes"]["gripper"]
    (folder / "dataset.json").write_text(json.dumps(described))
    assert check_data(folder, all_frames=True).is_whole
    assert "6 demonstrations" in trains(folder, f"{POLICY},cameras=static")
    with pytest.raises(DataError, match="cameras=static"):
        trains(folder)


def test_images_that_are_not_square_are_refused_and_say_why(data, trains, no_policy):
    change_frames(data, lambda arrays: arrays.update(rgb_static=np.zeros((60, 80, 3), np.uint8)))
    with pytest.raises(DataError, match=r"square images, .* got 60 x 80 pixels \(height x width\) of the static"):
        trains(data)
    assert "got 60 x 80 pixels" in check_data(data).verdict()


def test_remedy_images_are_cropped_to_a_square(data, trains):
    change_frames(data, lambda arrays: arrays.update(rgb_static=np.zeros((20, 30, 3), np.uint8)))
    with pytest.raises(DataError, match="Crop or pad each rgb_static to a square"):
        trains(data)
    change_frames(data, lambda arrays: arrays.update(rgb_static=arrays["rgb_static"][:, 5:25]))
    assert "2 demonstrations" in trains(data)


def test_compact_images_that_are_not_square_are_refused_and_say_why(tmp_path):
    folder = write_data(tmp_path / "compact")
    file = folder / "training" / "episode_000000.safetensors"
    arrays = load_file(file) | {"rgb_static": np.zeros((5, 60, 80, 3), np.uint8)}
    write_episode(file, arrays, [Annotation(0, 0, 5, "open_drawer", "open the drawer")], {})
    with pytest.raises(DataError, match=r"square images, .* rgb_static of shape \(60, 80, 3\)"):
        CompactDemonstrations(folder, "training").read(0, 0, 2, ["rgb_static"])


def test_tasks_of_ones_own_data_are_trained_on(data, trains):
    change_annotations(data, lambda content: content["language"]["task"].__setitem__(0, "fold_the_towel"))
    assert "1 demonstrations" in trains(data, tasks=["fold_the_towel"])


@pytest.mark.usefixtures("no_policy")
def test_a_misspelled_task_is_guessed_from_those_of_the_data(data, trains):
    change_annotations(data, lambda content: content["language"]["task"].__setitem__(0, "fold_the_towel"))
    with pytest.raises(DataError, match="Did you mean 'fold_the_towel' instead of 'fold_the_towl'"):
        trains(data, tasks=["fold_the_towl"])


# Scenes


@pytest.fixture
def wrong(data):
    """Frames of scene D by their folder's name, whose `scene_info.npy` says A, as of some early downloads."""
    folder = data.rename(data.parent / "task_D_D")
    save_dictionary(folder / "training" / "scene_info.npy", {"calvin_scene_A": [100, 219]})
    return folder


def scene_of(out):
    return make_policy(f"checkpoint:{out / 'checkpoint'}").traits.trained_on.scene


def test_a_scene_that_the_folders_name_contradicts_is_said_and_not_kept(wrong, trains, tmp_path):
    check = check_data(wrong)
    assert "says that the frames are of scene A, and the folder's name, 'task_D_D', says D" in words_of(check)
    assert [split.scenes for split in check.splits] == [None, "D"]
    assert "scene not known" in check.lines()[2]
    assert "scene D" in " ".join(check.lines())
    said = trains(wrong)
    assert "WARNING" in said
    assert "the folder's name, 'task_D_D', says D. So which scene it is, is not known" in said
    assert scene_of(tmp_path / "out") is None


def test_remedy_the_scenes_are_said_in_training(wrong, trains, tmp_path):
    assert "--data-scenes D" in words_of(check_data(wrong))
    assert "WARNING" not in trains(wrong, data_scenes="D")
    assert scene_of(tmp_path / "out") == "D"
    described = json.loads((tmp_path / "out" / "training.json").read_text())
    assert described["data"]["scene"] == described["settings"]["data_scenes"] == "D"


def test_training_and_validation_of_other_scenes_than_calvins_are_said(data, trains):
    save_dictionary(data / "training" / "scene_info.npy", {"calvin_scene_A": [100, 219]})
    words = "training is from scene A and validation from scene D, unlike any of CALVIN's data sets"
    assert words in words_of(check_data(data))
    assert f"{words} (D, ABC and ABCD for training, D for validation). It is kept as A" in trains(
        data, validate_every=1
    )


@pytest.mark.parametrize(
    ("info", "words", "scenes"),
    [
        (
            {"calvin_scene_A": [100, 180], "calvin_scene_D": [150, 219]},
            "gives frames 150 to 180 to calvin_scene_A",
            None,
        ),
        ({"calvin_scene_D": [100, 150]}, "gives frames 151 to 219 to no scene", "D"),
        ({"calvin_scene_A": [100, 150], "calvin_scene_D": [160, 219]}, "gives frames 151 to 159 to no scene", "AD"),
        ({"calvin_scene_A": [0, 50]}, "gives frames 100 to 219 to no scene", None),
    ],
)
def test_ranges_that_overlap_or_leave_gaps_are_said(data, info, words, scenes):
    save_dictionary(data / "training" / "scene_info.npy", info)
    check = check_data(data)
    assert words in words_of(check)
    assert check.splits[0].scenes == scenes


def record_as(data, scene):
    """Writes the file that our recorder writes."""
    (data / "dataset.json").write_text(json.dumps({"schema_version": 1, "form": "calvin", "scene": scene}))


def test_scene_info_that_contradicts_our_recorders_file_is_said_and_not_kept(data, trains, tmp_path):
    record_as(data, "embedded")
    save_dictionary(data / "training" / "scene_info.npy", {"calvin_scene_A": [100, 219]})
    save_dictionary(data / "validation" / "scene_info.npy", {"embedded": [100, 219]})
    words = f"'{data / 'training' / 'scene_info.npy'}' says that the frames are of scene A, and "
    words += f"'{data / 'dataset.json'}' says embedded"
    check = check_data(data)
    assert words in words_of(check)
    assert [split.scenes for split in check.splits] == [None, "embedded"]
    assert f"WARNING: {words}. So which scene it is, is not known" in trains(data)
    assert scene_of(tmp_path / "out") is None


def test_remedy_the_scene_of_a_recording_is_said_in_training(data, trains, tmp_path):
    record_as(data, "embedded")
    save_dictionary(data / "training" / "scene_info.npy", {"calvin_scene_A": [100, 219]})
    assert "WARNING" not in trains(data, data_scenes="embedded")
    assert scene_of(tmp_path / "out") == "embedded"


@pytest.mark.parametrize("info", [{"embedded": [100, 219]}, {"calvin_scene_A": [0, 50]}])
def test_a_recording_whose_scene_info_does_not_contradict_it_is_of_the_recorded_scene(data, info):
    """A folder's name such as `task_D_D` is the user's, and says nothing of a recording."""
    folder = data.rename(data.parent / "task_D_D")
    record_as(folder, "embedded")
    for split in ("training", "validation"):
        save_dictionary(folder / split / "scene_info.npy", info)
    check = check_data(folder, all_frames=True)
    assert check.is_whole, check
    assert [split.scenes for split in check.splits] == ["embedded", "embedded"]


def test_a_recordings_scene_info_that_cannot_be_read_is_said(data, caplog):
    record_as(data, "embedded")
    (data / "training" / "scene_info.npy").write_bytes(b"junk")
    assert check_data(data).splits[0].scenes == "embedded"
    assert "it cannot be read. It is recorded as embedded." in caplog.text


def test_a_configuration_that_says_another_scene_is_said(data):
    (data / "training" / ".hydra").mkdir()
    (data / "training" / ".hydra" / "merged_config.yaml").write_text("file: calvin_table_B/urdf/calvin_table_B.urdf\n")
    check = check_data(data)
    assert "merged_config.yaml' says B" in words_of(check)
    assert check.splits[0].scenes is None


def test_calvins_own_splits_are_not_remarked_on(data):
    folder = data.rename(data.parent / "task_ABC_D")
    ranges = {"calvin_scene_B": [100, 110], "calvin_scene_C": [111, 170], "calvin_scene_A": [171, 219]}
    save_dictionary(folder / "training" / "scene_info.npy", ranges)
    check = check_data(folder, all_frames=True)
    assert check.is_whole, check
    assert [split.scenes for split in check.splits] == ["ABC", "D"]


@pytest.mark.parametrize("scenes", ["E", "DD", "", "embeded"])
def test_scenes_that_do_not_exist_are_refused(data, trains, scenes):
    with pytest.raises(ValueError, match="expected data_scenes to be one of embedded, A, B, C, D, or several"):
        trains(data, data_scenes=scenes)


def test_remedy_a_checkpoint_that_says_a_wrong_scene_is_corrected_in_its_spec(data, trains, tmp_path):
    trains(data, data_scenes="A")
    spec = f"checkpoint:{tmp_path / 'out' / 'checkpoint'}"
    with pytest.raises(conventions.ConventionMismatchError, match="checkpoint:FOLDER,trained_on=D"):
        describing.training_of(RunSettings(policy=spec, scene="D", train="D"), make_policy(spec).traits)
    corrected = make_policy(f"{spec},trained_on=D").traits
    assert isinstance(corrected.trained_on, TrainedOn)
    for train_said in (None, "D"):
        settings = RunSettings(policy=f"{spec},trained_on=D", scene="D", train=train_said)
        assert describing.training_of(settings, corrected)["train"] == "D"
    with pytest.raises(ValueError, match="expected trained_on to be one of"):
        make_policy(f"{spec},trained_on=X")


def test_an_array_that_is_not_asked_for_is_not_needed(data):
    file = data / "training" / "episode_0000100.npz"
    assert set(read_arrays(file, ["rel_actions"], ["rgb_static", "tactile"])) == {"rel_actions", "rgb_static"}
