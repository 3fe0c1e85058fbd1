"""Small data; each test starts with one torch thread and accelerate's initial state."""

import itertools

import pytest

from calvinbench.policies.training.acceleration import make_accelerator
from calvinbench.policies.training.trainer import Trainer
from support.small_training import forget_accelerator, make_training, separate_training, write_data


@pytest.fixture(autouse=True)
def _separate_training():
    with separate_training():
        yield


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("demonstrations") / "data")


def make_trainer(data, out, **changes):
    forget_accelerator()
    training = make_training(data, out, **changes)
    ticks = itertools.count()
    accelerator = make_accelerator(training.settings.optimization.precision, "cpu")
    return Trainer(training, accelerator, lambda: float(next(ticks)))


@pytest.fixture
def trainer(data, tmp_path):
    """Makes a trainer, each in a folder of its own: `trainer(batch_size=4)`."""
    folders = (tmp_path / f"out_{number}" for number in itertools.count())

    def make(out=None, data=data, **changes):
        return make_trainer(data, out or next(folders), **changes)

    return make


@pytest.fixture(scope="module")
def module_trainer(data, tmp_path_factory):
    """The same for a whole module."""

    def make(**changes):
        return make_trainer(data, tmp_path_factory.mktemp("out"), **changes)

    return make
