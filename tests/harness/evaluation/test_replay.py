"""Chains that are run again as videos: the same as their records, or said to be unlike them."""

import json
from dataclasses import replace

import av
import pytest

from calvinbench.harness import cli
from calvinbench.harness.evaluation.replay import differences_of_chains, replay
from calvinbench.harness.records.runs import load_run

A_SECOND = 30


def test_a_chain_that_is_run_again_goes_as_its_record_says(run_fake, fake_setup):
    run = run_fake("solver")
    again = list(replay(run, [1, 3], setup=fake_setup()))
    assert [each.record.without_times() for each in again] == [run.records[n].without_times() for n in (1, 3)]
    assert [each.unlike for each in again] == [(), ()]
    assert [each.video for each in again] == [run.directory / "videos" / f"chain_000{n}.mp4" for n in (1, 3)]
    for each in again:
        with av.open(str(each.video)) as video:
            num_frames = len(list(video.decode(video=0)))
        assert num_frames == 1 + sum(subtask.steps for subtask in each.record.subtasks) + A_SECOND
    assert sorted(file.name for file in (run.directory / "videos").iterdir()) == ["chain_0001.mp4", "chain_0003.mp4"]
    assert load_run(run.directory) == run


def test_a_chain_that_goes_another_way_is_said_to_be_unlike_its_record(run_fake, fake_setup, tmp_path, caplog):
    run = run_fake("solver")
    other = replace(run, description=replace(run.description, policy="idle"))
    (again,) = replay(other, [0], tmp_path / "out", setup=fake_setup())
    assert again.video == tmp_path / "out" / "chain_0000-unlike-the-record.mp4"
    assert again.video.is_file()
    assert again.unlike[:2] == (
        "1 subtasks were reached, 5 in the record",
        "subtask 1 (move_slider_left): outcome is timed_out, solved in the record",
    )
    assert "may go another way" in caplog.text
    assert "privileged was True and is now False" in caplog.text


def test_memory_is_cleared_as_in_the_run(run_fake, fake_setup):
    run, setup, asked = run_fake("forgetful", memory_reset="chain"), fake_setup(), []

    def make(spec, memory_reset):
        asked.append(memory_reset)
        return setup.make_policy(spec, memory_reset)

    (again,) = replay(run, [0], setup=replace(setup, make_policy=make))
    assert (asked, again.unlike) == ([None, "chain"], ())


def test_differences_name_subtask_and_value(run_fake):
    run = run_fake("solver")
    record = run.records[0]
    assert differences_of_chains(record, record) == ()
    first, *rest = record.subtasks
    other = replace(record, subtasks=(replace(first, steps=first.steps + 1, action_change=9.0), *rest))
    assert differences_of_chains(record, other) == (
        f"subtask 1 (move_slider_left): steps is {first.steps + 1}, {first.steps} in the record",
        f"subtask 1 (move_slider_left): mean change of action is 9, {first.action_change:g} in the record",
    )


def test_a_chain_that_is_not_finished_is_refused(run_fake, fake_setup):
    run = run_fake("solver")
    with pytest.raises(ValueError, match=r"has finished, got 6\. It has finished 6 chains"):
        list(replay(run, [0, 6], setup=fake_setup()))
    assert not (run.directory / "videos").exists()


@pytest.mark.slow
def test_the_command_makes_the_video_of_a_run_in_the_play_table(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["run", "--policy", "random", "--chains", "2", "--max-steps", "4", "--out", "runs"]) == 0
    capsys.readouterr()
    assert cli.main(["video", "runs", "--chain", "1", "--out", "seen", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "videos": [{"run": "runs/random", "chain": 1, "video": "seen/chain_0001.mp4", "unlike": []}]
    }
    with av.open("seen/chain_0001.mp4") as video:
        assert len(list(video.decode(video=0))) == 1 + 4 + A_SECOND
    assert cli.main(["video", "runs"]) == 2
    assert "Add --chain N" in capsys.readouterr().err
