"""The file of losses: whole lines of numbers, whatever a kill left."""

from dataclasses import replace

import pytest

from calvinbench.policies.training.log import LOSSES_FILE, LogLine, TrainingLog, read_log

LINE = LogLine(
    step=10,
    epoch=0.1,
    windows=80,
    frames=637,
    seconds=12.25,
    loss=1 / 3,
    pose_loss=0.25,
    gripper_loss=0.7,
    gripper_accuracy=0.5,
    learning_rate=1e-4,
    gradient_norm=float("inf"),
)
LINES = [replace(LINE, step=10 * number, validation_loss=0.1 * number) for number in (1, 2, 3)]


def write(folder):
    log = TrainingLog(folder, 0)
    for line in LINES:
        log.add(line)
    return folder / LOSSES_FILE


def test_lines_come_back_as_they_were(tmp_path):
    assert read_log(tmp_path) == []
    file = write(tmp_path)
    assert read_log(tmp_path) == LINES
    assert file.read_text().splitlines()[1] == "10,0.1,80,637,12.25,0.3333333333333333,0.25,0.7,0.5,0.0001,inf,0.1,,0"


def test_a_line_whose_steps_were_all_skipped_comes_back_and_one_of_an_older_version_has_none_skipped(tmp_path):
    skipped = replace(LINE, gradient_norm=None, skipped_steps=20)
    TrainingLog(tmp_path, 0).add(skipped)
    assert read_log(tmp_path) == [skipped]
    file = tmp_path / LOSSES_FILE
    older = [line.rpartition(",")[0] for line in write(tmp_path).read_text().splitlines()]
    file.write_text("\n".join(older) + "\n")
    assert read_log(tmp_path) == LINES
    TrainingLog(tmp_path, 30).add(replace(skipped, step=40))  # a training of before goes on
    assert [line.skipped_steps for line in read_log(tmp_path)] == [0, 0, 0, 20]


def test_a_line_that_was_torn_anywhere_is_left_out_and_written_over(tmp_path):
    file = write(tmp_path)
    text = file.read_text()
    for length in range(text.rindex("\n30,") + 1, len(text)):
        file.write_text(text[:length])
        assert read_log(tmp_path) == LINES[:2], text[:length][-20:]
    log = TrainingLog(tmp_path, 20)
    log.add(LINES[2])
    assert file.read_text() == text


def test_lines_of_steps_that_are_done_again_are_dropped(tmp_path):
    write(tmp_path)
    assert TrainingLog(tmp_path, 25).lines == LINES[:2]
    assert read_log(tmp_path) == LINES[:2]
    assert TrainingLog(tmp_path, 0).lines == read_log(tmp_path) == []


def test_the_last_line_is_amended_in_its_place(tmp_path):
    write(tmp_path)
    log = TrainingLog(tmp_path, 30)
    amended = replace(LINES[2], average_length=2.5)
    log.amend(amended)
    assert read_log(tmp_path) == log.lines == [*LINES[:2], amended]
    assert [file.name for file in tmp_path.iterdir()] == [LOSSES_FILE]


def test_a_line_that_somebody_spoilt_is_named(tmp_path):
    file = write(tmp_path)
    file.write_text(file.read_text().replace("\n20,", "\nx,"))
    with pytest.raises(ValueError, match=r"expected numbers in line 3 of .*losses.csv'"):
        read_log(tmp_path)
