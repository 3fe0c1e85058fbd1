"""What one sees of a training: progress with the time left, figures, TensorBoard's events."""

import io
import re
import time
from dataclasses import replace

import pytest
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from calvinbench.harness.report import plots
from calvinbench.harness.training.report import FigureWriter, TensorBoardWriter, TrainingProgress
from calvinbench.policies.training.acceleration import make_accelerator
from calvinbench.policies.training.log import LogLine, TrainingLog
from calvinbench.policies.training.trainer import Trainer
from support.small_training import make_training

FIGURES = {"losses.pdf", "losses.svg", "losses.png"}


def line(step, **changes):
    return LogLine(step, step / 7, 2 * step, 6 * step, 10.0 * step, 1 / step, 0.3, 0.7, 0.5, 1e-3, 0.1, **changes)


@pytest.fixture
def training(data, tmp_path):
    return make_training(data, tmp_path / "out", max_steps=5, save_every=2, log_every=1)


def run(training, *subscribers):
    Trainer(training, make_accelerator("fp32", "cpu"), lambda: 0.0).run(subscribers)


@pytest.mark.usefixtures("figures", "rendered_figures")
def test_figures_are_drawn_at_checkpoints_and_at_the_end(training):
    out = training.settings.out
    drawn = []

    class Watcher(FigureWriter):
        def logged(self, told):
            super().logged(told)
            drawn.append((told.step, {file.name for file in out.iterdir()} >= FIGURES))

    run(training, Watcher(out))
    assert drawn[:2] == [(1, False), (2, True)]
    assert (out / "losses.png").stat().st_size > 1000


def test_the_figure_shows_both_losses_against_steps():
    ax = plots.losses([line(1), line(2, validation_loss=0.6), line(4), line(6, validation_loss=0.2)])
    curves = {curve.get_label(): curve.get_xydata().tolist() for curve in ax.get_lines()}
    assert curves == {
        "training": [[1, 1], [2, 0.5], [4, 0.25], [6, 1 / 6]],
        "validation": [[2, 0.6], [6, 0.2]],
    }


def test_a_training_without_validation_has_no_curve_of_it_in_the_legend():
    ax = plots.losses([line(1), line(2)])
    assert [curve.get_label() for curve in ax.get_lines()] == ["training"]


def events(folder):
    read = EventAccumulator(str(folder / "tensorboard"))
    read.Reload()
    return {tag: [(event.step, event.value) for event in read.Scalars(tag)] for tag in read.Tags()["scalars"]}


def test_tensorboard_reads_the_lines_and_what_is_done_again_is_there_once(training):
    out = training.settings.out
    log = TrainingLog(out, 0)
    writer = TensorBoardWriter(out)
    writer.began(training)
    for told in (line(1), line(2, validation_loss=0.5), line(3)):
        log.add(told)
        writer.logged(told)
    writer.ended()
    found = events(out)
    assert found["loss"] == [(1, 1.0), (2, 0.5), (3, pytest.approx(1 / 3))]
    assert found["validation_loss"] == [(2, 0.5)]
    assert "average_length" not in found
    time.sleep(1.1)  # TensorBoard reads files by their names, in which there is the second
    log = TrainingLog(out, 2)  # a state of step 2: step 3 is done again
    writer = TensorBoardWriter(out)
    writer.began(training)
    log.amend(line(2, validation_loss=0.5, average_length=1.5))
    for told in (log.lines[-1], replace(line(3), loss=9.0), line(4)):
        writer.logged(told)
    writer.ended()
    found = events(out)
    assert found["loss"] == [(1, 1.0), (2, 0.5), (3, 9.0), (4, 0.25)]
    assert found["average_length"] == [(2, 1.5)]


def test_the_time_left_and_the_losses_are_told(training, caplog):
    caplog.set_level("INFO")
    progress = TrainingProgress(Console(file=io.StringIO()))
    progress.began(training)
    progress.logged(line(1))
    progress.logged(line(3, validation_loss=0.25, average_length=2.0))
    progress.ended()
    first, second = (record.getMessage() for record in caplog.records)
    assert first == "training: step 1 of 5, loss 1.0000, pose 0.3000, gripper 50.0%, time left not known yet"
    # Two steps took 20 seconds, two are left.
    assert second.endswith("validation 0.2500, average length 2.00, 0 min left")
    training = replace(
        training,
        settings=replace(training.settings, optimization=replace(training.settings.optimization, max_steps=33)),
    )
    progress = TrainingProgress(Console(file=io.StringIO()))
    progress.began(training)
    progress.logged(line(1))
    progress.logged(line(3, validation_loss=0.25))
    assert caplog.records[-1].getMessage().endswith("5 min left")


@pytest.mark.parametrize(
    "values", [(0.18, 0.15, 0.06, 0.03), (2.0, 0.5, 0.01, 0.004), (0.19, 0.1899, 0.1898, 0.1897), (12.0, 9.0, 3.0, 1.0)]
)
def test_ticks_of_the_losses_are_plain_numbers(values):
    ax = plots.losses([replace(line(number), loss=loss) for number, loss in enumerate(values, start=1)])
    ax.figure.canvas.draw()
    low, high = ax.get_ylim()
    shown = [
        label.get_text()
        for label, place in zip(ax.get_yticklabels(), ax.get_yticks(), strict=True)
        if low <= place <= high
    ]
    assert len(shown) >= 2
    assert all(re.fullmatch(r"\d+(\.\d+)?", text) for text in shown)
    assert not [label.get_text() for label in ax.yaxis.get_minorticklabels() if label.get_text()]
