"""Training goes on from its last state exactly: weights, optimiser, schedule, data order and dropout."""

import json
import shutil

import pytest
import torch

from calvinbench.policies.training.log import read_log
from support.small_training import separate_training

TWO_LAYERS = {"num_layers": "2"}
"""With dropout between them, so that the random state matters."""
SETTINGS = {
    "spec": TWO_LAYERS,
    "max_steps": 9,  # more than the 7 of an epoch
    "save_every": 4,
    "log_every": 3,
    "validate_every": 4,
    "schedule": "cosine",
    "warmup_steps": 2,
}


class StopError(Exception):
    """What ends a sitting, wherever it is raised."""


class Stopper:
    """Stops a sitting when told of a step; draws random numbers in between, as running chains does."""

    def __init__(self, at=None, step=None, length=None):
        self._at, self._step, self._length = at, step, length
        self.saved_steps = []

    def began(self, training):
        pass

    def ended(self):
        pass

    def logged(self, line):
        self._stop("logged", line.step)

    def saved(self, training, step):
        torch.rand(3)
        self._stop("saved", step)
        self.saved_steps.append(step)
        return self._length

    def _stop(self, at, step):
        if (at, step) == (self._at, self._step):
            raise StopError


def result(trainer):
    optimizer = trainer._optimizer.state_dict()["state"]
    moments = {(key, name): tensor for key, state in optimizer.items() for name, tensor in state.items()}
    lines = read_log(trainer.training.settings.out)
    return trainer.training.model.state_dict(), moments, lines, trainer._schedule.get_last_lr()


@pytest.fixture(scope="module")
def unbroken(module_trainer):
    with separate_training():
        made = module_trainer(**SETTINGS)
        made.run([Stopper(length=1.5)])
        return result(made)


def assert_same(found, expected):
    for some, others in zip(found[:2], expected[:2], strict=True):
        assert some.keys() == others.keys()
        assert all(torch.equal(tensor, others[key]) for key, tensor in some.items())
    assert found[2:] == expected[2:]


@pytest.mark.parametrize(
    ("at", "step", "first_step", "tried"),
    [
        ("logged", 6, 4, [8, 9]),
        ("logged", 8, 8, [9]),
        ("saved", 8, 8, [8, 9]),  # chains that were not finished when it stopped are run after all, and none twice
        ("saved", 9, 9, [9]),
        ("logged", 9, 9, []),
    ],
)
def test_a_training_that_was_stopped_ends_as_an_unbroken_one(trainer, unbroken, at, step, first_step, tried):
    broken = trainer(**SETTINGS)
    with pytest.raises(StopError):
        broken.run([Stopper(at, step, length=1.5)])
    torch.manual_seed(99)
    again = trainer(out=broken.training.settings.out, **SETTINGS)
    assert again.progress.step == first_step
    told = Stopper(length=1.5)
    again.run([told])
    assert_same(result(again), unbroken)
    assert told.saved_steps == tried


def test_a_kill_between_line_and_state_does_the_steps_again_and_no_line_is_there_twice(trainer, unbroken, monkeypatch):
    broken = trainer(**SETTINGS)
    from calvinbench.policies.training import trainer as module

    def stop_at_8(accelerator, folder, progress, save=module.save_state):
        if progress.step == 8:
            raise StopError
        save(accelerator, folder, progress)

    monkeypatch.setattr(module, "save_state", stop_at_8)
    with pytest.raises(StopError):
        broken.run([Stopper(length=1.5)])
    assert [line.step for line in read_log(broken.training.settings.out)] == [3, 4, 6, 8]
    monkeypatch.undo()
    again = trainer(out=broken.training.settings.out, **SETTINGS)
    again.run([Stopper(length=1.5)])
    assert_same(result(again), unbroken)


def test_what_a_kill_left_half_written_does_not_count(trainer, unbroken):
    broken = trainer(**SETTINGS)
    with pytest.raises(StopError):
        broken.run([Stopper("logged", 4, length=1.5)])
    states = broken.training.settings.out / "state"
    (states / "writing").mkdir()
    (states / "writing" / "model.safetensors").write_bytes(b"half")
    again = trainer(out=broken.training.settings.out, **SETTINGS)
    again.run([Stopper(length=1.5)])
    assert [folder.name for folder in states.iterdir()] == ["step_00000009"]
    assert_same(result(again), unbroken)


@pytest.mark.parametrize("file", ["model.safetensors", "optimizer.bin", "progress.json"])
def test_a_damaged_state_is_refused_in_words(trainer, file):
    made = trainer()
    made.run()
    out = made.training.settings.out
    (state,) = (out / "state").iterdir()
    (state / file).write_bytes((state / file).read_bytes()[:20])
    with pytest.raises(ValueError, match=r"expected a complete saved state in .*step_00000001'.* Remove that folder"):
        trainer(out=out)


def test_a_state_of_another_model_is_refused_in_words(trainer):
    made = trainer()
    made.run()
    with pytest.raises(ValueError, match="expected a complete saved state"):
        trainer(out=made.training.settings.out, spec={"hidden_dim": "32"})


def test_a_random_state_that_is_not_there_is_told(trainer, caplog):
    made = trainer()
    made.run()
    (state,) = (made.training.settings.out / "state").iterdir()
    (state / "random_states_0.pkl").unlink()
    trainer(out=made.training.settings.out)
    assert "process 0 has no saved random state" in caplog.text


def test_the_progress_is_readable(trainer):
    made = trainer(max_steps=3)
    made.run()
    (state,) = (made.training.settings.out / "state").iterdir()
    progress = json.loads((state / "progress.json").read_text())
    assert (progress["step"], progress["windows"], progress["frames"]) == (3, 6, 18)
    shutil.rmtree(state)
    assert trainer(out=made.training.settings.out).progress.step == 0
