"""Small data for trainings; each test starts with accelerate's initial state, and most draw no figures."""

import pytest

from calvinbench.harness.training.report import FigureWriter
from support.small_training import separate_training, write_data, write_numbers


@pytest.fixture(autouse=True)
def _separate_training():
    with separate_training():
        yield


@pytest.fixture
def figures():
    """A test that requests this fixture draws the figures of the losses."""


@pytest.fixture(autouse=True)
def _no_figures(request, monkeypatch):
    """Drawing takes four fifths of a small training's time."""
    if "figures" not in request.fixturenames:
        monkeypatch.setattr(FigureWriter, "_draw", lambda self: None)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Data and the policy's numbers. Tests do not change them."""
    folder = tmp_path_factory.mktemp("training")
    write_data(folder / "data")
    write_numbers(folder)
    return folder


@pytest.fixture(scope="session")
def data(folder):
    return folder / "data"
