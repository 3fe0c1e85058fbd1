"""What ships in `results/`, and what the documentation quotes of it, is what the code of today would say."""

import subprocess
import sys
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest

from calvinbench.envs import chains
from calvinbench.envs.scenes.calvin_scene import ASSET_DIGESTS
from calvinbench.envs.scenes.loading import load_scene
from calvinbench.envs.task_chains import single_task_chains
from calvinbench.harness.records.runs import find_runs
from calvinbench.harness.report import tables
from calvinbench.harness.report.comparison_words import pair_table
from calvinbench.harness.report.report import gather, joint_table
from calvinbench.harness.report.report_contents import read_contents

ROOT = Path(__file__).parents[1]
RESULTS_PAGE = ROOT / "docs" / "results.md"
FOLDERS = sorted(file.parent.parent for file in (ROOT / "results").glob("*/report/table.md"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_shipped_runs_are_complete_and_of_today_s_world(folder: Path):
    for run in find_runs(folder):
        assert run.num_missing == 0
        assert run.description.asset_digest == _digest_of(run.description.scene)
        assert run.description.chain_digest == chains.digest(_chains_of(run.description))
        assert not any((session.commit or "").endswith("+changes") for session in run.description.sessions)


def _digest_of(scene):
    """CALVIN's scenes are not here; the digests of their files are known."""
    return ASSET_DIGESTS[scene] if scene in ASSET_DIGESTS else load_scene(scene).digest()


def _chains_of(description):
    if description.tasks:
        return single_task_chains(description.tasks, description.chains // len(description.tasks))
    return chains.published()[: description.chains]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_shipped_numbers_are_those_of_the_shipped_records(folder: Path):
    """Every cell of every table; the notes below the tables may change their words."""
    report = folder / "report"
    contents = read_contents(report)
    parts = gather(find_runs(folder), reference=contents.reference, labels=contents.labels)
    shipped = _tables_of((report / "table.md").read_text("utf-8"))
    joint = [joint_table(parts).markdown()] if len(parts) > 1 else []
    assert shipped == _tables_of("\n\n".join([*joint, *(part.markdown for part in parts)]))
    for part in parts:
        place = report if len(parts) == 1 else report / part.folder
        _require_equal(place / "table.csv", tables.number_table(part.table))
        _require_equal(place / "runs.csv", tables.run_table(part.table))
        _require_equal(place / "tasks.csv", tables.task_table(part.table))
        if part.comparison is not None:
            _require_equal(place / "pairs.csv", part.comparison.frame())
            pairs = _tables_of((place / "pairs.md").read_text("utf-8"))
            assert pairs == _tables_of(pair_table(part.comparison))


def _tables_of(markdown: str) -> list[list[str]]:
    """The rows of each Markdown table in a text."""
    blocks = ([line for line in block.splitlines() if line.startswith("|")] for block in markdown.split("\n\n"))
    return [rows for rows in blocks if rows]


def _require_equal(file: Path, made: pd.DataFrame) -> None:
    """Numbers to 9 digits; the folder of a run is where the repository is."""
    again = pd.read_csv(StringIO(made.to_csv(index=False))).drop(columns="directory", errors="ignore")
    shipped = pd.read_csv(file).drop(columns="directory", errors="ignore")
    pd.testing.assert_frame_equal(shipped, again, rtol=1e-9, atol=1e-12)


def test_no_page_ships_with_the_results():
    """Pages are large, and `calvinbench view` makes them from the records."""
    tracked = subprocess.run(["git", "ls-files", "results"], cwd=ROOT, check=True, capture_output=True, text=True)
    assert not [name for name in tracked.stdout.splitlines() if name.endswith(".html")]


def test_every_shipped_folder_has_its_report_and_its_command():
    told = (ROOT / "results" / "README.md").read_text("utf-8")
    shipped = sorted(folder for folder in (ROOT / "results").iterdir() if folder.is_dir())
    assert shipped == FOLDERS
    assert all(f"`{folder.name}/`" in told for folder in shipped)


def test_the_documented_baselines_are_the_shipped_ones():
    (part,) = gather(find_runs(ROOT / "results" / "baselines"))
    rows = part.markdown.split("\n\n")[0]
    assert rows in RESULTS_PAGE.read_text("utf-8")


def test_the_documented_comparison_is_what_the_study_s_table_says():
    shipped = ROOT / "results" / "backbones"
    command = [sys.executable, str(ROOT / "docs" / "study" / "study_table.py"), str(shipped / "training"), str(shipped)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert printed.count("\n") > len(list((shipped / "training").iterdir()))
    assert printed in RESULTS_PAGE.read_text("utf-8")


def test_the_readme_quotes_the_shipped_averages():
    readme = (ROOT / "README.md").read_text("utf-8")
    for name, run in (("cnn-1000", "checkpoint-cnn"), ("expert-1000", "expert"), ("expert-D", "expert")):
        row = (ROOT / "results" / name / "report" / "table.md").read_text("utf-8").splitlines()[2]
        average = row.strip("| ").split(" | ")[-1].strip().replace("*", "")
        assert average in readme, f"{run} of results/{name}"
    assert len(readme.splitlines()) <= 150
