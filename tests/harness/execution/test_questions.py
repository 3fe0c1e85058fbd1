"""A policy is made once, in the process that runs it, and what happens there is heard by the driver."""

import logging
import os
from dataclasses import replace
from functools import partial

import pytest

from calvinbench.harness.evaluation.evaluation import evaluate
from calvinbench.harness.evaluation.suite_evaluation import require_runnable
from calvinbench.harness.execution.executors import QuestionProcess, WorkerDiedError
from calvinbench.harness.rollout.workers import PolicyNotMadeError
from support.fakes import CHAINS, SOLVER_COMPLETES, Solver


class OddError(ValueError):
    """Cannot be read by the driver: its constructor wants another argument."""

    def __init__(self, number, words):
        super().__init__(f"{words} {number}")


def make_policy(place, what, spec, reset):
    with place.open("a") as file:
        file.write(f"{os.getpid()}\n")
    logging.getLogger("calvinbench.test").info("made %s", spec)
    if what == "exit":
        os._exit(9)
    if what == "odd":
        raise OddError(7, "no such number:")
    if what is not None:
        raise what
    return Solver()


@pytest.fixture
def setup(fake_setup, tmp_path):
    def make(what=None):
        return replace(fake_setup(), make_policy=partial(make_policy, tmp_path / "made", what))

    return make


@pytest.fixture
def made(tmp_path):
    """Process ids, one for each time that the policy was made."""
    return lambda: [int(line) for line in (tmp_path / "made").read_text().split()]


def test_the_policy_is_made_once_and_not_by_the_driver(setup, made, tmp_path, caplog):
    with caplog.at_level(logging.INFO, "calvinbench"):
        run = evaluate(setup(), tmp_path / "run", chains=CHAINS, isolated=True)
    assert run.completed.tolist() == SOLVER_COMPLETES
    assert len(made()) == 1
    assert os.getpid() not in made()
    assert [record.getMessage() for record in caplog.records if record.name == "calvinbench.test"] == ["made solver"]


@pytest.mark.parametrize("error", [ValueError("bad spec"), PolicyNotMadeError("no weights"), OSError(28, "disk full")])
def test_an_error_of_our_own_or_of_python_is_raised_as_it_is(setup, tmp_path, error):
    with pytest.raises(type(error)) as raised:
        evaluate(setup(error), tmp_path / "run", chains=CHAINS, isolated=True)
    assert str(raised.value) == str(error)
    assert "in make_policy" in "".join(raised.value.__notes__)
    assert not (tmp_path / "run" / "run.json").exists()


def test_an_error_that_cannot_be_sent_keeps_its_kind_and_words(setup, tmp_path):
    with pytest.raises(ValueError, match=r"^no such number: 7\nIn the process") as raised:
        evaluate(setup("odd"), tmp_path / "run", chains=CHAINS, isolated=True)
    assert type(raised.value) is ValueError


def test_several_policies_are_asked_by_one_process_which_is_replaced_if_one_kills_it(setup, made, tmp_path):
    with QuestionProcess() as process:
        for what in (None, None, "exit", None):
            try:
                require_runnable(setup(what), tmp_path / "run", process=process)
            except WorkerDiedError:
                assert what == "exit"
    first, second, killed, last = made()
    assert first == second == killed
    assert last not in (first, os.getpid())
