"""What ships in `results/`, and what the documentation quotes of it, is what the code of today would say."""

import subprocess
import sys
from pathlib import Path

import pytest

from calvinbench.envs import chains
from calvinbench.envs.scenes.calvin_scene import ASSET_DIGESTS
from calvinbench.envs.scenes.loading import load_scene
from calvinbench.envs.task_chains import single_task_chains
from calvinbench.harness.records.runs import find_runs
from calvinbench.harness.report.report import gather
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
def test_shipped_tables_are_made_from_the_shipped_records(folder: Path):
    contents = read_contents(folder / "report")
    made = "\n".join(part.markdown for part in gather(find_runs(folder), reference=contents.reference))
    assert (folder / "report" / "table.md").read_text("utf-8") == made


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
        average = row.split("|")[8].strip()
        assert average in readme, f"{run} of results/{name}"
    assert len(readme.splitlines()) <= 150
