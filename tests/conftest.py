"""Shared by all tests: shapes and types of the library's annotations are checked while testing."""

import os
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

os.environ.setdefault("HF_HUB_OFFLINE", "1")

install_import_hook("calvinbench", "beartype.beartype")

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The folder of recordings of upstream; skips where it is absent."""
    folder = Path(os.environ.get("CALVINBENCH_TEST_DATA", REPOSITORY.parent / "shared" / "data"))
    if not (folder / "calvin_parity").is_dir():
        pytest.skip(f"no recordings of upstream at {folder}: set CALVINBENCH_TEST_DATA")
    return folder
