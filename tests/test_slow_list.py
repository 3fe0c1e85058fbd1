"""The list of slow tests: what it marks, how it is written, and that a test that belongs on it fails a quick run."""

import pytest

from support import times

pytest_plugins = ("pytester",)


@pytest.mark.parametrize(
    ("node_id", "name"),
    [
        ("tests/a.py::test_one", "tests/a.py::test_one"),
        ("tests/a.py::test_one[x[0]-1]", "tests/a.py::test_one"),
        ("tests/a.py::TestAll::test_one", "tests/a.py::TestAll::test_one"),
        ("docs/add/head.md::line:12,column:1", "docs/add/head.md"),
    ],
)
def test_a_test_is_named_without_its_parameters_and_a_block_by_its_page(node_id, name):
    assert times.name_of(node_id) == name


def test_a_test_is_listed_by_itself_its_file_or_a_folder_above():
    listed = times.read_list("# docs: a comment\ntests/a.py::test_one 2.5\ntests/b.py\n\ndocs\n")
    assert listed == {"tests/a.py::test_one": 2.5, "tests/b.py": 10.0, "docs": 10.0}
    assert times.is_listed("tests/a.py::test_one", listed)
    assert not times.is_listed("tests/a.py::test_two", listed)
    assert times.is_listed("tests/b.py::test_two", listed)
    assert times.is_listed("docs/add/head.md", listed)


def test_a_new_list_has_what_was_slow_and_keeps_what_was_not_run():
    seconds = {"tests/a.py::test_one": 0.1, "tests/a.py::test_two": 0.4, "tests/b/c.py::test_one": 0.2}
    before = {"tests/a.py::test_one": 1.0, "tests/b": 2.0, "tests/d.py::test_one": 3.0, "docs": 4.0}
    lines = times.list_text(seconds, before).splitlines()
    assert [line for line in lines if not line.startswith("#")] == [
        "docs 4.0",
        "tests/a.py::test_two 0.4",
        "tests/d.py::test_one 3.0",
    ]


def test_each_line_of_the_list_is_of_a_file_that_there_is(request):
    for name in times.read_list(times.LIST.read_text("utf-8")):
        assert (request.config.rootpath / name.partition("::")[0]).exists(), name


TESTS = """
import time
def test_slow():
    end = time.process_time() + 0.2
    while time.process_time() < end: pass
def test_quick(): pass
"""


@pytest.fixture
def project(pytester, monkeypatch):
    """A small project whose conftest imports these hooks, with an empty list."""
    monkeypatch.setenv("PYTHONPATH", str(times.LIST.parent))
    pytester.makepyfile(test_first="def test_first(): pass", test_of_it=TESTS)
    pytester.makeconftest(
        "from pathlib import Path\nfrom support import times\nfrom support.times import *\n"
        "times.LIST, times.SLOW_SECONDS, times.FAIL_SECONDS = Path('slow.txt'), 0.1, 0.15\n"
    )
    pytester.makeini("[pytest]\nmarkers = slow")
    (pytester.path / "slow.txt").write_text("")
    return pytester


def test_a_quick_run_fails_where_a_slow_test_is_not_listed_and_leaves_it_out_where_it_is(project):
    done = project.runpytest_subprocess("-m", "not slow", "-p", "no:xdist")
    done.assert_outcomes(passed=3, errors=1)
    done.stdout.fnmatch_lines(["*test_of_it.py::test_slow took 0.* s of a processor, and * does not list it.*"])
    project.runpytest_subprocess("-n", "1", "--write-slow-list").assert_outcomes(passed=3)
    assert (project.path / "slow.txt").read_text().splitlines()[-1].startswith("test_of_it.py::test_slow 0.")
    done = project.runpytest_subprocess("-m", "not slow", "-p", "no:xdist", "-v")
    done.assert_outcomes(passed=2, deselected=1)
    done.stdout.fnmatch_lines(["test_of_it.py::test_quick*", "test_first.py::test_first*"])  # the longest file first
