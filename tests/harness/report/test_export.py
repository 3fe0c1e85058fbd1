"""Results in the forms of other programs."""

import json
import sys
from dataclasses import replace

import pandas as pd
import pytest

from calvinbench.harness import cli
from calvinbench.harness.report.export import calvin_results, export, subtask_frame
from support.fakes import CHAINS, SOLVER_COMPLETES


@pytest.fixture
def runs(run_fake, tmp_path):
    return [run_fake(policy, directory=tmp_path / policy) for policy in ("solver", "idle")]


def test_a_row_is_a_subtask_with_what_its_run_was(runs):
    frame = subtask_frame(runs)
    assert len(frame) == sum(len(record.subtasks) for run in runs for record in run.records)
    assert set(frame["label"]) == {"solver \u2020", "idle"}
    assert set(frame["memory_reset"]) == {"subtask"}
    assert "policy_ms_counts" not in frame


def test_a_row_says_where_its_chain_began_so_that_others_can_cluster_by_it(runs):
    solver = runs[0]
    records = [
        replace(record, initial_state={"slider": "left", "led": record.chain % 2}, lead_in=("open_drawer", "push_left"))
        for record in solver.records
    ]
    frame = subtask_frame([replace(solver, records=tuple(records)), runs[1]])
    assert frame["initial_state"][0] == '{"led": 0, "slider": "left"}'
    ours = frame[frame["label"] == "solver \u2020"]
    assert ours.groupby("initial_state")["chain"].unique().map(list).tolist() == [[0, 2, 4], [1, 3, 5]]
    assert set(ours["lead_in"]) == {"open_drawer push_left"}
    assert set(frame[frame["label"] == "idle"]["lead_in"]) == {""}


def test_a_row_says_whether_its_run_is_official(runs):
    assert subtask_frame(runs)["official"].str.startswith("no, because the scene is fake, not D").all()


@pytest.mark.parametrize(("form", "read"), [("csv", pd.read_csv), ("parquet", pd.read_parquet)])
def test_what_is_written_is_read_again(runs, tmp_path, form, read):
    found = read(export(runs, form, tmp_path / "new" / f"file.{form}"))
    expected = subtask_frame(runs)
    assert found.columns.tolist() == expected.columns.tolist()
    assert found["completed"].tolist() == expected["completed"].tolist()
    assert found["task"].tolist() == expected["task"].tolist()


def test_calvins_file_has_its_numbers_and_keys(runs):
    """As `print_and_save` would count them: the first tasks of a chain, up to its length, and the one that failed."""
    found = calvin_results(runs)["solver \u2020"]
    assert found["avg_seq_len"] == pytest.approx(sum(SOLVER_COMPLETES) / 6)
    assert found["chain_sr"] == {str(k): sum(done >= k for done in SOLVER_COMPLETES) / 6 for k in range(1, 6)}
    success, total = {}, {}
    for chain, done in zip(CHAINS, SOLVER_COMPLETES, strict=True):
        for place, task in enumerate(chain.subtasks[: done + 1]):
            total[task] = total.get(task, 0) + 1
            success[task] = success.get(task, 0) + (place < done)
    assert found["task_info"] == {task: {"success": success[task], "total": total[task]} for task in sorted(total)}
    assert set(found) == {"avg_seq_len", "chain_sr", "task_info"}


def test_a_run_without_a_chain_is_json_too(runs, tmp_path):
    file = export([replace(runs[0], records=())], "calvin", tmp_path / "results.json")

    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    found = json.loads(file.read_text(), parse_constant=refuse)["solver \u2020"]
    assert found == {"avg_seq_len": None, "chain_sr": dict.fromkeys("12345"), "task_info": {}}


def test_the_command_writes_where_it_is_told(runs, tmp_path, capsys):
    folders = [str(run.directory) for run in runs]
    assert cli.main(["export", *folders, "--form", "calvin", "--out", str(tmp_path / "r.json")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'r.json'}\n"
    assert list(json.loads((tmp_path / "r.json").read_text())) == ["solver \u2020", "idle"]
    assert cli.main(["export"]) == 2
    assert "expected folders with runs" in capsys.readouterr().err


def test_a_missing_package_is_named(runs, tmp_path, monkeypatch):
    for name in ("pyarrow", "fastparquet"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ValueError, match=r"pip install 'calvinbench\[export\]'"):
        export(runs, "parquet", tmp_path / "x.parquet")
    assert not (tmp_path / "x.parquet").exists()


def test_a_frame_says_of_each_subtask_whether_it_was_a_success(runs):
    from calvinbench.harness import subtask_frame as exported

    frame = exported(runs)
    assert frame["success"].dtype == bool
    assert (frame["success"] == (frame["outcome"] == "solved")).all()
    assert frame.groupby("label")["success"].sum().to_dict() == {"solver \u2020": sum(SOLVER_COMPLETES), "idle": 0}


def test_a_run_without_a_chain_has_the_columns_and_takes_no_type_from_the_others(runs):
    empty = replace(runs[0], records=())
    assert empty.frame().columns.tolist() == runs[0].frame().columns.tolist()
    assert subtask_frame([empty, runs[1]]).dtypes.to_dict() == subtask_frame([runs[1]]).dtypes.to_dict()
    assert len(subtask_frame([empty])) == 0


def test_a_run_shows_itself_in_one_line(runs):
    assert repr(runs[0]) == (
        f"Run('solver', 6 of 6 chains, average length {sum(SOLVER_COMPLETES) / 6:.2f}, "
        f"'{runs[0].directory.as_posix()}')"
    )
    assert "0 of 6 chains, average length -" in repr(replace(runs[0], records=()))
    assert runs[0].name == "solver"


def test_an_error_that_quotes_no_unicode_can_be_shown_and_written(runs, tmp_path):
    first, *others = runs[0].records
    odd = replace(runs[0], records=(replace(first, error="cannot read 'a\udcff'"), *others))
    assert odd.frame()["error"][0] == r"cannot read 'a\udcff'"
    export([odd], "csv", tmp_path / "odd.csv")
