import logging
import pickle
import shutil

import numpy as np
import pytest

from calvinbench.policies.demonstrations.calvin_layout import CalvinLayout, read_annotations
from calvinbench.policies.demonstrations.calvin_pickle import load_dictionary
from calvinbench.policies.demonstrations.demonstrations import FRAME_KEYS, Annotation, DataError
from tests.policies.demonstrations.conftest import frame


@pytest.fixture
def folder(tmp_path, calvin_data):
    """A training split of its own."""
    return shutil.copytree(calvin_data / "training", tmp_path / "training")


def save_upstream(file, content):
    """As the annotator of CALVIN saves: plain np.save."""
    file.parent.mkdir(parents=True, exist_ok=True)
    np.save(file, content, allow_pickle=True)


def language(stretches, sentences=None):
    return {
        "language": {
            "ann": sentences or [f"sentence {index}" for index in range(len(stretches))],
            "task": ["open_drawer"] * len(stretches),
            "emb": np.zeros((len(stretches), 1, 3), np.float32),
        },
        "info": {"episodes": [], "indx": stretches},
    }


def test_annotations_are_counted_within_their_episode(folder):
    data = CalvinLayout(folder)
    assert data.annotations == (
        Annotation(0, 0, 41, "open_drawer", "open the drawer"),
        Annotation(1, 5, 60, "turn_on_led", "push the button"),
    )
    assert data.num_episodes == 2
    assert data.description.form == "calvin"
    assert data.description.image_sizes == {"static": 20, "gripper": 8}


@pytest.mark.parametrize(
    ("info", "scene"),
    [
        ({"calvin_scene_D": [100, 219]}, "D"),
        ({"calvin_scene_C": [0, 110], "calvin_scene_A": [111, 170], "calvin_scene_B": np.array([171, 900])}, "ABC"),
        ({"calvin_scene_A": [0, 99], "calvin_scene_B": [100, 400], "calvin_scene_C": [401, 900]}, "B"),
        ({"calvin_scene_A": [0, 99]}, None),  # of another data set, as early downloads had it
        ({"embedded": [100, 219]}, "embedded"),
    ],
)
def test_the_scenes_are_those_that_scene_info_has_for_the_frames(folder, info, scene):
    save_upstream(folder / "scene_info.npy", info)
    assert CalvinLayout(folder).description.details == {"form": "calvin", "scene": scene}


def test_without_scene_info_the_recorders_configuration_says_the_scene(folder):
    (folder / "scene_info.npy").unlink()
    assert CalvinLayout(folder).description.details["scene"] is None
    (folder / ".hydra").mkdir()
    (folder / ".hydra" / "merged_config.yaml").write_text("file: calvin_table_B/urdf/calvin_table_B.urdf\n")
    assert CalvinLayout(folder).description.details["scene"] == "B"


def test_a_damaged_scene_info_is_told_and_the_data_can_be_read(folder, caplog):
    (folder / "scene_info.npy").write_bytes(b"no dictionary")
    with caplog.at_level(logging.WARNING):
        assert CalvinLayout(folder).description.details["scene"] is None
    assert "So the scene of the data is unknown. Download it again" in caplog.text


def test_frames_are_read_where_they_are_asked_for(folder):
    frames = CalvinLayout(folder).read(1, 5, 8, FRAME_KEYS)
    assert frames.rgb_static[:, 0, 0, 0].tolist() == [165, 166, 167]
    assert frames.rgb_gripper.shape == (3, 8, 8, 3)
    assert frames.robot_obs.dtype == np.float32
    np.testing.assert_allclose(
        frames.rel_actions, [frame(number)["rel_actions"] for number in (165, 166, 167)], rtol=1e-6
    )


def test_what_was_not_asked_for_is_not_read(folder):
    frames = CalvinLayout(folder).read(0, 0, 2, ["rel_actions"])
    assert frames.rgb_static is None
    assert frames.rgb_gripper is None
    assert frames.robot_obs is None


def test_episodes_in_any_order_and_names_of_any_length_are_understood(folder):
    for file in folder.glob("episode_*.npz"):
        file.rename(folder / f"episode_{int(file.stem[8:]):06d}.npz")
    np.save(folder / "ep_start_end_ids.npy", np.array([[160, 219], [100, 159]]))
    data = CalvinLayout(folder)
    assert [(annotation.episode, annotation.start) for annotation in data.annotations] == [(0, 5), (1, 0)]
    assert data.read(0, 5, 6, ["rgb_static"]).rgb_static[0, 0, 0, 0] == 165


def test_upstreams_own_pickles_are_read(folder):
    save_upstream(
        folder / "lang_annotations" / "auto_lang_ann.npy", language([(np.int64(101), np.int64(110))], [np.str_("go")])
    )
    assert CalvinLayout(folder).annotations == (Annotation(0, 1, 11, "open_drawer", "go"),)


def test_annotations_of_another_language_model_stand_in(folder):
    (folder / "lang_annotations").rename(folder / "lang_paraphrase-MiniLM-L3-v2")
    assert len(CalvinLayout(folder).annotations) == 2


def test_annotations_outside_of_episodes_are_left_out_and_told(folder, caplog):
    stretches = [(150, 170), (101, 110), (400, 410), (219, 230)]
    save_upstream(folder / "lang_annotations" / "auto_lang_ann.npy", language(stretches))
    with caplog.at_level(logging.WARNING):
        data = CalvinLayout(folder)
    assert [annotation.instruction for annotation in data.annotations] == ["sentence 1"]
    assert data.num_left_out == 3
    assert "3 of 4 annotations" in caplog.text


def test_an_index_of_another_data_set_is_refused(folder):
    save_upstream(folder / "lang_annotations" / "auto_lang_ann.npy", language([(400, 410)]))
    with pytest.raises(DataError, match="all 1 are outside"):
        CalvinLayout(folder)


class Evil:
    def __reduce__(self):
        return print, ("this was run",)


def test_nothing_in_a_pickle_is_run(folder, capsys):
    save_upstream(folder / "lang_annotations" / "auto_lang_ann.npy", language([(101, 110)]) | {"more": Evil()})
    # Ray puts a function of its own in the place of print.
    with pytest.raises(DataError, match=r"but it would call [\w.]+print\. None of its code was run"):
        read_annotations(folder)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "cut off or damaged"),
        (b"version https://git-lfs.github.com/spec/v1\n", "cut off or damaged"),
        (pickle.dumps({}), "cut off or damaged"),
    ],
)
def test_damaged_annotations_are_told(folder, content, words):
    (folder / "lang_annotations" / "auto_lang_ann.npy").write_bytes(content)
    with pytest.raises(DataError, match=words):
        read_annotations(folder)


def test_a_cut_off_pickle_is_told(folder):
    file = folder / "lang_annotations" / "auto_lang_ann.npy"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(DataError, match="cut off or damaged"):
        read_annotations(folder)


@pytest.mark.parametrize(
    "content", [{"info": {}}, language([(1, 2)]) | {"info": {"indx": [(1, 2), (3, 4)]}}, language([3])]
)
def test_dictionaries_of_another_kind_are_told(folder, content):
    save_upstream(folder / "lang_annotations" / "auto_lang_ann.npy", content)
    with pytest.raises(DataError, match="expected language with ann and task"):
        read_annotations(folder)


def test_numbers_are_no_dictionary(tmp_path):
    np.save(tmp_path / "numbers.npy", np.zeros(3))
    with pytest.raises(DataError, match=r"expected a dictionary .* got numbers of type float64"):
        load_dictionary(tmp_path / "numbers.npy")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda file: file.unlink(), "there is no such file.*Extract or copy it again"),
        (lambda file: file.write_bytes(b""), "empty: cut off or damaged"),
        (lambda file: file.write_bytes(file.read_bytes()[:300]), "cut off or damaged .*Copy or download it again"),
        (lambda file: file.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid"), "git lfs pull"),
        (
            lambda file: np.savez(file, rel_actions=np.zeros(7)),
            "expected rgb_static in .*found none: it has rel_actions",
        ),
        (
            lambda file: np.savez(file, **frame(1) | {"rgb_static": np.zeros((9, 9, 3), np.uint8)}),
            "of shape .*20, 20, 3",
        ),
    ],
)
def test_damaged_frames_are_named(folder, damage, words):
    data = CalvinLayout(folder)
    file = folder / "episode_0000103.npz"
    damage(file)
    assert data.read(0, 0, 3, ["rgb_static"]).rgb_static.shape == (3, 20, 20, 3)
    with pytest.raises(DataError, match=rf"(?s){file.name}") as raised:
        data.read(0, 0, 4, ["rgb_static"])
    assert raised.match(words)


def test_frames_that_the_data_set_has_not_are_refused(folder):
    data = CalvinLayout(folder)
    for episode, start, end, words in (
        (2, 0, 1, "2 episodes"),
        (0, 59, 61, "60 frames"),
        (0, -1, 1, "60 frames"),
        (0, 3, 3, "at least one"),
    ):
        with pytest.raises(DataError, match=words):
            data.read(episode, start, end, ["rgb_static"])
    with pytest.raises(DataError, match="got rgb"):
        data.read(0, 0, 1, ["rgb"])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ep_start_end_ids.npy", r"ep_start_end_ids\.npy in .*extract it again"),
        ("lang_annotations/auto_lang_ann.npy", "found none.*download_lang_embeddings"),
    ],
)
def test_a_missing_index_is_told(folder, name, words):
    (folder / name).unlink()
    with pytest.raises(DataError, match=words):
        CalvinLayout(folder)


def test_a_folder_without_frames_is_told(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        CalvinLayout(tmp_path / "training")
    with pytest.raises(DataError, match=r"episode_0000000\.npz and so on, found none"):
        CalvinLayout(tmp_path)
