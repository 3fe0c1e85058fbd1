"""The wheel, installed elsewhere, does the main job from another folder."""

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of what git tracks, so that nothing lying about gets in."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, check=True).stdout
    for name in filter(None, tracked.decode().split("\0")):
        file = REPOSITORY / name
        if file.is_file() and not file.is_symlink():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes(file.read_bytes())
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--wheel-dir", str(folder), str(source)], check=True, capture_output=True)
    (built,) = folder.glob("calvinbench-*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel; dependencies are borrowed from this one, the editable install is not."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False, symlinks=True)
    executable = folder / "bin" / "python"
    purelib = sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)})
    pip = [sys.executable, "-m", "pip", "--python", str(executable), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, str(wheel)], check=True, capture_output=True)
    (Path(purelib) / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return executable


def test_the_wheel_carries_code_and_data_and_nothing_else(wheel: Path):
    names = zipfile.ZipFile(wheel).namelist()
    for needed in (
        "calvinbench/envs/scenes/assets/table.urdf",
        "calvinbench/envs/scenes/assets/wedge.obj",
        "calvinbench/envs/data/published.csv",
        "calvinbench/envs/data/instructions.yaml",
        "calvinbench/harness/report/published_results.csv",
        "calvinbench/harness/report/html/report.html",
        "calvinbench/harness/suite/suites/demo.yaml",
        "calvinbench/policies/py.typed",
        "calvinbench/policies/backbones/kosmos2.py",
        "calvinbench/policies/shipped/cnn/model.safetensors",
        "calvinbench/policies/shipped/cnn/tokenizer/tokenizer.json",
    ):
        assert needed in names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"calvinbench"}


DEMO = """
import json
from pathlib import Path
from calvinbench.harness.evaluation.suite_evaluation import evaluate_suite
from calvinbench.harness.suite.reading import load_suite
runs = evaluate_suite(load_suite("demo").with_values(chains=2, worlds=1, max_steps=5, out=Path("demo")))
print(json.dumps([[run.description.policy, len(run.records)] for run in runs]))
"""


@pytest.mark.slow
def test_the_installed_wheel_runs_the_demos_policies_from_another_folder(python: Path, tmp_path: Path):
    """The policies in one process, for torch is then imported once; the command with a policy that needs none."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    settings = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True, "check": False}
    done = subprocess.run([python, "-c", DEMO], **settings)
    assert done.returncode == 0, done.stderr
    runs = json.loads(done.stdout)
    assert len(runs) == 4
    assert any(policy.startswith("checkpoint:") for policy, _ in runs)
    assert {num_records for _, num_records in runs} == {2}
    words = ("run", "--policy", "expert", "--chains", "2", "--max-steps", "5", "--json")
    done = subprocess.run([python.parent / "calvinbench", *words], **settings)
    assert done.returncode == 0, done.stderr
    assert [run["finished"] for run in json.loads(done.stdout)["runs"]] == [2]
    where = subprocess.run(
        [python, "-c", "import calvinbench.envs as e; print(e.__file__)"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(where.stdout.strip()).is_relative_to(python.parents[1])
