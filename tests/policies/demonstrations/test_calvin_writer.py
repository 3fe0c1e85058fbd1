import logging

import numpy as np
import pytest
import yaml

from calvinbench.policies.demonstrations.calvin_frames import write_frame
from calvinbench.policies.demonstrations.calvin_writer import write_index
from calvinbench.policies.demonstrations.demonstrations import DataError
from tests.policies.demonstrations.conftest import EPISODES, frame, read_by_public_code


def test_frames_have_the_keys_shapes_and_types_of_calvins_recorder(tmp_path):
    file = write_frame(tmp_path, 7, frame(7))
    assert [entry.name for entry in tmp_path.iterdir()] == ["episode_0000007.npz"]
    with np.load(file) as kept:
        assert {key: (str(kept[key].dtype), kept[key].shape) for key in kept.files} == {
            "rgb_static": ("uint8", (20, 20, 3)),
            "rgb_gripper": ("uint8", (8, 8, 3)),
            "depth_static": ("float32", (20, 20)),
            "depth_gripper": ("float32", (8, 8)),
            "actions": ("float64", (7,)),
            "rel_actions": ("float64", (7,)),
            "robot_obs": ("float64", (15,)),
            "scene_obs": ("float64", (24,)),
        }
        assert kept["rgb_static"][3, 4].tolist() == [7, 1, 2]


def test_depth_may_be_left_out(tmp_path):
    arrays = {key: value for key, value in frame(7).items() if "depth" not in key}
    with np.load(write_frame(tmp_path, 7, arrays)) as kept:
        assert "depth_static" not in kept.files


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"actions": np.zeros(7)}, r"gripper of actions to be -1 \(close\) or 1 \(open\), got 0"),
        ({"rel_actions": np.array([1.5, 0, 0, 0, 0, 0, 1])}, r"rel_actions within \[-1, 1\]"),
        ({"robot_obs": np.full(15, np.nan)}, "finite numbers in robot_obs"),
        ({"scene_obs": np.zeros(23)}, r"scene_obs of shape \(24,\), got shape \(23,\)"),
        ({"rgb_static": np.zeros((20, 20, 3))}, "rgb_static to be a square image"),
        ({"depth_static": np.zeros((8, 8))}, r"depth_static of the image's shape \(20, 20\)"),
        ({"rgb_tactile": np.zeros((8, 8))}, "got also rgb_tactile"),
    ],
)
def test_what_is_no_frame_is_refused_and_leaves_nothing(tmp_path, changes, words):
    with pytest.raises(ValueError, match=words):
        write_frame(tmp_path, 7, frame(7) | changes)
    assert not list(tmp_path.iterdir())


def test_the_index_is_as_calvins(calvin_data):
    folder = calvin_data / "training"
    assert np.load(folder / "ep_start_end_ids.npy").tolist() == [[100, 159], [160, 219]]
    assert np.load(folder / "ep_lens.npy").tolist() == [60, 60]
    assert np.load(folder / "scene_info.npy", allow_pickle=True).item() == {"calvin_scene_D": [100, 219]}
    language = np.load(folder / "lang_annotations" / "auto_lang_ann.npy", allow_pickle=True).item()
    assert language["info"]["indx"] == [(100, 140), (165, 219)]
    assert language["language"]["ann"] == ["open the drawer", "push the button"]
    assert language["language"]["task"] == ["open_drawer", "turn_on_led"]
    assert language["language"]["emb"].shape == (2, 1, 384)
    assert np.isnan(language["language"]["emb"]).all()


def test_dictionaries_are_pickled_by_names_that_every_numpy_has(calvin_data):
    for name in ("scene_info.npy", "lang_annotations/auto_lang_ann.npy"):
        content = (calvin_data / "training" / name).read_bytes()
        assert b"_core" not in content
        assert b"multiarray" not in content


def test_statistics_are_those_of_all_frames_and_only_theirs(tmp_path):
    for number in (40, 41, 42, 60):
        write_frame(tmp_path, number, frame(number))
    write_index(tmp_path, [(40, 41), (60, 60)], [(40, 41, "open_drawer", "open the drawer")], "embedded")
    statistics = yaml.safe_load((tmp_path / "statistics.yaml").read_text())
    (normalize,) = statistics["robot_obs"]
    assert normalize["_target_"] == "calvin_agent.utils.transforms.NormalizeVector"
    # Robot states 40, 41 and 60: mean 47, deviations 7, 6 and 13.
    np.testing.assert_allclose(normalize["mean"], 47 + np.arange(15))
    np.testing.assert_allclose(normalize["std"], np.full(15, np.sqrt((49 + 36 + 169) / 3)))
    np.testing.assert_allclose(statistics["act_min_bound"], [0.4, 0.1, 0.2, 0.3, 0.4, 0.5, -1])
    np.testing.assert_allclose(statistics["act_max_bound"], [0.6, 0.1, 0.2, 0.3, 0.4, 0.5, 1])


@pytest.mark.parametrize(
    ("episodes", "annotations", "words"),
    [
        ([], [], "at least one episode"),
        ([(40, 42), (42, 45)], [], "got 42 to 45 after frame 42"),
        (
            [(40, 42), (43, 45)],
            [(41, 44, "open_drawer", "open")],
            "'open_drawer' within an episode, got frames 41 to 44",
        ),
    ],
)
def test_an_index_that_contradicts_itself_is_refused(tmp_path, episodes, annotations, words):
    with pytest.raises(ValueError, match=words):
        write_index(tmp_path, episodes, annotations, "D")


def test_an_index_over_a_missing_frame_is_refused(tmp_path):
    write_frame(tmp_path, 40, frame(40))
    with pytest.raises(DataError, match=r"episode_0000041\.npz', but there is no such file"):
        write_index(tmp_path, [(40, 41)], [], "D")
    assert not (tmp_path / "ep_start_end_ids.npy").exists()


def test_numbers_that_calvins_loader_refuses_are_told(tmp_path, caplog):
    for number in (3, 4):
        write_frame(tmp_path, number, frame(number))
    with caplog.at_level(logging.WARNING):
        write_index(tmp_path, [(3, 4)], [(3, 4, "open_drawer", "open the drawer")], "D")
    assert "Number the frames from 100" in caplog.text


# --- the public code --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def read(calvin_data):
    """What CALVIN's and RoboVLMs' own dataset classes read of the data set, in a process of their own."""
    return read_by_public_code(calvin_data)


def expected_actions(starts):
    return [frame(start)["rel_actions"].tolist() for start in starts]


@pytest.mark.slow
@pytest.mark.parametrize("split", ["training", "validation"])
def test_calvins_disk_dataset_reads_our_annotations(read, split):
    found = read["calvin"][f"{split}, lang"]
    # Windows of at least 16 frames, the last frame of an annotation left out: that is how CALVIN counts.
    assert found["starts"] == [*range(100, 125), *range(165, 204)]
    np.testing.assert_allclose(found["actions"], expected_actions(found["starts"]), rtol=1e-6)
    assert found["language"] == [[384]] * 64
    assert found["language_is_nan"]


@pytest.mark.slow
def test_calvins_disk_dataset_reads_our_play(read):
    found = read["calvin"]["training, vis"]
    assert found["starts"] == [*range(100, 144), *range(160, 204)]
    # Normalize takes 0..255 to 0..1 to -1..1 in torchvision, which is left out here: bytes arrive as they are.
    assert found["red"] == found["starts"]
    assert found["shapes"] == {
        "rgb_static": [32, 3, 20, 20],
        "rgb_gripper": [32, 3, 8, 8],
        "depth_static": [32, 20, 20],
        "depth_gripper": [32, 8, 8],
    }


@pytest.mark.slow
def test_calvins_transforms_are_made_from_our_statistics(read):
    starts = np.array(read["calvin"]["validation, vis"]["starts"])
    # All entries of a state are its frame's number and a constant, so each is normalized to the same.
    numbers = np.concatenate([np.arange(start, end + 1) for start, end in EPISODES])
    expected = ((starts - numbers.mean()) / numbers.std()).mean()
    assert read["calvin"]["validation, vis"]["mean"] == pytest.approx(expected, abs=1e-5)


@pytest.mark.slow
def test_calvins_disk_dataset_reads_absolute_actions(read):
    found = read["calvin absolute"]
    np.testing.assert_allclose(
        found["actions"], [frame(start)["actions"].tolist() for start in found["starts"]], rtol=1e-6
    )


@pytest.mark.slow
def test_robovlms_dataset_reads_our_annotations(read):
    found = read["robovlms"]
    assert found["starts"] == [*range(100, 133), *range(165, 212)]
    assert found["sentences"] == ["open the drawer"] * 33 + ["push the button"] * 47
    assert found["red"] == found["starts"]
    np.testing.assert_allclose(found["actions"], expected_actions(found["starts"]), rtol=1e-6)
    # Windows of 8 and 10 actions ahead; at the end of an annotation those beyond it are masked.
    assert found["last_masked"][22:33] == [18, 17, 16, 15, 14, 13, 12, 11, 10, 9, 8]
    assert found["batch"]["action_chunck"] == [2, 8, 10, 7]
    assert found["gripper"] == [0.0, 1.0]
