"""Runs on CALVIN's own scenes by the command line: what is recorded, what is refused before the first chain."""

import json
from pathlib import Path

import pytest

from calvinbench.envs.scenes.calvin_scene import ASSET_DIGESTS
from calvinbench.harness import cli
from calvinbench.harness.analysis.methods import labels
from calvinbench.harness.records.runs import load_run

SHORT = ("--chains", "2", "--max-steps", "4")


@pytest.fixture
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder; no variable names a checkout, and none is installed."""
    monkeypatch.chdir(tmp_path)
    for variable in ("CALVIN_ENV_ROOT", "CALVIN_ROOT"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("calvinbench.envs.scenes.calvin_checkout.find_spec", lambda name: None)
    return tmp_path


@pytest.mark.recorded
def test_a_run_says_which_scene_checkout_simulation_and_sentences_it_used(in_tmp: Path, recordings: Path):
    given = ("--scene", "D", "--calvin-env", str(recordings / "calvin_env"), "--simulation", "parity")
    assert cli.main(["run", "--policy", "random", *SHORT, *given]) == 0
    written = json.loads((in_tmp / "runs" / "random" / "run.json").read_text())
    assert (written["scene"], written["calvin_env"], written["simulation"]) == ("D", "unknown", "parity")
    assert written["asset_digest"] == ASSET_DIGESTS["D"]
    assert written["instructions"] == "calvin"
    assert not [reason for reason in written["official"]["because"] if "scene" in reason or "sentences" in reason]
    sentences = {s.instruction for record in load_run("runs/random").records for s in record.subtasks}
    assert sentences <= {"take the blue block and rotate it to the right", "press the button to turn off the led light"}


@pytest.mark.recorded
@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (("--simulation", "parity"), "simulation was 'reproducible' and is now 'parity'"),
        (("--instructions", "calvinbench"), "instructions was 'calvin' and is now 'calvinbench'"),
        (("--scene", "A"), "scene was 'D' and is now 'A'"),
    ],
)
def test_a_run_is_not_continued_with_other_settings(in_tmp: Path, recordings: Path, capsys, changed, words):
    given = ("run", "--policy", "random", *SHORT, "--calvin-env", str(recordings / "calvin_env"))
    assert cli.main([*given, "--scene", "D"]) == 0
    before = (in_tmp / "runs" / "random" / "run.json").read_bytes()
    kept = () if "--scene" in changed else ("--scene", "D")
    assert cli.main([*given, *kept, *changed]) == 2
    assert words in capsys.readouterr().err
    assert (in_tmp / "runs" / "random" / "run.json").read_bytes() == before


@pytest.mark.recorded
def test_a_suite_takes_the_same_keys(in_tmp: Path, recordings: Path):
    (in_tmp / "mine.yaml").write_text(
        f"policy: random\nscene: A\nchains: 1\nmax_steps: 3\ncalvin_env: {recordings / 'calvin_env'}\n"
        f"calvin: {recordings / 'calvin'}\nsimulation: parity\ninstructions: calvin-training\n"
    )
    assert cli.main(["run", "mine.yaml"]) == 0
    run = load_run("runs/mine/random")
    assert (run.description.scene, run.description.simulation) == ("A", "parity")
    assert run.description.instructions == "calvin-training"
    assert "the scene is A, not D" in run.description.official.because
    assert "the sentences are calvin-training's, not CALVIN's" in run.description.official.because


@pytest.mark.recorded
@pytest.mark.parametrize("simulation", ["reproducible", "parity"])
def test_records_do_not_depend_on_the_number_of_worlds(in_tmp: Path, recordings: Path, simulation: str):
    given = ("--scene", "D", "--calvin-env", str(recordings / "calvin_env"), "--simulation", simulation)
    runs = []
    for worlds in ("1", "2"):
        arguments = ["run", "--policy", "expert", "--chains", "3", "--max-steps", "60", *given]
        assert cli.main([*arguments, "--worlds", worlds, "--out", worlds]) == 0
        runs.append([record.without_times() for record in load_run(f"{worlds}/expert").records])
    assert sorted(runs[0], key=lambda record: record.chain) == sorted(runs[1], key=lambda record: record.chain)


@pytest.mark.recorded
def test_runs_of_one_policy_are_told_apart_by_their_sentences(in_tmp: Path, recordings: Path):
    given = ("run", "--policy", "random", *SHORT, "--calvin", str(recordings / "calvin"))
    for sentences in ("calvin", "calvinbench"):
        assert cli.main([*given, "--instructions", sentences, "--out", sentences]) == 0
    runs = [load_run(f"{sentences}/random") for sentences in ("calvin", "calvinbench")]
    assert labels(runs) == ("random instructions calvin", "random instructions calvinbench")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--scene", "D"), "expected a checkout of calvin_env, found none"),
        (("--scene", "D", "--calvin-env", "nowhere"), "there is no such folder"),
        (("--scene", "E"), "Unknown scene 'E'"),
        (("--simulation", "party"), "Did you mean 'parity'"),
        (("--instructions", "calvn"), "Did you mean 'calvin'"),
        (("--instructions", "calvin"), "expected a checkout of calvin for the instructions 'calvin', found none"),
        (("--calvin", "nowhere"), "it lacks calvin_models/conf"),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_is_written(in_tmp: Path, capsys, arguments, words):
    assert cli.main(["run", "--policy", "random", *arguments]) == 2
    said = capsys.readouterr()
    assert words in said.err
    assert "Traceback" not in said.err
    assert list(in_tmp.iterdir()) == []


def test_list_says_where_scenes_are_from_and_what_to_do_if_they_are_not_there(in_tmp: Path, capsys):
    assert cli.main(["list", "scenes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split(maxsplit=1) == ["embedded", "ships with calvinbench"]
    assert [line.split(maxsplit=1) for line in lines[1:5]] == [[name, "CALVIN's, not installed"] for name in "ABCD"]
    assert "--calvin-env DIR" in lines[-1]
    assert cli.main(["list", "scenes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"scenes": ["embedded", "A", "B", "C", "D"]}


@pytest.mark.recorded
def test_list_names_the_checkout_that_scenes_are_from(in_tmp: Path, recordings: Path, capsys, monkeypatch):
    monkeypatch.setenv("CALVIN_ENV_ROOT", str(recordings / "calvin_env"))
    assert cli.main(["list", "scenes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert str(recordings / "calvin_env") in lines[4]
