"""Shared by all tests: shapes and types of the library's annotations are checked while testing."""

import gc
import os
import sys
from pathlib import Path

import pytest

from support import type_checks
from support.times import (  # noqa: F401  hooks
    pytest_addoption,
    pytest_collection_modifyitems,
    pytest_runtest_logreport,
    pytest_runtest_makereport,
    pytest_runtest_protocol,
    pytest_sessionfinish,
)

os.environ.setdefault("HF_HUB_OFFLINE", "1")
# Several workers share the cores, and threads of torch that wait for a core spin: small models take ten times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")

type_checks.install()

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="module", autouse=True)
def _cheap_garbage_collection():
    """Leaves what was imported so far out of garbage collection: statsmodels collects at each Holm correction."""
    gc.freeze()


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The folder of recordings of upstream; skips where it is absent."""
    folder = Path(os.environ.get("CALVINBENCH_TEST_DATA", REPOSITORY.parent / "shared" / "data"))
    if not (folder / "calvin_parity").is_dir():
        pytest.skip(f"no recordings of upstream at {folder}: set CALVINBENCH_TEST_DATA")
    return folder


@pytest.fixture(scope="session")
def upstream():
    """The calvin_env of CALVIN_ENV_ROOT or of the installed package; skips where it cannot be imported.

    It is forgotten again at once, for other tests look for packages of this name that they made up; tests step it in
    processes of their own.
    """
    from calvinbench.envs.scenes.calvin_checkout import CheckoutError
    from calvinbench.envs.upstream.simulator import UpstreamError, import_upstream

    places = list(sys.path)
    try:
        return import_upstream()
    except (CheckoutError, UpstreamError) as error:
        pytest.skip(f"calvin_env's own simulator cannot be used here: {error}")
    finally:
        sys.path[:] = places
        for name in [name for name in sys.modules if name.split(".")[0] == "calvin_env"]:
            del sys.modules[name]
