"""What errors of comparisons and reports advise is done, and it works."""

import re

import pytest

from calvinbench.harness.analysis.comparable import RunsDifferError
from calvinbench.harness.analysis.comparison import compare
from calvinbench.harness.records.run_directory import RunMismatchError
from calvinbench.harness.report.published_results import published_results
from calvinbench.harness.report.report import write_report


def error_of(call, kind):
    with pytest.raises(kind) as raised:
        call()
    return str(raised.value)


def report(folder, out, **settings):
    return write_report([folder], out, formats=(), has_page=False, **settings)


def test_remedy_a_comparison_needs_two_runs(run_fake):
    runs = [run_fake("solver")]
    assert "expected at least two runs" in error_of(lambda: compare(runs), ValueError)
    assert compare([*runs, run_fake("idle")]).verdict


@pytest.mark.parametrize("way", ["separately", "on the other's terms"])
def test_remedy_unlike_runs_are_reported_separately_or_one_is_run_again(run_fake, tmp_path, way):
    folders = [tmp_path / "runs" / name for name in ("solver", "idle")]
    runs = [run_fake("solver", directory=folders[0]), run_fake("idle", directory=folders[1], max_steps=9)]
    in_order = error_of(lambda: compare(runs), RunsDifferError)
    assert "max_steps: 10 and 9" in in_order
    for said in (
        in_order,
        error_of(lambda: report(tmp_path / "runs", tmp_path / "report"), RunsDifferError),
    ):
        assert "max_steps: 10 and 9" in said or "max_steps: 9 and 10" in said  # runs of one second are in any order
        assert "Report them separately, or run one of them again on the other's terms" in said
    if way == "separately":
        for folder in folders:
            assert report(folder, folder / "report").markdown
        return
    again = error_of(lambda: run_fake("idle", directory=folders[1]), RunMismatchError)
    assert re.search("--overwrite|another", again)  # its folder is not overwritten unasked
    runs[1] = run_fake("idle", directory=tmp_path / "again" / "idle")
    assert compare(runs).verdict


def test_remedy_published_rows_are_left_out_of_another_scene(run_fake, tmp_path):
    run_fake("solver", directory=tmp_path / "run")
    rows = published_results("ABC->D")
    said = error_of(lambda: report(tmp_path / "run", tmp_path / "report", published=rows), RunsDifferError)
    assert "Leave --published out" in said
    assert report(tmp_path / "run", tmp_path / "report").markdown
