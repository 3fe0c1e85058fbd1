"""One report of several runs, written once; tests that change it get a copy."""

import shutil

import pytest

from calvinbench.harness.evaluation.evaluation import evaluate
from calvinbench.harness.report.report import write_report
from calvinbench.harness.rollout.workers import WorkerSetup
from calvinbench.harness.suite.suite import RunSettings
from support import browser
from support.fake_runs import kept_runs, run_fake  # noqa: F401  fixtures
from support.fakes import CHAINS, make_fake_world, make_scripted


@pytest.fixture(scope="session")
def reported_suite(tmp_path_factory):
    """A suite's folder with three runs and their report; for reading only."""
    suite = tmp_path_factory.mktemp("reported") / "suite"
    for policy in ("solver", "idle", "raises"):
        settings = RunSettings(policy=policy, scene="fake", chains=len(CHAINS), max_steps=10)
        evaluate(WorkerSetup(settings, make_fake_world, make_scripted), suite / policy, chains=CHAINS)
    write_report([suite], formats=())
    return suite


@pytest.fixture
def suite_copy(reported_suite, tmp_path):
    """A copy of `reported_suite` that a test may change."""
    return shutil.copytree(reported_suite, tmp_path / "suite")


@pytest.fixture
def browse(tmp_path):
    """Opens a page in the browser; see `support.browser`."""

    def run(page, address="", *flags):
        (tmp_path / "profile").mkdir(exist_ok=True)
        return browser.browse(page, tmp_path / "profile", address, *flags)

    return run


@pytest.fixture
def act(tmp_path):
    """What was seen by some lines of JavaScript; see `support.browser`."""

    def run(page, doing, address="", *flags):
        (tmp_path / "profile").mkdir(exist_ok=True)
        return browser.act(page, tmp_path / "profile", doing, address, *flags)

    return run
