"""Runs of the fake world for tests that only read them: each is run once a session, and copied."""

import shutil

import pytest

from calvinbench.harness.records.runs import load_run


@pytest.fixture(scope="session")
def kept_runs():
    """Folders of runs, by what was run."""
    return {}


@pytest.fixture
def run_fake(run_fake, kept_runs, tmp_path, tmp_path_factory):
    """As `run_fake` of the harness's tests. For rooms whose tests do not change how a run is made."""

    def run(policy="solver", directory=None, **settings):
        directory = directory or tmp_path / policy
        if directory.exists():
            return run_fake(policy, directory, **settings)
        key = repr((policy, sorted(settings.items())))
        if key not in kept_runs:
            kept_runs[key] = run_fake(policy, tmp_path_factory.mktemp("kept") / "run", **settings).directory
        return load_run(shutil.copytree(kept_runs[key], directory))

    return run
