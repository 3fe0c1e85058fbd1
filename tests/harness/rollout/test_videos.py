"""Videos of chains: their content, which ones are kept, and that nothing else changes."""

import errno
from dataclasses import replace

import av
import numpy as np
import pytest

from calvinbench.envs.chain_env import ChainStatus
from calvinbench.harness import cli
from calvinbench.harness.evaluation.evaluation import evaluate
from calvinbench.harness.rollout import videos
from calvinbench.harness.rollout.videos import VideoError, VideoSettings, draw_frame
from support.fakes import CHAINS, SOLVER_COMPLETES, make_broken_world

A_SECOND = 30
"""Frames for which the last image stays."""


@pytest.fixture
def run_with_videos(fake_setup, tmp_path):
    def run(which, policy="solver", worlds=1, **settings):
        setup = replace(fake_setup(policy, **settings), videos=VideoSettings(tmp_path / "videos", which))
        made = evaluate(setup, tmp_path / "run", chains=CHAINS, worlds=worlds)
        return made, sorted(path.name for path in (tmp_path / "videos").glob("*"))

    return run


def names(*numbers):
    return [f"chain_{number:04d}.mp4" for number in numbers]


def test_all_chains_are_recorded_from_their_first_frame_to_their_last(run_with_videos, tmp_path, run_fake):
    run, found = run_with_videos("all")
    assert found == names(0, 1, 2, 3, 4, 5)
    for record in run.records:
        with av.open(str(tmp_path / "videos" / f"chain_{record.chain:04d}.mp4")) as video:
            frames = list(video.decode(video=0))
        assert len(frames) == 1 + sum(subtask.steps for subtask in record.subtasks) + A_SECOND
        assert (frames[0].width, frames[0].height) == (640, 464)
    plain = run_fake("solver", directory=tmp_path / "plain")
    assert [a.without_times() for a in run.records] == [b.without_times() for b in plain.records]


def test_only_failures_are_kept_if_that_is_asked(run_with_videos):
    _, found = run_with_videos("failures")
    assert found == names(*[chain for chain, done in enumerate(SOLVER_COMPLETES) if done < 5])


def test_the_first_chains_only_are_recorded_if_that_is_asked(run_with_videos):
    assert run_with_videos("2")[1] == names(0, 1)


@pytest.mark.parametrize(("policy", "settings"), [("solver", {}), ("crowded", {"batch_size": 2})])
def test_worlds_in_processes_write_videos_too(run_with_videos, policy, settings):
    assert run_with_videos("all", policy, worlds=2, **settings)[1] == names(0, 1, 2, 3, 4, 5)


def test_a_chain_that_errored_is_kept_as_far_as_it_came(run_with_videos):
    run, found = run_with_videos("failures", "raises")
    assert run.num_errored == 3
    assert set(names(1, 3, 5)) <= set(found)
    assert not [name for name in found if "part" in name]


def test_a_world_that_breaks_leaves_no_unfinished_file(run_with_videos, fake_setup):
    run, found = run_with_videos("failures", "crowded", make_world=make_broken_world, batch_size=2)
    assert run.num_errored == 4
    assert found == names(1, 2, 3, 5)


def test_a_video_that_cannot_be_written_is_deleted_and_its_chain_goes_on(
    run_with_videos, tmp_path, run_fake, monkeypatch, caplog
):
    draw, num_frames = videos.draw_frame, []

    def draw_until_the_disk_is_full(observation, status, number, outcome, num_subtasks):
        num_frames.append(number)
        if number == 1 and num_frames.count(1) >= 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        return draw(observation, status, number, outcome, num_subtasks)

    monkeypatch.setattr(videos, "draw_frame", draw_until_the_disk_is_full)
    run, found = run_with_videos("3")
    assert num_frames.count(1) == 4
    assert found == names(0, 2)
    sound = run_fake("solver", directory=tmp_path / "sound")
    assert [a.without_times() for a in run.records] == [b.without_times() for b in sound.records]
    told = [message for message in caplog.messages if message.startswith("a video cannot be written")]
    assert len(told) == 1
    assert "chain_0001.mp4" in told[0]
    assert "No space left on device" in told[0]


def test_a_folder_for_videos_that_cannot_be_made_costs_no_chain(run_with_videos, tmp_path):
    (tmp_path / "videos").write_text("")
    run, _ = run_with_videos("all")
    assert run.completed.tolist() == SOLVER_COMPLETES
    assert run.num_errored == 0


def test_unfinished_videos_of_a_killed_run_are_deleted(run_with_videos, tmp_path):
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "chain_0004.part.mp4").write_bytes(b"torn")
    assert run_with_videos("1")[1] == names(0)


def test_a_process_that_dies_leaves_no_unfinished_video(run_with_videos):
    run, found = run_with_videos("all", "killer", worlds=2)
    assert run.num_errored == 2
    assert found == names(0, 1, 2, 4)


def test_the_video_of_a_failed_try_is_deleted_when_the_next_one_succeeds(run_with_videos, tmp_path):
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "chain_0000.mp4").write_bytes(b"of an earlier try, which failed")
    _, found = run_with_videos("failures")
    assert found == names(1, 2, 3, 5)


def test_of_single_tasks_the_failures_alone_are_kept_too(run_with_videos):
    run, found = run_with_videos("failures", tasks=("open_drawer", "rotate_red_block_left"), chains=2)
    assert run.completed.tolist() == [1, 1, 0, 0]
    assert found == names(2, 3)


def banner_of(path):
    """The corner that shows the outcome, for each frame of a video's last second."""
    with av.open(str(path)) as video:
        return [frame.to_ndarray(format="rgb24")[304:, 400:] for frame in video.decode(video=0)][-A_SECOND:]


@pytest.mark.parametrize(("policy", "chain"), [("solver", 1), ("raises", 1)])
def test_how_a_chain_failed_is_shown_for_a_second(run_with_videos, tmp_path, policy, chain):
    run, _ = run_with_videos("failures", policy)
    assert run.records[chain].outcome == ("errored" if policy == "raises" else "timed_out")
    shown = banner_of(tmp_path / "videos" / f"chain_{chain:04d}.mp4")
    inked = [(image[..., 0].astype(int) - image[..., 2] > 120).sum() for image in shown]  # vermilion on white
    assert len(inked) == A_SECOND
    assert min(inked) > 50


def status(**changes):
    return replace(ChainStatus("open_drawer", "open the drawer", subtask=1, subtask_steps=7, completed=1), **changes)


def test_a_frame_has_both_images_and_text():
    red, blue = (np.full((200, 200, 3), c, np.uint8) for c in ((255, 0, 0), (0, 0, 255)))
    frame = draw_frame({"rgb_static": red, "rgb_gripper": blue[:84, :84]}, status(), 12, "")
    assert frame.shape == (464, 640, 3)
    assert frame[264, 200].tolist() == [255, 0, 0]
    assert frame[180, 520].tolist() == [0, 0, 255]
    header = frame[:64]
    assert (header < 128).any()
    other = draw_frame({"rgb_static": red, "rgb_gripper": blue[:84, :84]}, status(instruction="close it"), 12, "")
    assert (other[:64] != header).any()


@pytest.mark.parametrize("times", [1, 3, 5, 8, 40])
def test_a_sentence_of_any_length_stays_above_the_images(times):
    white = np.full((200, 200, 3), 255, np.uint8)
    sentence = " ".join(["push the pink block"] * times)
    frame = draw_frame({"rgb_static": white, "rgb_gripper": white}, status(instruction=sentence), 12, "")
    assert (frame[:, -4:] == 255).all()  # nothing runs off the frame
    assert (frame[40:42] == 255).all()  # nor into the line below
    assert (frame[:40] < 128).any()


def test_a_frame_says_which_of_how_many_subtasks_it_is_of():
    white = np.full((200, 200, 3), 255, np.uint8)
    observation = {"rgb_static": white, "rgb_gripper": white}
    of_five, of_one = (draw_frame(observation, status(subtask=0), 0, "", count) for count in (5, 1))
    assert (of_five[40:64] != of_one[40:64]).any()
    assert (of_five[:40] == of_one[:40]).all()


@pytest.mark.parametrize(("outcome", "channel"), [("solved", 1), ("timed_out", 0)])
def test_how_a_subtask_ended_is_shown_in_a_colour_of_its_own(outcome, channel):
    grey = np.full((200, 200, 3), 255, np.uint8)
    frame = draw_frame({"rgb_static": grey, "rgb_gripper": grey}, status(), 0, outcome)
    banner = frame[304:, 400:].reshape(-1, 3)
    inked = banner[banner.min(axis=1) < 40]
    assert len(inked) > 50
    assert (inked.argmax(axis=1) == channel).all()
    assert (draw_frame({"rgb_static": grey, "rgb_gripper": grey}, status(), 0, "")[304:, 400:] == 255).all()


def test_what_is_no_choice_of_chains_is_refused(tmp_path):
    for which in ("some", "-1", ""):
        with pytest.raises(VideoError, match="all, failures or a number of chains"):
            VideoSettings(tmp_path, which)


def test_the_command_writes_videos(tmp_path, capsys):
    words = ["run", "--policy", "random", "--chains", "1", "--max-steps", "3", "--out", str(tmp_path), "--videos"]
    assert cli.main([*words, "some"]) == 2
    assert "all, failures or a number" in capsys.readouterr().err
    assert cli.main([*words, "all"]) == 0
    with av.open(str(tmp_path / "random" / "videos" / "chain_0000.mp4")) as video:
        assert len(list(video.decode(video=0))) == 4 + A_SECOND
