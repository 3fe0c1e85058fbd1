import os
import subprocess
import sys
from pathlib import Path

import pytest

from calvinbench.envs.names import UnknownNameError
from calvinbench.harness import cli
from calvinbench.harness.errors import RunFailedError
from calvinbench.harness.evaluation.problems import FailedProblemsError, Problems, ProblemsError
from calvinbench.harness.evaluation.suite_checks import require_known_names
from calvinbench.harness.records.folders import require_writable
from calvinbench.harness.suite.reading import STUDY_SUITES, load_suite, shipped_suites
from calvinbench.harness.suite.suite import Suite


@pytest.fixture
def in_tmp(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_all_that_is_wrong_with_a_suite_is_said_at_once():
    suite = Suite.of(
        policy=("exprt", "untrained:kosmo2", "checkpoint:nowhere/checkpoint", "random"),
        scene=("embeded", "embedded"),
        instructions=("calvinbnch", "nowhere.yaml"),
        tasks=("open_drawr",),
        renderer="bullet-tinny",
        simulation="reproducibel",
        videos="som",
    )
    with pytest.raises(ProblemsError) as caught:
        require_known_names(suite)
    said = str(caught.value)
    for words in ("'exprt'", "'kosmo2'", "nowhere/checkpoint", "'embeded'", "'calvinbnch'", "nowhere.yaml"):
        assert words in said
    for words in ("'open_drawr'", "'bullet-tinny'", "'reproducibel'", "'som'"):
        assert words in said
    assert said.startswith("10 problems, before anything was run:")


def test_one_problem_is_said_as_it_is():
    with pytest.raises(UnknownNameError, match=r"^Unknown scene 'embeded'\. Did you mean 'embedded'"):
        require_known_names(Suite.of(policy=("random",), scene="embeded"))


def test_what_lies_with_the_machine_alone_is_no_wrong_call():
    problems = Problems()
    for words in ("no renderer", "no ray"):
        with problems.collected("random"):
            raise RunFailedError(words)
    with pytest.raises(FailedProblemsError, match=r"2 problems.*\n  - random: no renderer\n  - random: no ray"):
        problems.require_none()
    Problems().require_none()


def test_what_is_wrong_with_each_policy_is_said_at_once(in_tmp, capsys):
    arguments = ["run", "--policy", "untrained:kosmos2,sede=1", "--policy", "random,sed=2", "--policy", "expert"]
    assert cli.main([*arguments, "--chains", "1"]) == 2
    said = capsys.readouterr().err
    assert "2 problems" in said
    assert "sede" in said
    assert "random,sed=2" in said
    assert list(in_tmp.iterdir()) == []


def test_a_checkpoint_that_is_not_there_is_refused_before_torch_is_imported(in_tmp):
    code = (
        "import sys\n"
        "from calvinbench.harness import cli\n"
        "assert cli.main(['run', '--policy', 'checkpoint:trained/checkpoint']) == 2\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "got 'trained/checkpoint': there is no such folder." in done.stderr
    assert "cnn" in done.stderr


@pytest.mark.parametrize("name", shipped_suites())
def test_every_suite_that_ships_runs_from_a_fresh_install(in_tmp, name):
    require_known_names(load_suite(name))


@pytest.mark.parametrize("name", STUDY_SUITES)
def test_remedy_a_suite_of_the_study_is_named_with_its_file(in_tmp, capsys, name, request):
    repository = request.config.rootpath
    assert cli.main(["run", name]) == 2
    said = capsys.readouterr().err
    path = f"docs/study/{name}.yaml"
    assert path in said
    assert "docs/study/backbones.sh" in said
    assert (repository / "docs/study/backbones.sh").is_file()
    # The file is a suite, with the name that its results have; without the checkpoints the script is named again.
    assert load_suite(str(repository / path)).name == name
    assert cli.main(["run", str(repository / path)]) == 2
    said = capsys.readouterr().err
    assert "got 'comparison/" in said
    assert "there is no such folder" in said
    assert "docs/study/backbones.sh there trains it" in said


def test_the_script_that_is_named_trains_what_the_suites_of_the_study_run(request):
    script = (request.config.rootpath / "docs/study/backbones.sh").read_text()
    for name in STUDY_SUITES:
        for policy in load_suite(str(request.config.rootpath / f"docs/study/{name}.yaml")).policy:
            trained = policy.split(",")[0].removeprefix("checkpoint:comparison/").removesuffix("/checkpoint")
            assert trained in script or f"{trained.split('-')[0]}-" in script


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_made(in_tmp, capsys, monkeypatch):
    (in_tmp / "file").write_text("")
    monkeypatch.setattr(
        "calvinbench.harness.evaluation.suite_checks.require_known_names", lambda suite: pytest.fail("too late")
    )
    assert cli.main(["run", "--policy", "random", "--out", "file/deeper"]) == 1
    assert "cannot write to 'file/deeper'" in capsys.readouterr().err


def test_remedy_a_full_disk_is_found_before_the_first_chain_and_another_out_works(in_tmp, capsys, monkeypatch):
    sync, full = os.fsync, in_tmp / "full"
    full.mkdir()

    def no_space(descriptor):
        if Path(f"/proc/self/fd/{descriptor}").readlink().is_relative_to(full):
            raise OSError(28, os.strerror(28))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(OSError, match=r"cannot write to '.*full/runs': No space left.*another folder with --out"):
        require_writable(full / "runs")
    arguments = ["run", "--policy", "random", "--chains", "1", "--max-steps", "2"]
    assert cli.main([*arguments, "--out", "full/runs"]) == 1
    assert "No space left on device" in capsys.readouterr().err
    assert list(full.iterdir()) == []
    assert cli.main([*arguments, "--out", "runs"]) == 0


def test_a_folder_that_can_be_written_is_left_as_it_was(tmp_path):
    require_writable(tmp_path / "some" / "run")
    require_writable(tmp_path)
    assert list(tmp_path.iterdir()) == []
