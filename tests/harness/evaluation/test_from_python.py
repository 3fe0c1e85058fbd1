import re
import subprocess
import sys
import textwrap

import pytest

import calvinbench.harness
from calvinbench.harness.suite.settings import RunSettings
from support import REPOSITORY


def run_script(folder, text):
    (folder / "script.py").write_text(text)
    return subprocess.run(
        [sys.executable, "script.py"], cwd=folder, capture_output=True, text=True, check=False, timeout=300
    )


def page_example():
    page = (REPOSITORY / "docs" / "evaluate.md").read_text("utf-8")
    return re.search(r"## From Python\n.*?```python\n(.*?)```", page, re.DOTALL)[1]


def docstring_example():
    text = calvinbench.harness.__doc__
    return re.search(r"\n\n((?:    .*\n|\n)+)\n`RunSettings` takes", text)[1]


@pytest.mark.slow
@pytest.mark.parametrize("example", [page_example, docstring_example])
def test_the_examples_of_the_documents_run(tmp_path, example):
    text = (
        textwrap.dedent(example())
        .replace("checkpoint:cnn", "random")
        .replace("chains=20", "chains=2")
        .replace("=360", "=3")
    )
    assert "evaluate(" in text
    done = run_script(tmp_path, text)
    assert done.returncode == 0, done.stderr
    (run,) = calvinbench.harness.find_runs(tmp_path / "runs")
    assert run.num_missing == 0
    assert done.stdout.splitlines()[0] == "0.0"


def test_the_names_for_scripts_are_exported_and_import_nothing_heavy_by_themselves():
    for name in ("evaluate", "RunSettings", "WorkerSetup", "load_run"):
        assert name in calvinbench.harness.__all__
        assert hasattr(calvinbench.harness, name)
    code = "import sys, calvinbench.harness; from calvinbench.harness import RunSettings; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "pandas", "pybullet", "matplotlib"} & set(modules)


LIVE = """
from pathlib import Path
from calvinbench.harness import RunSettings, WorkerSetup, evaluate
from calvinbench.policies.baselines.random import RandomPolicy

for give in (
    lambda: evaluate(RandomPolicy(), Path("runs")),
    lambda: evaluate("random", Path("runs")),
    lambda: evaluate(WorkerSetup(RunSettings(RandomPolicy())), Path("runs")),
):
    try:
        give()
    except (TypeError, ValueError) as error:
        print(type(error).__name__, error)
"""


@pytest.mark.slow
def test_remedy_a_live_policy_is_refused_and_named_by_a_factory_it_runs(tmp_path):
    done = run_script(tmp_path, LIVE)
    said = done.stdout.splitlines()
    assert said[0].startswith("TypeError expected a WorkerSetup, got RandomPolicy.")
    assert said[1].startswith("TypeError expected a WorkerSetup, got str.")
    assert said[2].startswith("ValueError expected policy to be a name, got <")
    assert "python:my_module:make_policy calls make_policy() of my_module.py" in said[2]
    (remedy,) = set(re.findall(r"evaluate\(WorkerSetup.*?\)\)(?:, Path\('runs/mine'\)\))", said[0]))
    (tmp_path / "my_module.py").write_text(
        "from calvinbench.policies.baselines.random import RandomPolicy\n"
        "def make_policy():\n    return RandomPolicy()\n"
    )
    call = remedy.replace("make_policy')", "make_policy', chains=1, max_steps=2)")
    done = run_script(tmp_path, LIVE.partition("for give")[0] + f"print({call}.num_missing)\n")
    assert done.stdout.strip() == "0", done.stderr


def test_settings_take_the_names_of_the_flags():
    settings = RunSettings("random", chains=2, max_steps=3, seed=1)
    assert (settings.chains, settings.max_steps, settings.seed, settings.slug) == (2, 3, 1, "random")
