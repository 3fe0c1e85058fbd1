"""What others printed is shown apart, marked, and only below runs with which it can be held together."""

import json
import re
from dataclasses import replace

import pytest

from calvinbench.envs.names import UnknownNameError
from calvinbench.harness import cli
from calvinbench.harness.analysis.comparable import RunsDifferError
from calvinbench.harness.report import tables
from calvinbench.harness.report.published_results import published_results, published_splits
from calvinbench.harness.report.report import write_report
from calvinbench.harness.report.table_input import TableInput
from calvinbench.harness.report.tables import TableStyle


@pytest.fixture
def runs(run_fake, tmp_path):
    return [run_fake(policy, directory=tmp_path / policy) for policy in ("solver", "idle")]


def test_robovlms_best_is_there_as_it_printed_it():
    (found,) = [result for result in published_results("ABC->D") if result.model == "RoboVLMs KosMos P.H."]
    assert found.average_length == 4.25
    assert found.source.startswith("arXiv:2412.14058")
    assert not found.is_second_hand


@pytest.mark.parametrize(
    ("model", "split", "rates", "average"),
    [
        ("MMaDA-VLA", "ABC->D", (0.998, 0.986, 0.963, 0.935, 0.897), 4.78),
        ("Xiaomi-Robotics-0", "ABC->D", (None,) * 5, 4.75),
        ("Xiaomi-Robotics-0", "ABCD->D", (None,) * 5, 4.80),
        ("pi0.5 + RL (RLinf, Flow SDE)", "ABC->D", (0.997, 0.982, 0.958, 0.91, 0.87), 4.717),
        ("FLOWER", "D->D", (0.984, 0.94, 0.879, 0.817, 0.741), 4.36),
    ],
)
def test_rows_of_2026_are_as_their_sources_print_them_with_where_and_when(model, split, rates, average):
    (found,) = [result for result in published_results(split) if result.model == model]
    assert (found.success, found.average_length) == (rates, average)
    assert re.search(r" at [0-9a-f]{7}$", found.source)
    assert "read 2026-11-30" in found.note
    assert max(result.average_length for result in published_results("ABCD->D")) == 4.80
    assert max(result.average_length for result in published_results("D->D")) == 4.36


def test_flower_on_abcd_is_left_out_because_its_rates_do_not_sum_to_its_average():
    assert sum((0.991, 0.978, 0.952, 0.924, 0.878)) == pytest.approx(4.723)  # printed beside 4.67
    assert not [result for result in published_results("ABCD->D", second_hand=True) if result.model == "FLOWER"]


def markdown(data):
    """The table with its caption and all notes."""
    return tables.of_input(data).markdown(has_long_notes=True)


def test_another_number_of_steps_is_said_in_the_row_and_below_the_table(runs):
    others = {r.model: r.max_steps for r in published_results("ABC->D", second_hand=True) if r.max_steps is not None}
    assert others == {"pi0.5 + RL (RLinf, Flow SDE)": 480, "X-VLA (vla-eval reproduction)": 720}
    text = markdown(TableInput.of(runs, published_results("ABC->D")))
    assert "pi0.5 + RL (RLinf, Flow SDE), 480 steps ‡" in text
    assert "a number of steps per subtask other than CALVIN's 360: pi0.5 + RL (RLinf, Flow SDE) (480)." in text
    assert "than CALVIN's 360" not in markdown(TableInput.of(runs, published_results("ABCD->D")))


@pytest.mark.parametrize("split", published_splits())
def test_rates_sum_to_the_average_length_and_never_rise(split):
    found = published_results(split, second_hand=True)
    assert [result.average_length for result in found] == sorted((r.average_length for r in found), reverse=True)
    for result in found:
        if None not in result.success:
            # One row has its average length with one digit behind the point, all others with two or three.
            rounding = 0.05 if result.model == "Anchor-Align VLA" else 0.016
            assert sum(result.success) == pytest.approx(result.average_length, abs=rounding), result
            assert list(result.success) == sorted(result.success, reverse=True), result


def test_all_rows_are_there_whose_rates_sum_to_what_is_printed():
    """97 were gathered, and 3 since; of 4 the rates and the average length contradict each other."""
    found = [result for split in published_splits() for result in published_results(split, second_hand=True)]
    assert len(found) == 96
    models = {result.model for result in found}
    assert "Anchor-Align VLA" in models
    assert not models & {"VITA", "FLOWER-VLA (from FLOWER-VLA-EDAR)", "pi0 (reproduced) (from Qwen2.5VL-7B (VLM4VLA))"}


def test_the_splits_that_can_be_asked_for_are_listed(capsys):
    assert cli.main(["list", "published"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [re.split(" {2,}", line)[0] for line in lines] == list(published_splits())
    assert cli.main(["list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["published"] == list(published_splits())


def test_second_hand_rows_are_hidden_unless_asked_for():
    first_hand, all_of_them = published_results("ABC->D"), published_results("ABC->D", second_hand=True)
    assert {result.verified for result in first_hand} <= {"primary", "transcribed"}
    assert set(first_hand) < set(all_of_them)
    with pytest.raises(UnknownNameError, match=r"Did you mean 'ABC->D'"):
        published_results("ABC-D")


def test_published_rows_stand_below_the_runs_marked_and_with_their_source(runs):
    published = published_results("ABC->D", second_hand=True)
    text = markdown(TableInput.of(runs, published))
    rows = [line for line in text.splitlines() if line.startswith("|")][2:]
    assert len(rows) == len(runs) + len(published)
    assert all("‡" not in row for row in rows[: len(runs)])
    assert all("‡" in row and "**" not in row for row in rows[len(runs) :])
    assert "RoboVLMs KosMos P.H. ‡" in rows[len(runs) + [r.model for r in published].index("RoboVLMs KosMos P.H.")]
    assert sum("‡ (second-hand)" in row for row in rows) == sum(result.is_second_hand for result in published)
    assert "published results, not run here: as printed by" in text
    assert "arXiv:2412.14058" in text
    assert "not official and not directly comparable with them" in text
    assert markdown(TableInput.of(runs)) == markdown(TableInput.of(runs, ()))


def test_published_rows_stand_below_a_rule_in_latex(runs):
    shown = tables.of_input(TableInput.of(runs, published_results("ABC->D")), TableStyle(intervals="none"))
    lines = shown.latex().splitlines()
    rules = [number for number, line in enumerate(lines) if line == "\\midrule"]
    assert len(rules) == 2
    assert rules[1] - rules[0] == len(runs) + 1
    assert "$^{\\ddagger}$" in lines[rules[1] + 1]


def test_below_runs_of_another_scene_or_of_single_tasks_they_are_refused(runs, tmp_path):
    published = published_results("ABC->D")
    folders = [run.directory for run in runs]
    with pytest.raises(RunsDifferError, match="of scene fake: they are not comparable"):
        write_report(folders, tmp_path / "report", published=published)
    assert not (tmp_path / "report").exists()
    on_d = [replace(run, description=replace(run.description, scene="D", tasks=("open_drawer",))) for run in runs]
    for run in on_d:
        (run.directory / "run.json").write_text(json.dumps(run.description.to_json()))
    with pytest.raises(RunsDifferError, match="of single tasks"):
        write_report(folders, tmp_path / "report", published=published)


def test_the_report_of_runs_on_scene_d_has_them(runs, tmp_path, capsys):

    for run in runs:
        description = replace(run.description, scene="D").to_json()
        (run.directory / "run.json").write_text(json.dumps(description))
    folders = [str(run.directory) for run in runs]
    assert cli.main(["report", *folders, "--out", str(tmp_path / "report"), "--published", "ABCD->D"]) == 0
    assert "RoboVLMs KosMos P.H. ‡" in capsys.readouterr().out
    assert "RoboVLMs KosMos P.H. ‡" in (tmp_path / "report" / "table.md").read_text()
    assert "ddagger" in (tmp_path / "report" / "table.tex").read_text()
    assert "RoboVLMs" not in (tmp_path / "report" / "table.csv").read_text()
    assert cli.main(["report", *folders, "--second-hand"]) == 2
    assert "--published SPLIT" in capsys.readouterr().err
