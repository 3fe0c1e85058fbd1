import logging

import pytest

from calvinbench.harness import cli
from calvinbench.harness.records.runs import load_run

RANDOM = ["run", "--policy", "random", "--max-steps", "2"]


@pytest.fixture
def in_tmp(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.INFO)
    return tmp_path


@pytest.fixture
def without_videos(in_tmp, caplog):
    """What is said of videos that a finished run is asked for."""
    pytest.importorskip("av")
    assert cli.main([*RANDOM, "--chains", "2"]) == 0
    assert "video" not in caplog.text
    caplog.clear()
    assert cli.main([*RANDOM, "--chains", "2", "--videos", "all"]) == 0
    assert not (in_tmp / "runs/random/videos").exists()
    return caplog.text


def test_remedy_videos_of_a_finished_run_come_with_overwrite(in_tmp, without_videos, caplog):
    assert "2 finished chains have no video, and get none" in without_videos
    assert "with --overwrite" in without_videos
    caplog.clear()
    assert cli.main([*RANDOM, "--chains", "2", "--videos", "all", "--overwrite"]) == 0
    assert len(list((in_tmp / "runs/random/videos").glob("*.mp4"))) == 2
    assert "no video" not in caplog.text
    caplog.clear()
    assert cli.main([*RANDOM, "--chains", "2", "--videos", "all"]) == 0  # they are there
    assert "no video" not in caplog.text


def test_remedy_videos_of_a_finished_run_come_in_another_folder(in_tmp, without_videos):
    assert "in another folder with --out DIR" in without_videos
    assert cli.main([*RANDOM, "--chains", "2", "--videos", "all", "--out", "filmed"]) == 0
    assert len(list((in_tmp / "filmed/random/videos").glob("*.mp4"))) == 2


def test_of_a_run_that_goes_on_the_finished_chains_alone_lack_videos(in_tmp, without_videos, caplog):
    caplog.clear()
    assert cli.main([*RANDOM, "--chains", "3", "--videos", "all"]) == 0
    assert "2 finished chains have no video" in caplog.text
    assert [path.name for path in (in_tmp / "runs/random/videos").iterdir()] == ["chain_0002.mp4"]


def test_retrying_where_nothing_errored_and_a_run_that_is_done_are_said(in_tmp, caplog):
    assert cli.main([*RANDOM, "--chains", "1"]) == 0
    before = load_run(in_tmp / "runs/random")
    caplog.clear()
    assert cli.main([*RANDOM, "--chains", "1", "--retry-errored", "--worlds", "2"]) == 0
    assert "random: --retry-errored has no effect, because no finished chain errored." in caplog.messages
    assert any("the only chain is there already" in message for message in caplog.messages)
    assert load_run(in_tmp / "runs/random") == before
