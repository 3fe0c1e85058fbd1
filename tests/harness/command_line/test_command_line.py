"""What a person meets at the command line: help, versions, wrong calls, and the exit status of each."""

import io
import json
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from importlib import import_module

import pytest
from rich.console import Console

from calvinbench.envs.names import guess
from calvinbench.harness import cli
from calvinbench.harness.command_line import listing
from calvinbench.harness.command_line.arguments import require_good_words
from calvinbench.harness.command_line.flags import flags_of
from calvinbench.harness.command_line.help import top_level_help, verb_help
from calvinbench.harness.command_line.registry import HEADINGS, VERBS
from calvinbench.harness.report import tables
from calvinbench.harness.report.table_input import TableInput


def verb_type(name):
    module, _, attribute = VERBS[name].target.partition(":")
    return getattr(import_module(f"calvinbench.harness.verbs.{module}"), attribute)


EACH_VERB = pytest.mark.parametrize("name", VERBS)
FLAGS = {name: flags_of(verb_type(name)) for name in VERBS}
NUMBERS = [(name, flag) for name in VERBS for flag in FLAGS[name] if flag.kind in (int, float) and not flag.choices]
VALUED = [(name, flag) for name in VERBS for flag in FLAGS[name] if flag.kind is not bool and not flag.is_positional]


@pytest.fixture
def in_tmp(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def error(capsys):
    """Makes a wrong call, and gives what it says: one message without a traceback."""

    def call(*words, status=2):
        assert cli.main(words) == status
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.startswith("calvinbench: ")
        assert "Traceback" not in said.err
        return said.err

    return call


def value_of(flag):
    return str(flag.choices[0]) if flag.choices else {int: "1", float: "0.5"}.get(flag.kind, "x")


# Help


def test_the_help_lists_every_verb_below_its_heading():
    text = top_level_help()
    places = [text.index(f"\n{heading}:") for heading in HEADINGS]
    assert places == sorted(places)
    for name, verb in VERBS.items():
        assert verb.heading in HEADINGS
        assert len(re.findall(rf"^  {name}( |$)", text, re.M)) == 1
        assert verb.summary.endswith(".")


@EACH_VERB
def test_the_help_of_a_verb_says_each_flag_and_ends_with_examples(name, capsys):
    assert cli.main([name, "--help"]) == 0
    text = capsys.readouterr().out
    for flag in FLAGS[name]:
        assert len(re.findall(rf"^  {re.escape(flag.name.strip('[]'))}( |$)", text, re.M)) == 1, flag
        assert flag.help.endswith("."), flag
    assert not re.search(r"default: *\)|\bNone\b|\{None|NoneType", text)
    assert re.search(r"^Examples?:\n  calvinbench ", text, re.M)


@pytest.mark.parametrize("width", [40, 80, 200])
@EACH_VERB
def test_no_word_of_the_help_is_broken(name, width, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    words = set(verb_help(name, verb_type(name)).split())
    for flag in FLAGS[name]:
        assert set(flag.help.split()) <= words
        assert set(flag.default.split()) <= words


@EACH_VERB
def test_each_example_is_a_good_call_of_flags_that_exist(name):
    for example in verb_type(name).USAGE.examples:
        require_good_words(shlex.split(example.call), FLAGS[name], name)


@EACH_VERB
def test_headings_name_fields_that_exist_each_once(name):
    placed = [field for fields in verb_type(name).USAGE.headings.values() for field in fields]
    assert len(placed) == len(set(placed))
    assert set(placed) <= {flag.field for flag in FLAGS[name]}


def modules_after(*words):
    code = f"import sys; from calvinbench.harness import cli; cli.main({list(words)!r})"
    code += "; print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


def test_help_imports_no_verb_that_was_not_asked_for():
    verbs = {f"calvinbench.harness.verbs.{verb.target.partition(':')[0]}" for verb in VERBS.values()}
    heavy = {"torch", "pandas", "scipy", "pybullet", "matplotlib", "transformers"}
    assert not modules_after("--help") & (verbs | heavy | {"tyro"})
    assert modules_after("plan", "--help") & (verbs | heavy) == {"calvinbench.harness.verbs.results.plan"}
    assert not modules_after("train", "--help") & heavy


def test_without_a_word_the_help_is_shown_and_the_call_is_wrong(capsys):
    assert cli.main([]) == 2
    assert "calvinbench COMMAND --help" in capsys.readouterr().err


def test_the_version_names_package_commit_python_and_torch(capsys):
    assert cli.main(["--version"]) == 0
    ours, python, torch = capsys.readouterr().out.splitlines()
    assert re.match(r"calvinbench \d+\.\d+", ours)
    assert python == f"Python {sys.version.split()[0]}"
    assert re.match(r"torch (\d|not installed)", torch)


def test_a_shell_gets_its_completion(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["--tyro-print-completion", "bash"])
    assert not stop.value.code
    assert "install-calvin" in capsys.readouterr().out


# Wrong words


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (("rnu",), "'run'"),
        (("instal-calvin",), "'install-calvin'"),
        (("run", "--chain", "3"), "'--chains'"),
        (("run", "--max_step", "3"), "'--max-steps'"),
        (("train", "--lr", "1e-4"), "'--learning-rate'"),
        (("list", "task"), "'tasks'"),
        (("train", "--precision", "bf61"), "'bf16'"),
        (("record", "--form", "compcat"), "'compact'"),
        (("data", "chek", "."), "'check'"),
    ],
)
def test_what_is_misspelt_is_guessed(error, words, meant):
    said = error(*words)
    assert meant in said
    assert len(said.splitlines()) <= 3


@pytest.mark.parametrize(
    ("name", "known", "meant"),
    [
        ("lr", ["lora_r", "learning_rate", "log_every"], "learning_rate"),
        ("embeded", ["embedded", "A"], "embedded"),
        ("mode", ["model", "memory"], "model"),
        ("zzz", ["embedded", "A"], None),
        ("--max-step", ["--max-steps", "--max-epochs"], "--max-steps"),
    ],
)
def test_a_guess_is_of_initials_or_letters(name, known, meant):
    assert guess(name, known) == meant


@pytest.mark.parametrize(("name", "flag"), NUMBERS, ids=lambda each: getattr(each, "name", each))
@pytest.mark.parametrize("value", ["abc", "nan", "", "1e400"])
def test_a_number_that_is_none_is_named_with_its_flag(error, name, flag, value):
    wanted = "a whole number" if flag.kind is int else "a number"
    assert f"expected {flag.name} to be {wanted}, got '{value}'." in error(name, flag.name, value)


@pytest.mark.parametrize(("name", "flag"), NUMBERS, ids=lambda each: getattr(each, "name", each))
def test_a_whole_number_that_no_record_holds_is_refused(error, name, flag):
    if flag.kind is int:
        words = f"expected {flag.name} to be a whole number of at most {2**53}, got {2**53 + 1}."
        assert words in error(name, flag.name, str(2**53 + 1))


@pytest.mark.parametrize(("name", "flag"), VALUED, ids=lambda each: getattr(each, "name", each))
def test_an_empty_value_is_refused_because_a_shell_variable_may_be_unset(error, name, flag):
    if flag.kind not in (int, float) and not flag.choices:
        assert f"expected a value for {flag.name}, got an empty one. A shell variable" in error(name, f"{flag.name}=")
        assert f"expected a value for {flag.name}, got an empty one" in error(name, flag.name, "")


@pytest.mark.parametrize(("name", "flag"), VALUED, ids=lambda each: getattr(each, "name", each))
def test_a_flag_given_twice_is_refused_unless_it_is_meant_to_be(capsys, name, flag):
    words = [flag.name, value_of(flag), flag.name.replace("-", "_").replace("__", "--", 1) + "=" + value_of(flag)]
    if flag.is_repeatable:
        with pytest.raises(ValueError, match=r"^(?!.*twice)"):
            require_good_words([*words, "--no-such-flag"], FLAGS[name], name)
        return
    assert cli.main([name, *words]) == 2
    assert f"{flag.name} is given twice" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "flag"), VALUED, ids=lambda each: getattr(each, "name", each))
def test_a_flag_without_its_value_is_refused(error, name, flag):
    assert f"expected a value after {flag.name}" in error(name, flag.name)


def test_all_that_is_wrong_is_said_at_once(error):
    said = error("run", "--chain", "3", "--worlds", "abc", "--scene", "--json=1", "demo", "more")
    for words in ("'--chains'", "--worlds", "after --scene", "--json takes no value", "unexpected argument 'more'"):
        assert words in said


def test_what_is_missing_is_named_with_what_it_is(error):
    said = error("import", "robovlms")
    assert "expected FILE.pt, got none." in said
    assert "expected --config FILE.json, got none. The checkpoint's configuration." in said


def test_negative_numbers_and_equals_and_underscores_are_read(in_tmp, capsys):
    assert cli.main(["plan", "--difference=0.2", "--standard_deviation", "1.75", "--correlation", "-0.5"]) == 0
    assert "correlation of -0.50" in capsys.readouterr().out


@EACH_VERB
def test_an_unknown_flag_has_status_2_in_every_verb(error, name):
    assert f"All flags: calvinbench {name} --help" in error(name, "--no-such-flag", "x")


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("run", "nowhere.yaml"), 2),
        (("run", "--policy", "random", "--chains", "1", "--out", "file"), 1),
        (("run", "--policy", "random", "--instructions", "nowhere.yaml", "--chains", "1"), 2),
        (("record", "--episodes", "0"), 2),
        (("record", "--episodes", "1", "--validation-episodes", "0", "--out", "file"), 1),
        (("train", "nowhere.yaml"), 2),
        (("train", "cnnn"), 2),
        (("train", "cnn", "--data", "nowhere", "--out", "trained"), 2),
        (("import", "robovlms", "nowhere.pt", "--config", "nowhere.json"), 2),
        (("install-calvin", "file"), 1),
        (("report", "nowhere"), 2),
        (("view", "nowhere"), 2),
        (("compare", "nowhere"), 2),
        (("export", "nowhere"), 2),
        (("merge", "nowhere"), 2),
        (("plan", "--difference", "0.1", "--pilot", "nowhere"), 2),
        (("doctor", "--calvin", "--calvin-data", "nowhere"), 2),
        (("list", "nothing"), 2),
    ],
)
def test_a_call_that_cannot_be_done_is_told_in_a_sentence_with_its_status(in_tmp, capsys, words, status):
    (in_tmp / "file").write_text("")
    assert cli.main(words) == status
    said = capsys.readouterr()
    assert "calvinbench: " in said.err
    assert "Traceback" not in said.err
    assert "unexpected" not in said.err
    assert [file.name for file in in_tmp.iterdir()] == ["file"]


@pytest.mark.parametrize("verb", ["report", "view", "compare", "export", "merge"])
def test_a_folder_without_runs_is_an_error(in_tmp, error, verb):
    (in_tmp / "empty").mkdir()
    assert "found no" in (said := error(verb, "empty")) or "found none" in said


@pytest.fixture
def unfinished(run_fake, in_tmp):
    run = run_fake("solver", directory=in_tmp / "runs" / "solver")
    (run.directory / "chains.jsonl").write_text("")
    return in_tmp / "runs"


@pytest.mark.parametrize(
    "words", [("report", "runs"), ("export", "runs"), ("export", "runs", "--form", "calvin"), ("view", "runs")]
)
def test_a_run_without_a_finished_chain_has_dashes_and_no_nan(unfinished, in_tmp, capsys, monkeypatch, words):
    monkeypatch.setattr("webbrowser.open", lambda address: True)
    assert cli.main(words) == 0
    said = capsys.readouterr()
    assert not re.search(r"\bnan\b|\bNone\b", said.out + said.err)
    if words[0] == "report":
        assert re.search(r"\| solver † +\| - +\| - +\| - ", said.out)
    written = [file for file in in_tmp.rglob("*") if file.suffix in (".md", ".csv", ".tex", ".html", ".json")]
    texts = {file.name: file.read_text() for file in written if file.name != "run.json"}
    page = re.sub(r"<(script|style).*?</\1>|<svg.*?</svg>", "", texts.pop("index.html", ""), flags=re.S)
    assert not [name for name, text in texts.items() if re.search(r"\bnan\b", text, re.I)]
    assert not re.search(r"\bnan\b", page)


def test_one_run_is_not_compared(run_fake, in_tmp, error):
    run_fake("solver", directory=in_tmp / "runs" / "solver")
    assert "expected at least two runs to compare, got 1" in error("compare", "runs")


def test_an_error_that_nobody_foresaw_is_a_sentence(in_tmp, capsys, monkeypatch):
    monkeypatch.setattr(listing, "suite_lines", lambda: 1 / 0)
    monkeypatch.setitem(sys.modules["calvinbench.harness.verbs.list"]._LINES, "suites", listing.suite_lines)
    assert cli.main(["list", "suites"]) == 1
    said = capsys.readouterr().err
    assert "an unexpected ZeroDivisionError: division by zero" in said
    assert "Traceback" not in said


def test_remedy_the_debugging_variable_shows_the_traceback(in_tmp, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules["calvinbench.harness.verbs.list"]._LINES, "suites", lambda: 1 / 0)
    assert cli.main(["list", "suites"]) == 1
    name, value = re.search(r"Set (\w+)=(\d) and call it again", capsys.readouterr().err).groups()
    monkeypatch.setenv(name, value)
    with pytest.raises(ZeroDivisionError):
        cli.main(["list", "suites"])


def test_output_that_nobody_reads_on_is_no_error(in_tmp):
    command = f"{shlex.quote(sys.executable)} -m calvinbench.harness.cli list configurations | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stderr == ""


# Verbs


@pytest.mark.parametrize("difference", ["-1", "0", "5.1", "10"])
def test_remedy_of_a_difference_that_cannot_be(error, difference):
    said = error("plan", "--difference", difference)
    assert f"above 0 and at most 5, the length of a chain, got {difference}" in said
    follow(said)


def follow(said):
    """Does the call that a message gives as an example."""
    words = shlex.split(re.search(r"Such as: calvinbench (.*)", said)[1])
    assert cli.main(words) == 0


def test_remedy_of_a_plan_without_a_question(error):
    follow(error("plan"))


def test_remedy_of_a_plan_for_no_chain(error):
    said = error("plan", "--chains", "0")
    assert cli.main(["plan", *shlex.split(re.search(r"Such as: (.*)", said)[1])]) == 0


@pytest.mark.parametrize("words", [("--power", "0"), ("--power", "1"), ("--correlation", "1"), ("--correlation", "-2")])
def test_a_plan_within_bounds_alone(error, words):
    assert f"got {float(words[1])}" in error("plan", "--difference", "0.2", *words)


def test_a_plan_beyond_the_published_chains_says_what_they_can_find(capsys):
    assert cli.main(["plan", "--difference", "0.01"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("240372 chains")
    assert "more than the 1000 published chains" in said
    assert "All 1000 detect 0.16 or more" in said  # sqrt(2 * 1.75^2 * 0.5 / 1000) * 2.80
    assert cli.main(["plan", "--difference", "0.2"]) == 0
    assert "published" not in capsys.readouterr().out
    assert cli.main(["plan", "--difference", "0.01", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["chains"] == 240372
    assert found["detectable_with_published"] == pytest.approx(0.155, abs=0.001)


def test_remedy_of_a_pilot_that_solved_nothing(run_fake, in_tmp, error, capsys):
    for name in ("a", "b"):
        run_fake("idle", directory=in_tmp / "runs" / name)
    said = error("plan", "--difference", "0.2", "--pilot", "runs/a", "runs/b")
    assert re.search(r"in 'runs/a' all \d chains completed 0 subtasks", said)
    assert "nan" not in said
    flags = re.search(r"leave --pilot out, and give (\S+) and (\S+), or neither", said).groups()
    assert cli.main(["plan", "--difference", "0.2", flags[0], "1.75", flags[1], "0.5"]) == 0
    assert cli.main(["plan", "--difference", "0.2"]) == 0


def test_remedy_of_a_pilot_without_a_finished_chain(unfinished, error):
    said = error("plan", "--difference", "0.2", "--pilot", "runs", "runs/solver")
    assert "expected two runs as the pilot, got 1" in said


@pytest.mark.parametrize("kind", ["policies", "suites", "configurations", "published"])
def test_a_list_says_what_each_name_is_and_its_json_keeps_the_names(capsys, kind):
    assert cli.main(["list", kind]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert cli.main(["list", kind, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found["descriptions"]) == found[kind]
    for name, line in zip(found[kind], lines, strict=True):
        assert line.startswith(f"{name}  ")
        assert line.endswith(found["descriptions"][name])
        assert found["descriptions"][name]


def test_a_list_says_what_suites_and_trainings_cost():
    suites, trainings = listing.suite_lines(), listing.configuration_lines()
    assert suites["demo"] == "4 runs of 15 chains, scene embedded, about 3 minutes"  # 60 chains x 5 s, 2 worlds
    assert suites["baselines"] == "3 runs of 100 chains, scene embedded, about 13 minutes"  # 300 chains x 5 s, 2 worlds
    assert "history" not in suites  # a suite of the study, which does not ship
    assert "2.2M parameters" in trainings["cnn"]
    assert trainings["cnn"].endswith("94 minutes on two cores")
    assert all("GPUs" in line or "two cores" in line for line in trainings.values())


def test_remedy_of_a_split_whose_rows_are_all_second_hand(run_fake, in_tmp, error, capsys):
    run = run_fake("solver", directory=in_tmp / "runs" / "solver")
    file = run.directory / "run.json"
    file.write_text(file.read_text().replace('"scene": "fake"', '"scene": "D"'))
    call = ("report", "runs", "--published", "unclear (probably D->D)")
    said = error(*call)
    assert not (in_tmp / "runs" / "report").exists()
    assert "found none. There are 4 second-hand rows" in said
    assert cli.main([*call, re.search(r"add (--\S+)", said)[1]]) == 0
    assert "second-hand)" in capsys.readouterr().out


def test_remedy_rows_that_are_not_shown_are_told_and_shown_if_wanted(run_fake, in_tmp, capsys):
    run = run_fake("solver", directory=in_tmp / "runs" / "solver")
    file = run.directory / "run.json"
    file.write_text(file.read_text().replace('"scene": "fake"', '"scene": "D"'))
    call = ["report", "runs", "--published", "D->D"]
    assert cli.main(call) == 0
    said = capsys.readouterr()
    assert "FLOWER ‡" in said.out
    assert "HiMoE-VLA" not in said.out
    number, flag = re.search(r"Not shown: (\d+) second-hand rows of D->D. Add (--\S+)", said.err).groups()
    assert cli.main([*call, flag]) == 0
    said = capsys.readouterr()
    assert said.out.count("(second-hand)") == int(number)
    assert "Not shown" not in said.err


def test_remedy_of_second_hand_alone(run_fake, in_tmp, error, capsys):
    run = run_fake("solver", directory=in_tmp / "runs" / "solver")
    file = run.directory / "run.json"
    file.write_text(file.read_text().replace('"scene": "fake"', '"scene": "D"'))
    said = error("report", "runs", "--second-hand")
    flag = re.search(r"without (--\S+) SPLIT", said)[1]
    assert cli.main(["report", "runs", "--second-hand", flag, "D->D"]) == 0


@pytest.mark.parametrize("verb", ["report", "view", "compare", "export"])
def test_remedy_of_a_call_without_folders(run_fake, in_tmp, error, monkeypatch, verb):
    monkeypatch.setattr("webbrowser.open", lambda address: True)
    for policy in ("solver", "idle"):
        run_fake(policy, directory=in_tmp / "runs" / policy)
    follow(error(verb))


def test_remedy_of_a_merge_without_shards(in_tmp, error):
    said = error("merge", "runs")
    flag = re.search(r"run (--\S+) i/n", said)[1]
    for part in ("1/2", "2/2"):
        assert cli.main(["run", "--policy", "random", "--chains", "2", "--max-steps", "1", flag, part]) == 0
    assert cli.main(["merge", "runs"]) == 0


def test_remedy_of_a_flag_given_twice(error, capsys):
    said = error("plan", "--difference", "0.2", "--difference", "0.3")
    assert "Leave one out." in said
    assert cli.main(["plan", "--difference", "0.3"]) == 0
    capsys.readouterr()
    said = error("run", "--policy", "nobody", "--tasks", "open_drawer", "--tasks", "close_drawer")
    assert "Give all its values after one of them." in said
    assert "Unknown policy kind" in error("run", "--policy", "nobody", "--tasks", "open_drawer", "close_drawer")


def test_remedy_of_a_wrong_flag_is_a_help_that_lists_all(error, capsys):
    said = error("run", "--chain", "2")
    assert cli.main(shlex.split(re.search(r"All flags: calvinbench (.*)", said)[1])) == 0
    assert "--chains N" in capsys.readouterr().out


def test_remedy_of_both_ways_to_look_at_calvin(in_tmp, error):
    assert "Call doctor once for each" in error("doctor", "--calvin", "--calvin-data", "nowhere")
    assert "nowhere" in error("doctor", "--calvin-data", "nowhere")


def test_remedy_of_runs_of_tasks_for_calvins_file(in_tmp, error, capsys):
    words = ("--policy", "random", "--tasks", "open_drawer", "--chains", "1", "--max-steps", "1")
    assert cli.main(["run", *words]) == 0
    capsys.readouterr()
    form = re.search(r"Take (\w+)\.", error("export", "runs", "--form", "calvin"))[1]
    assert cli.main(["export", "runs", "--form", form]) == 0


def test_a_terminals_table_breaks_no_word(run_fake, in_tmp):
    runs = []
    for policy in ("solver", "idle"):
        run = run_fake(policy, directory=in_tmp / policy)
        label = f"{policy} (2.2M, shipped), remembers_nothing"
        runs.append(replace(run, description=replace(run.description, label=label)))
    for width in (40, 80, 120):
        output = io.StringIO()
        tables.show(TableInput.of(runs), Console(file=output, force_terminal=True, width=width))
        table = re.sub(r"\x1b\[[0-9;]*m", "", output.getvalue()).partition("Official:")[0]
        for word in ("solver,", "idle,", "remembers_nothing", "Method", "Avg.", "Len."):
            assert word in table.split(), (word, table)
