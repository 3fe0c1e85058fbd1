import re

import numpy as np
import pytest
from PIL import Image

from calvinbench.envs.names import UnknownNameError
from calvinbench.envs.play_table import PlayTableEnv
from calvinbench.harness import cli
from calvinbench.harness.data_check.frames import find_frames, load_frame, scene_of, spread
from calvinbench.harness.data_check.images import compare_images
from calvinbench.policies.demonstrations.demonstrations import DataError

TINY = ("bullet-tiny",)


def write_frame(folder, number, observation, **changes):
    folder.mkdir(parents=True, exist_ok=True)
    keys = ("robot_obs", "scene_obs", "rgb_static", "rgb_gripper")
    content = {key: observation[key] for key in keys} | changes
    file = folder / f"episode_{number:07d}.npz"
    np.savez(file, **{key: value for key, value in content.items() if value is not None})
    return file


@pytest.fixture(scope="module")
def observations():
    """Three states of our own world with their pictures, each right after a reset, as the comparison takes them."""
    env = PlayTableEnv(renderer="bullet-tiny")
    states = [env.reset(seed=seed)[0] for seed in range(3)]
    taken = [
        {**env.reset(options={key: state[key] for key in ("robot_obs", "scene_obs")})[0], "state": state}
        for state in states
    ]
    env.close()
    return [{**shown, **{key: shown["state"][key] for key in ("robot_obs", "scene_obs")}} for shown in taken]


@pytest.fixture
def data(tmp_path, observations):
    """A data set of our own pictures, frames 10 to 12 of its validation split."""
    for number, observation in enumerate(observations, start=10):
        write_frame(tmp_path / "validation", number, observation)
    return tmp_path


def test_data_of_our_own_renderer_is_recognised_and_no_pixel_is_off(data):
    found = compare_images(data, scene="embedded", renderers=TINY)
    assert found.is_alike
    assert found.num_frames == 3
    assert [(camera.camera, camera.mean, camera.percent_off) for camera in found.results[0].cameras] == [
        ("static", 0.0, 0.0),
        ("gripper", 0.0, 0.0),
    ]
    assert "looks as if bullet-tiny rendered it" in found.verdict()


def test_differences_are_counted_as_means_and_as_pixels_that_are_off(data, observations):
    picture = observations[1]["rgb_static"].copy()
    # A tenth of the pixels, 20 darker or brighter in one colour of three: 20 / 30 of 255 on average, all of them off.
    rows = picture[:20, :, 0]
    picture[:20, :, 0] = np.where(rows < 128, rows + 20, rows - 20)
    write_frame(data / "validation", 11, observations[1], rgb_static=picture)
    static, gripper = compare_images(data, scene="embedded", renderers=TINY).results[0].cameras
    assert static.mean == pytest.approx(20 / 30 / 3)
    assert static.percent_off == pytest.approx(10 / 3)
    assert static.worst_file == "episode_0000011.npz"
    assert static.worst_mean == pytest.approx(20 / 30)
    assert gripper.mean == 0.0


def test_data_of_another_look_is_called_so(data, observations):
    for number, observation in enumerate(observations, start=10):
        write_frame(data / "validation", number, observation, rgb_gripper=255 - observation["rgb_gripper"])
    found = compare_images(data, scene="embedded", renderers=TINY)
    assert not found.is_alike
    assert "like none of our renderers" in found.verdict()


def test_all_renderers_of_the_datas_look_are_advised(data):
    def make_world(scene, renderer):
        return PlayTableEnv(scene=scene, renderer="bullet-tiny" if renderer == "its twin" else renderer)

    renderers = ("opengl-look", "its twin", *TINY)
    found = compare_images(data, scene="embedded", renderers=renderers, make_world=make_world)
    assert found.verdict().endswith("rendered it: evaluate policies trained on it with its twin or bullet-tiny.")


def test_a_renderer_that_does_not_work_is_named_and_the_others_go_on(data):
    def make_world(scene, renderer):
        if renderer == "broken":
            raise RuntimeError("no driver")
        return PlayTableEnv(scene=scene, renderer=renderer)

    found = compare_images(data, scene="embedded", renderers=("broken", *TINY), make_world=make_world)
    assert [(result.renderer, result.problem) for result in found.results] == [
        ("bullet-tiny", ""),
        ("broken", "no driver"),
    ]
    assert any("broken: does not work here: no driver" in line for line in found.lines())


def test_frames_are_spread_evenly_from_first_to_last(data):
    files = find_frames(data)
    assert [file.name for file in spread(files, 2)] == ["episode_0000010.npz", "episode_0000012.npz"]
    assert spread(files, 9) == files


def test_the_scene_comes_from_scene_info_then_from_hydras_configuration(data):
    file = find_frames(data)[0]
    with pytest.raises(DataError, match=r"scene_info\.npy or \.hydra/merged_config\.yaml"):
        scene_of(file)
    config = data / "validation" / ".hydra" / "merged_config.yaml"
    config.parent.mkdir()
    config.write_text("scene: {objects: {table: {file: calvin_table_B/urdf/calvin_table_B.urdf}}}\n")
    assert (scene_of(file).scene, scene_of(file).origin) == ("B", str(config))
    info = data / "validation" / "scene_info.npy"
    np.save(info, {"calvin_scene_A": [0, 9], "calvin_scene_C": [10, 12]}, allow_pickle=True)
    assert (scene_of(file).scene, scene_of(file).origin) == ("C", str(info))
    assert (scene_of(file, "D").scene, scene_of(file, "D").origin) == ("D", "--scene")


def test_a_damaged_scene_info_is_told_in_words(data):
    (data / "validation" / "scene_info.npy").write_bytes(b"\x93NUMPY half")
    with pytest.raises(DataError, match=r"expected a dictionary of scene names .*scene_info\.npy.*--scene D"):
        compare_images(data, renderers=TINY)


def test_a_file_that_is_cut_off_is_named(data):
    file = find_frames(data)[1]
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(DataError, match=rf"{re.escape(str(file))}.*cut off or damaged.*download it again"):
        compare_images(data, scene="embedded", renderers=TINY)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rgb_static": None}, r"expected rgb_static in .*found none: it has .*It is not a frame"),
        ({"scene_obs": np.zeros(23)}, r"expected scene_obs of shape \(24,\) .*got shape \(23,\)"),
    ],
)
def test_a_file_that_is_no_frame_is_told_in_words(tmp_path, observations, changes, words):
    file = write_frame(tmp_path, 0, observations[0], **changes)
    with pytest.raises(DataError, match=words):
        load_frame(file)


def test_a_state_that_cannot_be_set_is_told_with_its_file(data, observations):
    scene_obs = observations[0]["scene_obs"].copy()
    scene_obs[4] = 0.5
    file = write_frame(data / "validation", 10, observations[0], scene_obs=scene_obs)
    with pytest.raises(DataError, match=rf"{re.escape(str(file))}.*scene_obs\[4\]"):
        compare_images(data, scene="embedded", renderers=TINY)


def test_wrong_calls_are_told_in_words(data):
    empty = data / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match="there is no such folder"):
        compare_images(data / "nowhere", scene="embedded")
    with pytest.raises(DataError, match="found no such file"):
        find_frames(empty)
    with pytest.raises(UnknownNameError, match="Did you mean 'embedded'"):
        compare_images(data, scene="embeded")
    with pytest.raises(ValueError, match="at least one frame"):
        compare_images(data, num_frames=0, scene="embedded")


def test_doctor_prints_the_comparison(data, capfd):
    status = cli.main(["doctor", "--calvin-data", str(data), "--scene", "embedded", "--frames", "2"])
    said = capfd.readouterr()
    assert status == 0
    assert "2 frames of" in said.out
    assert "bullet-tiny, gripper: 0.00 of 255 apart" in said.out
    assert cli.main(["doctor", "--calvin-data", str(data / "nowhere")]) == 2
    assert "expected a CALVIN data set at" in capfd.readouterr().err


@pytest.mark.recorded
@pytest.mark.parametrize(("look", "is_alike"), [("tiny", True), ("egl", False)])
def test_upstreams_renderers_are_told_apart(recordings, tmp_path, look, is_alike):
    traj = recordings / "calvin_parity" / "traj"
    frames = 0
    for picture in sorted(traj.glob(f"{look}_t0_*_static.png")):
        step = int(picture.name.split("_")[2])
        gripper = traj / picture.name.replace("static", "gripper")
        if gripper.is_file() and frames < 3:
            with np.load(traj / "traj0.npz") as kept:
                state = {key: kept[f"{key}_0"][step] for key in ("robot_obs", "scene_obs")}
            pictures = {
                f"rgb_{camera}": np.asarray(Image.open(file).convert("RGB"))
                for camera, file in (("static", picture), ("gripper", gripper))
            }
            write_frame(tmp_path, step, state | pictures)
            frames += 1
    assert frames > 0
    found = compare_images(tmp_path, scene="D", calvin_env=recordings / "calvin_env", renderers=TINY)
    assert found.is_alike is is_alike, found.lines()
