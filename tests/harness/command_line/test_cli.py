import json
import subprocess
import sys
from collections import Counter
from importlib import import_module
from pathlib import Path

import pytest

from calvinbench.envs.cameras import renderers
from calvinbench.harness import cli
from calvinbench.harness.verbs import demo
from support import command_server


@pytest.fixture
def in_tmp(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*arguments):
    return command_server.call(arguments)


def test_help_answers_at_once_and_imports_nothing_heavy():
    done = call("--help")
    assert done.returncode == 0
    assert all(verb in done.stdout for verb in ("run", "report", "list", "doctor", "demo"))
    code = "import sys, calvinbench.harness.cli; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "pandas", "scipy", "pybullet", "matplotlib", "transformers"} & set(modules)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "--policy", "exprt"), "Did you mean 'expert'"),
        (("run", "--policy", "untrained:kosmo2"), "Did you mean 'kosmos2'"),
        (("run", "--policy", "random", "--scene", "embeded"), "Did you mean 'embedded'"),
        (("run", "dmo"), "Did you mean 'demo'"),
        (("run",), "expected a suite or --policy SPEC"),
        (("run", "demo", "--policy", "random"), "expected a suite or --policy, got both"),
        (("run", "--policy", "random", "--chains", "0"), "expected chains to be a whole number of at least 1, got 0"),
        (("run", "--policy", "random", "--chains", "1001"), "at most 1000"),
        (("run", "--policy", "random", "--worlds", "0"), "expected worlds"),
        (("run", "--policy", "random,seed=x"), "seed"),
        (("report", "nowhere"), "found no run.json in 'nowhere'"),
        (("report",), "got none"),
    ],
)
def test_a_wrong_call_is_told_in_words_with_status_2(in_tmp, capsys, arguments, words):
    assert status(*arguments) == 2
    said = capsys.readouterr()
    assert words in said.err
    assert "Traceback" not in said.err
    assert said.out == ""
    assert list(in_tmp.iterdir()) == []


LONG = "x" * 256


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("run", "--policy", "random", "--chains", "1", "--out", LONG),
            "expected a path as --out that the file system",
        ),
        (("report", LONG), "expected a path that the file system takes"),
    ],
)
def test_a_path_that_is_too_long_is_told_with_its_flag(in_tmp, capsys, arguments, words):
    assert status(*arguments) == 2
    said = capsys.readouterr().err
    assert words in said
    assert "got one with a name of 256 bytes" in said
    assert "Errno" not in said


@pytest.mark.parametrize("arguments", ["--help", "--version", "train --help", "list tasks"])
def test_a_reader_that_closes_the_pipe_gets_no_traceback(in_tmp, arguments):
    code = "import os, sys; read, write = os.pipe(); os.close(read); os.dup2(write, 1)"
    code += "; from calvinbench.harness import cli; sys.stdout.reconfigure(write_through=True)"
    code += "; sys.exit(cli.main(sys.argv[1:]))"
    done = subprocess.run([sys.executable, "-c", code, *arguments.split()], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")


def test_a_renderer_is_refused_before_a_recording_says_its_size(in_tmp, capsys, monkeypatch):
    record = ("record", "--episodes", "1", "--renderer")
    assert status(*record, "bullet-egll") == 2
    said = capsys.readouterr().err
    assert "Did you mean 'bullet-egl'" in said
    monkeypatch.setattr(renderers, "_egl_failure", lambda: "ended with: no display")
    assert status(*record, "bullet-egl") == 1
    said += capsys.readouterr().err
    assert "a trial in another process ended with: no display. Use --renderer opengl-look" in said
    assert "Expected size" not in said
    assert list(in_tmp.iterdir()) == []


@pytest.mark.parametrize(
    "arguments", [("rnu",), ("run", "--chians", "3"), ("run", "--chains", "many"), ("list", "task"), ()]
)
def test_flags_that_do_not_exist_have_status_2(arguments):
    assert status(*arguments) == 2


def status(*arguments):
    try:
        return cli.main(arguments)
    except SystemExit as stop:
        return stop.code


def test_list_names_what_there_is(capsys):
    assert cli.main(["list", "tasks"]) == 0
    assert len(capsys.readouterr().out.split()) == 34
    assert cli.main(["list", "--json"]) == 0
    names = json.loads(capsys.readouterr().out)
    assert set(names) == {"tasks", "scenes", "backbones", "policies", "suites", "configurations", "published"}
    assert "embedded" in names["scenes"]
    assert "expert" in names["policies"]


def test_run_prints_a_table_and_goes_on_when_called_again(in_tmp, capsys):
    arguments = ["run", "--policy", "random", "--chains", "2", "--max-steps", "3"]
    assert cli.main(arguments) == 0
    first = capsys.readouterr().out
    assert first.startswith("| Method")
    before = (in_tmp / "runs" / "random" / "chains.jsonl").read_bytes()
    assert cli.main(arguments) == 0
    assert capsys.readouterr().out == first
    assert (in_tmp / "runs" / "random" / "chains.jsonl").read_bytes() == before


def test_json_is_exactly_one_object_on_standard_output(in_tmp, capfd):
    done = call("run", "--policy", "random", "--policy", "expert", "--chains", "1", "--max-steps", "3", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert [run["policy"] for run in result["runs"]] == ["random", "expert"]
    assert result["runs"][0]["finished"] == 1
    assert len(result["runs"][0]["success"]) == 5
    assert cli.main(["report", "runs", "--json"]) == 0
    report = json.loads(capfd.readouterr().out)
    assert sorted(report["files"]) == sorted(str(file) for file in (in_tmp / "runs" / "report").iterdir())
    kinds = Counter(Path(file).suffix for file in report["files"])
    assert kinds[".pdf"] == kinds[".svg"] == kinds[".png"] >= 7


TALKATIVE = """
import os
from calvinbench.policies.policy import Decision, PolicyTraits
import numpy as np
class Talkative:
    traits = PolicyTraits(label="talkative")
    def __init__(self): print("loading")
    def initial_state(self, batch_size, seeds=None): return None
    def reset_state(self, state, rows): return state
    def act(self, observations, instructions, state, privileged=None):
        print("acting")
        os.write(1, b"as C code would\\n")
        return Decision(np.zeros((1, 7)), state)
"""


@pytest.mark.parametrize("worlds", ["1", "2"])
def test_what_a_policy_prints_does_not_get_into_the_result(in_tmp, worlds):
    (in_tmp / "talkative.py").write_text(TALKATIVE)
    chains = ("--chains", "2", "--max-steps", "2", "--worlds", worlds)
    done = call("run", "--policy", "python:talkative:Talkative", *chains, "--json")
    assert json.loads(done.stdout)["runs"][0]["finished"] == 2
    assert all(words in done.stderr for words in ("loading", "acting", "as C code would"))


def test_a_run_without_chains_is_json_too(in_tmp, capsys):
    cli.main(["run", "--policy", "random", "--chains", "1", "--max-steps", "2"])
    (in_tmp / "runs" / "random" / "chains.jsonl").write_text("")
    capsys.readouterr()
    assert cli.main(["report", "runs", "--json"]) == 0
    said = json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert said["runs"][0]["success"][0]["rate"] is None


def test_doctor_s_json_is_one_object(capfd):
    assert cli.main(["doctor", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["ok"] is True


def test_a_folder_with_another_run_is_refused(in_tmp, capsys):
    cli.main(["run", "--policy", "random", "--chains", "1", "--max-steps", "3"])
    capsys.readouterr()
    assert cli.main(["run", "--policy", "random", "--chains", "1", "--max-steps", "4"]) == 2
    assert "max_steps was 3 and is now 4" in capsys.readouterr().err


def test_a_run_does_not_go_on_with_edited_code(in_tmp, capsys, monkeypatch):
    monkeypatch.syspath_prepend(in_tmp)
    (in_tmp / "edited_policy.py").write_text(TALKATIVE)
    arguments = ["run", "--policy", "python:edited_policy:Talkative", "--max-steps", "2", "--chains"]
    assert cli.main([*arguments, "1"]) == 0
    assert cli.main([*arguments, "2"]) == 0
    (in_tmp / "edited_policy.py").write_text(TALKATIVE + "\nMORE = 1\n")
    capsys.readouterr()
    assert cli.main([*arguments, "3"]) == 2
    assert "(the file of the policy's code changed" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_named_with_status_1(in_tmp, capsys):
    (in_tmp / "file").write_text("")
    assert cli.main(["run", "--policy", "random", "--chains", "1", "--out", "file"]) == 1
    assert "cannot write to 'file" in capsys.readouterr().err


BROKEN = """
from calvinbench.policies.policy import PolicyTraits
class Broken:
    traits = PolicyTraits(label="broken")
    def initial_state(self, batch_size, seeds=None): return None
    def reset_state(self, state, rows): return state
    def act(self, observations, instructions, state, privileged=None): raise RuntimeError("never works")
"""


def test_a_policy_that_always_breaks_makes_status_1(in_tmp, capsys, monkeypatch):
    (in_tmp / "broken_policy.py").write_text(BROKEN)
    monkeypatch.syspath_prepend(in_tmp)
    assert cli.main(["run", "--policy", "python:broken_policy:Broken", "--chains", "2"]) == 1
    assert "2 of 2 chains of broken errored" in capsys.readouterr().out


def test_a_policy_that_leaves_by_sys_exit_is_errored_and_makes_status_1(in_tmp, capsys):
    (in_tmp / "quitter.py").write_text(BROKEN.replace('raise RuntimeError("never works")', "raise SystemExit(0)"))
    assert cli.main(["run", "--policy", "python:quitter:Broken", "--chains", "1"]) == 1
    assert "1 of 1 chains of broken errored" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("open('weights.pt')", "could not make the policy 'python:cannot:make': FileNotFoundError: [Errno 2] No such "),
        ("raise RuntimeError('no CUDA here')", "could not make the policy 'python:cannot:make': RuntimeError: no CUDA"),
        ("raise KeyError('vision')", "could not make the policy 'python:cannot:make': KeyError: 'vision'"),
        ("import sys; sys.exit(0)", "could not make the policy 'python:cannot:make': SystemExit: 0"),
    ],
)
def test_a_policy_that_cannot_be_made_is_told_in_words_with_status_1(in_tmp, capsys, monkeypatch, body, words):
    (in_tmp / "cannot.py").write_text(f"def make():\n    {body}\n")
    monkeypatch.syspath_prepend(in_tmp)
    monkeypatch.delitem(sys.modules, "cannot", raising=False)
    assert cli.main(["run", "--policy", "python:cannot:make", "--chains", "1"]) == 1
    said = capsys.readouterr().err
    assert words in said
    assert "Traceback" not in said


def test_what_is_wrong_with_the_last_policy_is_said_before_the_first_one_runs(in_tmp, capsys):
    arguments = ["run", "--policy", "random", "--policy", "untrained:kosmos2,sede=1", "--chains", "1"]
    assert cli.main(arguments) == 2
    assert "Did you mean 'seed'" in capsys.readouterr().err
    assert not (in_tmp / "runs").exists()


def test_another_run_in_the_last_folder_is_refused_before_the_first_one_runs(in_tmp, capsys):
    cli.main(["run", "--policy", "random", "--chains", "1", "--max-steps", "3"])
    capsys.readouterr()
    arguments = ["run", "--policy", "expert", "--policy", "random", "--chains", "1", "--max-steps", "4"]
    assert cli.main(arguments) == 2
    assert "max_steps was 3 and is now 4" in capsys.readouterr().err
    assert not (in_tmp / "runs" / "expert").exists()


def test_a_report_that_cannot_be_written_is_named(in_tmp, capsys):
    cli.main(["run", "--policy", "random", "--chains", "1", "--max-steps", "3"])
    (in_tmp / "file").write_text("")
    assert cli.main(["report", "runs", "--out", "file"]) == 1
    assert "cannot make the folder 'file': File exists" in capsys.readouterr().err


def test_all_tasks_are_all_there_is_to_say(in_tmp, capsys):
    assert cli.main(["run", "--policy", "random", "--tasks", "all", "open_drawer", "--chains", "1"]) == 2
    assert "Unknown task 'all'" in capsys.readouterr().err
    assert cli.main(["run", "--policy", "nobody", "--tasks", "all"]) == 2
    assert "Unknown policy kind 'nobody'" in capsys.readouterr().err


def test_a_report_goes_to_runs_and_not_to_suites_below_them(in_tmp, capsys):
    (in_tmp / "mine.yaml").write_text("policy: [random]\nchains: 2\nmax_steps: 2\n")
    assert cli.main(["run", "mine.yaml"]) == 0
    assert cli.main(["run", "--policy", "random", "--chains", "1", "--max-steps", "3"]) == 0
    capsys.readouterr()
    assert cli.main(["report", "runs"]) == 0
    assert "Results on 1 chain of 5 subtasks" in capsys.readouterr().out
    assert cli.main(["report", "runs/mine"]) == 0


def test_a_demo_that_breaks_has_status_1(in_tmp, capsys, monkeypatch):
    from calvinbench.harness.suite.reading import parse_suite

    (in_tmp / "broken_demo.py").write_text(BROKEN)
    monkeypatch.syspath_prepend(in_tmp)
    broken = parse_suite("demo", "policy: ['python:broken_demo:Broken']\nchains: 2", "demo")
    monkeypatch.setattr(demo, "load_suite", lambda name: broken)
    assert cli.main(["demo"]) == 1


def test_debugging_shows_the_traceback(monkeypatch):
    monkeypatch.setenv(cli.DEBUG_VARIABLE, "1")
    with pytest.raises(ValueError, match="Did you mean"):
        cli.main(["run", "dmo"])


def test_the_demo_compares_its_policies_and_is_not_run_twice(in_tmp, capsys, monkeypatch):
    from calvinbench.harness.suite.reading import parse_suite

    short = parse_suite("demo", "policy: [random, expert]\nchains: 2\nmax_steps: 3", "demo")
    monkeypatch.setattr(demo, "load_suite", lambda name: short)
    assert cli.main(["demo"]) == 0
    out = capsys.readouterr().out
    assert "scores near zero" in out
    assert "reads the simulator's state" in out
    assert "calvinbench view calvinbench-demo" in out
    assert "ran before" not in out
    for name in ("table.md", "survival.pdf"):
        assert (in_tmp / "calvinbench-demo" / "demo" / "report" / name).is_file()
    assert cli.main(["demo"]) == 0
    assert "ran before" in capsys.readouterr().out


def test_the_package_exports_what_a_notebook_needs():
    harness = import_module("calvinbench.harness")
    assert all(hasattr(harness, name) for name in harness.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = harness.nothing
