import pandas as pd
import pytest

from calvinbench.harness.report import RunsDifferError, write_report


def test_a_report_has_tables_and_figures(run_fake, tmp_path):
    for policy in ("solver", "idle"):
        run_fake(policy, directory=tmp_path / "suite" / policy)
    report = write_report([tmp_path / "suite"])
    assert report.directory == tmp_path / "suite" / "report"
    names = sorted(path.name for path in report.directory.iterdir())
    assert names == sorted(
        ["table.md", "table.tex", "table.csv", "tasks.csv"]
        + [f"{figure}.{suffix}" for figure in ("survival", "tasks") for suffix in ("pdf", "svg", "png")]
    )
    assert (report.directory / "table.md").read_text() == report.markdown
    assert pd.read_csv(report.directory / "table.csv")["n"].tolist() == [6, 6]


def test_runs_given_one_by_one_are_reported_beside_them(run_fake, tmp_path):
    for policy in ("solver", "idle"):
        run_fake(policy, directory=tmp_path / policy)
    assert write_report([tmp_path / "solver", tmp_path / "idle"]).directory == tmp_path / "report"


def test_a_second_report_is_not_taken_for_a_run(run_fake, tmp_path):
    run_fake("solver", directory=tmp_path / "solver")
    first = write_report([tmp_path])
    assert write_report([tmp_path]).markdown == first.markdown


@pytest.mark.parametrize(
    ("change", "words"), [({"max_steps": 9}, "max_steps: 10 and 9"), ({"chains": 3}, "chains: 6 and 3")]
)
def test_runs_on_other_terms_are_not_mixed(run_fake, tmp_path, change, words):
    run_fake("solver", directory=tmp_path / "a")
    run_fake("idle", directory=tmp_path / "b", **change)
    with pytest.raises(RunsDifferError, match=words):
        write_report([tmp_path])
    assert not (tmp_path / "report").exists()


def test_an_incomplete_run_is_reported_with_a_warning(run_fake, tmp_path):
    run = run_fake("solver")
    path = run.directory / "chains.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:2]))
    assert "not complete: 2 of 6 chains" in write_report([run.directory]).markdown


def test_a_run_without_a_finished_chain_can_be_reported(run_fake):
    run = run_fake("solver")
    (run.directory / "chains.jsonl").write_text("")
    assert "not complete: 0 of 6 chains" in write_report([run.directory]).markdown
