"""Marks the tests that `tests/slow.txt` lists as slow, runs their files first, and measures every test.

`make test-fast` leaves out what is slow. A test that is not listed and takes much longer than `SLOW_SECONDS` fails that
run, so that the list stays true. Times are of the processor, of this process and of those that it waited for, and
therefore hardly depend on what else the machine does. The longest files come first, so that none is left for the end;
pytest-xdist keeps that order with `--no-loadscope-reorder`. `tests/conftest.py` imports the hooks.
"""

import os
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path

import pytest

from support.command_server import Command

SLOW_SECONDS = 0.3
"""A test is slow if it takes longer than this, all its parameters together."""
FAIL_SECONDS = 8.0
"""A test that is not listed as slow fails a run without slow tests if it takes longer than this.

The first test that needs a fixture of the session takes up to 5 s for it, and which test that is depends on the run.
"""
UNMEASURED_SECONDS = 10.0
"""Of a file or folder on the list without a time."""
LIST = Path(__file__).parents[1] / "slow.txt"
_PROPERTY = "processor_seconds"
_HEAD = f"""\
# Tests that take more than {SLOW_SECONDS} s of a processor (all parameters). `make test-fast` leaves them out.
# Written by `make test-times`: a test, or a whole file, page or folder, and its seconds where they were measured.
"""
_BEGAN = pytest.StashKey[float]()
_seconds: Counter[str] = Counter()


def name_of(node_id: str) -> str:
    """The test without its parameters; of a block in a page, the page."""
    return node_id.partition("::line:")[0].partition("[")[0]


def read_list(text: str) -> dict[str, float]:
    """What is slow, and for how many seconds."""
    lines = [line.split() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return {words[0]: float(words[1]) if len(words) > 1 else UNMEASURED_SECONDS for words in lines}


def is_listed(name: str, listed: Collection[str]) -> bool:
    """Whether the test, its file or a folder above is on the list."""
    file = Path(name.partition("::")[0])
    return name in listed or any(str(place) in listed for place in (file, *file.parents))


def list_text(seconds: Mapping[str, float], before: Mapping[str, float]) -> str:
    """The list, from the seconds of the tests that were run. What was not run keeps its line.

    Args:
        seconds: By test, without parameters.
        before: The list that stands.
    """
    files = {name.partition("::")[0] for name in seconds}
    kept = {
        name: found
        for name, found in before.items()
        if not any(is_listed(file, [name.partition("::")[0]]) for file in files)
    }
    slow = {name: found for name, found in seconds.items() if found > SLOW_SECONDS}
    return _HEAD + "".join(f"{name} {found:.1f}\n" for name, found in sorted((kept | slow).items()))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-slow-list", action="store_true", help="write tests/slow.txt from this run's times")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    listed = read_list(LIST.read_text("utf-8"))
    by_file: Counter[str] = Counter()
    for name, seconds in listed.items():
        by_file[name.partition("::")[0]] += seconds
    for item in items:
        if is_listed(name_of(item.nodeid), listed):
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: -_seconds_of(item, by_file))  # stable: a file's tests keep their order


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> object:
    item.stash[_BEGAN] = _processor_seconds()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> object:
    report = yield
    if call.when == "teardown":
        seconds = _processor_seconds() - item.stash[_BEGAN]
        report.user_properties.append((_PROPERTY, round(seconds, 3)))
        if seconds > FAIL_SECONDS and _is_without_slow(item.config) and report.passed:
            report.outcome = "failed"
            report.longrepr = (
                f"{item.nodeid} took {seconds:.1f} s of a processor, and tests/slow.txt does not list it. Make it "
                "quicker, or write the list again: make test-times"
            )
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """In the process that talks to the user: reports come here from all."""
    _seconds[name_of(report.nodeid)] += dict(report.user_properties).get(_PROPERTY, 0.0)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if session.config.getoption("--write-slow-list") and not hasattr(session.config, "workerinput"):
        LIST.write_text(list_text(dict(_seconds), read_list(LIST.read_text("utf-8"))), "utf-8")


def _seconds_of(item: pytest.Item, by_file: Mapping[str, float]) -> float:
    """The longest that the list says of the item's file or of a folder above."""
    file = Path(item.nodeid.partition("::")[0])
    return max(by_file.get(str(place), 0.0) for place in (file, *file.parents))


def _is_without_slow(config: pytest.Config) -> bool:
    return "not slow" in (config.getoption("markexpr") or "")


def _processor_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system + Command.seconds
