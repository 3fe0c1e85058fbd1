import io
import re
import shutil
import subprocess
import warnings
from dataclasses import replace

import pandas as pd
import pytest
from rich.console import Console

from calvinbench.harness.analysis import statistics
from calvinbench.harness.analysis.comparison import compare
from calvinbench.harness.records.description import Official
from calvinbench.harness.report import tables
from calvinbench.harness.report.best_cells import best_cells
from calvinbench.harness.report.published_results import published_results
from calvinbench.harness.report.table_input import TableInput
from calvinbench.harness.report.table_notes import notes


@pytest.fixture
def runs(run_fake, tmp_path):
    return [run_fake(policy, directory=tmp_path / policy) for policy in ("solver", "idle", "raises")]


def markdown(data):
    """The table with its caption and all notes."""
    return tables.of_input(data).markdown(has_long_notes=True)


def latex_of(data):
    return tables.of_input(data).latex()


def renamed(run, **changes):
    return replace(run, description=replace(run.description, **changes))


def test_numbers_can_be_checked_by_hand(runs):
    table = tables.number_table(TableInput.of(runs))
    solver = table.iloc[0]
    assert [round(solver[str(k)] * 6) for k in range(1, 6)] == [5, 4, 4, 2, 2]
    assert solver["Avg. Len."] == pytest.approx(17 / 6)
    assert (solver["n"], solver["errors"], solver["steps"]) == (6, 0, 10)
    assert table.iloc[2]["errors"] == 3


def test_privileged_policies_are_marked_and_never_the_best(runs):
    grid, best = tables.of_input(TableInput.of(runs)).grid, best_cells(TableInput.of(runs))
    assert [cell.text for cell in grid.columns[0].cells] == ["solver solver †", "idle", "solver raises †"]
    assert not best.to_numpy().any()


def test_the_best_of_the_others_is_bold(runs):
    fair = [renamed(run, privileged=False, label=name) for run, name in zip(runs, ("a", "b", "c"), strict=True)]
    text = markdown(TableInput.of(fair))
    assert "| **83.3 [35.9, 99.6]** |" in re.sub(" +", " ", text)
    # The third has errors, and no verdict is given of it.
    assert best_cells(TableInput.of(fair))["5"].tolist() == [True, False, False]


@pytest.mark.parametrize("policy", ["random", "untrained:kosmos2,seed=1"])
def test_a_random_or_untrained_policy_is_never_the_best(runs, policy):
    trained, idle = (renamed(run, privileged=False, label=name) for run, name in zip(runs[:2], "ab", strict=True))
    untrained = renamed(idle, policy=policy, label="c")
    assert best_cells(TableInput.of([untrained, trained]))["5"].tolist() == [False, True]
    lucky = renamed(trained, policy=policy, label="c")
    assert not best_cells(TableInput.of([lucky, idle])).to_numpy().any()
    assert best_cells(TableInput.of([lucky, trained]))["5"].tolist() == [False, True]


def test_an_incomplete_run_is_not_the_best(runs):
    fair = [renamed(run, privileged=False, label=name) for run, name in zip(runs[:2], "ab", strict=True)]
    lucky = replace(renamed(runs[0], privileged=False, label="c"), records=runs[0].records[:1])
    assert lucky.completed.tolist() == [5]
    assert best_cells(TableInput.of([*fair, lucky]))["Avg. Len."].tolist() == [True, False, False]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of an empty run no mean is asked for
        assert best_cells(TableInput.of([*fair, replace(lucky, records=())]))["Avg. Len."].tolist() == [
            True,
            False,
            False,
        ]


def test_nothing_is_bold_where_there_is_one_policy(runs):
    assert "**" not in markdown(TableInput.of([renamed(runs[0], privileged=False)]))


def test_the_notes_say_protocol_errors_untrained_and_incomplete(runs):
    some = [runs[2], renamed(runs[1], policy="untrained:kosmos2", label="kosmos2 (untrained)", chains=9)]
    said = "\n".join(notes(TableInput.of(some)))
    assert "Official: no, because the scene is fake, not D; 6 chains, not the published 1000" in said
    assert "10 steps per subtask, scene fake, instruction set calvinbench" in said
    assert "3 of 6 chains of solver † errored (more than 1%)" in said
    assert "untrained, with random weights: kosmos2 (untrained)" in said
    assert "kosmos2 (untrained) is not complete: 6 of 9 chains" in said


def test_the_notes_name_who_uses_the_robots_state(runs):
    seeing = renamed(runs[1], label="a", observation_keys=("rgb_static",))
    told = renamed(runs[1], label="b", observation_keys=("rgb_static", "robot_obs"))
    said = "Uses proprioception (the robot's state): b"
    assert f"{said}; the others that see images do not." in notes(TableInput.of([seeing, told]))
    assert f"{said}." in notes(TableInput.of([runs[1], told]))
    assert "No policy that sees images uses proprioception (the robot's state)." in notes(TableInput.of([seeing]))
    assert "proprioception" not in "\n".join(notes(TableInput.of([runs[1]])))  # it reads nothing


def test_the_notes_say_allowed_of_policies_that_are_given_the_robots_state_and_do_not_say_that_they_use_it(runs):
    seeing = renamed(runs[1], label="a", observation_keys=("rgb_static",))
    using = renamed(runs[1], label="b", observation_keys=("rgb_static", "robot_obs"))
    maybe = renamed(runs[1], label="c", observation_keys=("rgb_static", "robot_obs"), may_read=("robot_obs",))
    given = (
        "It is in their observations; it is not known whether they use it. ',proprioception=false' in the policy spec "
        "removes it."
    )
    assert f"Allowed to use proprioception (the robot's state): c. {given}" in notes(TableInput.of([maybe]))
    said = f"Allowed to use proprioception (the robot's state): c; the others that see images do not. {given}"
    assert said in notes(TableInput.of([seeing, maybe]))
    assert not [line for line in notes(TableInput.of([seeing, maybe])) if line.startswith(("Uses prop", "No policy"))]
    of_three = notes(TableInput.of([seeing, using, maybe]))
    assert "Uses proprioception (the robot's state): b." in of_three
    assert said in of_three


def test_the_notes_name_small_policies_that_were_trained_from_scratch(runs):
    sizes = {
        "cnn (2.2M, shipped with calvinbench)": True,
        "paligemma (299.9M, trained here), blind": True,
        "kosmos2 (1.7B, trained here)": False,
        "big (300.0M, trained here)": False,
        "minilm-effnet (30.8M, pretrained VLM, trained here)": False,
        "kosmos2 (1.7M, untrained)": False,
        "mine:Model": False,
    }
    small = ", ".join(label for label, is_small in sizes.items() if is_small)
    said = notes(TableInput.of([renamed(runs[1], label=label) for label in sizes]))
    assert f"Small policies, trained from scratch: {small}. Their results say nothing about full-size VLMs." in said
    assert "Small policies" not in "\n".join(notes(TableInput.of([renamed(runs[1], label="mine:Model")])))


def test_figures_of_the_embedded_scene_are_said_not_to_be_calvins(runs):
    """The scene of these runs is another."""
    ours = [replace(run, description=replace(run.description, scene="embedded")) for run in runs]
    assert "not comparable with published ones" in "\n".join(notes(TableInput.of(ours)))
    assert "not comparable" not in "\n".join(notes(TableInput.of(runs)))


def test_latex_is_booktabs_and_escapes_what_latex_would_take_for_itself(runs):
    odd = renamed(runs[0], label=r"50%_of #1 & {x} ~ $5 \alpha^2", train="A_B")
    latex = latex_of(TableInput.of([odd, renamed(runs[1], label="idle")]))
    latex += tables.table([odd], columns="train").latex()
    assert r"\toprule" in latex
    assert r"\bottomrule" in latex
    assert r"50\%\_of \#1 \& \{x\}" in latex
    assert "$^{\\dagger}$" in latex
    assert r"A\_B" in latex


def test_a_label_in_brackets_is_not_taken_for_an_argument(runs):
    assert "{[}ours] x &" in latex_of(TableInput.of([renamed(runs[1], label="[ours] x")]))


def has_booktabs():
    """Debian's smallest LaTeX has pdflatex, and not the package that the table needs."""
    if shutil.which("pdflatex") is None or shutil.which("kpsewhich") is None:
        return False
    found = subprocess.run(["kpsewhich", "booktabs.sty"], capture_output=True, text=True, check=False)
    return bool(found.stdout.strip())


@pytest.mark.skipif(not has_booktabs(), reason="pdflatex with booktabs is not installed")
def test_all_that_may_stand_below_a_table_compiles(runs, tmp_path):
    untrained = {"policy": "untrained:x", "label": r"b_50% \~^|`<>'\"{}$&#", "privileged": False}
    odd = [
        many(runs[0], label="a", privileged=False),
        many(runs[1], **untrained, unlike_training=("scene: 3_a -> 4%",)),
    ]
    seeds = [renamed(run, training_seed=place, training_recipe="r", label="c") for place, run in enumerate(odd)]
    rows = published_results("ABCD->D", second_hand=True)
    assert any("\u2192" in row.model for row in rows)
    for some in (odd, [odd[0], odd[0]], seeds):
        assert compiles(latex_of(TableInput.of(some, rows, compare(some))), tmp_path)


def compiles(table, folder):
    document = "\\documentclass{article}\\usepackage{booktabs}\\begin{document}" + table + "\\end{document}"
    (folder / "t.tex").write_text(document)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    return subprocess.run(command, cwd=folder, check=False, capture_output=True).returncode == 0


def test_programs_are_told_whether_a_run_is_official(runs):
    assert (
        tables.number_table(TableInput.of(runs))["official"]
        .str.startswith("no, because the scene is fake, not D")
        .all()
    )
    official = renamed(runs[0], official=Official(official=True))
    assert tables.number_table(TableInput.of([official]))["official"].tolist() == ["yes"]


def test_the_same_records_give_the_same_table(runs):
    pd.testing.assert_frame_equal(tables.number_table(TableInput.of(runs)), tables.number_table(TableInput.of(runs)))


def test_tasks_are_counted_by_run(runs):
    table = tables.task_table(TableInput.of(runs[:1])).set_index("task")
    assert (table.loc["open_drawer", "solved"], table.loc["open_drawer", "reached"]) == (4, 4)
    assert (table.loc["stack_block", "solved"], table.loc["stack_block", "reached"]) == (0, 2)


def test_programs_get_exact_intervals_and_those_over_initial_states_too(runs):
    big = many(runs[0], 60)
    big = replace(big, records=tuple(replace(one, initial_state={"number": 0}) for one in big.records))
    row = tables.number_table(TableInput.of([big])).iloc[0]
    exact = statistics.clopper_pearson(int((big.completed >= 2).sum()), 360)
    assert (row["2_exact_low"], row["2_exact_high"]) == (exact.low, exact.high)
    assert row["2_exact_low"] < row["2_low"] < row["2"] < row["2_high"] < row["2_exact_high"]
    # All chains begin alike, and one initial state tells nothing of others.
    assert (row["Avg. Len._clustered_low"], row["Avg. Len._clustered_high"]) == (0, 5)


def test_exact_intervals_can_be_asked_for_in_every_form(runs):
    big = many(runs[0], 60)
    exact = statistics.clopper_pearson(int((big.completed >= 2).sum()), 360)
    cell = f"[{100 * exact.low:.1f}, {100 * exact.high:.1f}]"
    assert cell not in markdown(TableInput.of([big]))
    exactly = TableInput.of([big], intervals="exact")
    for text in (markdown(exactly), latex_of(exactly)):
        assert cell in text
        assert "rates: Clopper-Pearson (exact)" in text
    assert "rates: Wilson" in markdown(TableInput.of([big]))
    assert tables.number_table(exactly).iloc[0]["2_low"] == exact.low
    output = io.StringIO()
    tables.show(exactly, Console(file=output, force_terminal=True, color_system=None, width=200))
    assert cell in output.getvalue()
    assert set(tables.task_table(exactly)["method"]) == {"clopper-pearson"}
    assert set(tables.conditional_table(exactly)["method"]) == {"clopper-pearson"}


def test_the_notes_have_average_lengths_over_initial_states(runs):
    big = many(runs[0], 60)
    row = tables.number_table(TableInput.of([big])).iloc[0]
    said = "\n".join(notes(TableInput.of([big])))
    assert "The chains begin in 60 initial states" in said
    interval = f"{row['Avg. Len._clustered_low']:.2f}, {row['Avg. Len._clustered_high']:.2f}"
    assert f"over initial states: solver \u2020 [{interval}]." in said
    assert "initial states" not in "\n".join(notes(TableInput.of([replace(runs[0], records=())])))


def test_what_is_so_of_all_of_many_runs_is_said_once(runs):
    keys = ("rgb_static", "robot_obs")
    some = [
        renamed(many(runs[1], 60), label=f"{name} (2.0M, trained here)", observation_keys=keys, policy="random")
        for name in ("cnn", "llava", "uform", "flamingo")
    ]
    said = "\n".join(notes(TableInput.of(some)))
    assert "Uses proprioception (the robot's state): all policies that see images." in said
    assert "Small policies, trained from scratch: all runs. Their results say nothing about full-size VLMs." in said
    assert "the 95% intervals of average lengths end at most 0.00 away from those in the table" in said
    assert "llava" not in said
    more = "\n".join(notes(TableInput.of([*some, renamed(many(runs[1], 60), label="mine:Model")])))
    assert "Small policies, trained from scratch: all runs but mine:Model. Their results" in more
    blind = renamed(many(runs[1], 60), label="moondream", observation_keys=("rgb_static",))
    all_but_one = "\n".join(notes(TableInput.of([*some, blind])))
    assert "Uses proprioception (the robot's state): all policies that see images but moondream." in all_but_one
    three = "\n".join(notes(TableInput.of(some[:3])))
    assert all(three.count(f"{name} (2.0M, trained here)") == 3 for name in ("cnn", "llava", "uform"))


def test_intervals_over_states_that_differ_are_listed_however_many_runs_there_are(runs):
    """Chains of one initial state that end alike are worth one draw, and their interval is wider."""
    states = [runs[0].records[0].initial_state, runs[0].records[1].initial_state]
    records = tuple(
        replace(runs[0].records[number % 2], chain=number, completed=5 * (number % 2), initial_state=states[number % 2])
        for number in range(6)
    )
    clumped = [renamed(replace(runs[0], records=records), label=name) for name in "abcd"]
    said = "\n".join(notes(TableInput.of(clumped)))
    assert "95% intervals of average lengths, bootstrapped over initial states: a \u2020 [0.00, 5.00]; b" in said


# --- what was found out stands in the table ---------------------------------------------------------------------------


def many(run, times=20, **changes):
    """The run's records again and again, as chains of their own, each time from another initial state."""
    count = len(run.records)
    records = [
        replace(record, chain=record.chain + count * turn, initial_state={"number": turn})
        for turn in range(times)
        for record in run.records
    ]
    return replace(renamed(run, chains=count * times, **changes), records=tuple(records))


def test_what_is_not_told_from_the_best_is_marked(runs):
    best, idle = many(runs[0], label="best", privileged=False), many(runs[1], label="idle")
    twin = many(runs[0], label="twin", privileged=False)
    almost = replace(twin, records=(*twin.records[:-1], replace(twin.records[-1], completed=0)))
    fair = [best, idle, almost]
    comparison = compare(fair)
    assert comparison.best == ("best", "twin")
    lines = markdown(TableInput.of(fair, comparison=comparison)).splitlines()
    cells = [line.split(" | ")[7].strip().partition(" [")[0] for line in lines[2:5]]
    assert cells == [f"**{best.completed.mean():.2f}", "0.00", f"{almost.completed.mean():.2f} \u2248"]
    assert "\u2248 not significantly different from the best of its column" in "\n".join(lines)
    assert (
        latex_of(TableInput.of(fair, comparison=comparison)).count(f"{almost.completed.mean():.2f} $\\approx$ [") == 1
    )
    # So are the rates at each number of subtasks, where the idle policy is told apart.
    for k in range(1, 6):
        best_cell, idle_cell, twin_cell = (line.split(" | ")[k + 1] for line in lines[2:5])
        assert best_cell.startswith("**")
        assert "\u2248" not in idle_cell
        assert twin_cell.strip().startswith("**") or "\u2248 [" in twin_cell
    assert "\u2248 [" in lines[4].split(" | ")[2]
    assert "\u2248" not in markdown(TableInput.of(fair))


def test_success_by_position_is_of_those_that_got_there(runs):
    table = tables.conditional_table(TableInput.of(runs[:1]))
    completed = [record.completed for record in runs[0].records]
    assert table["reached"].tolist() == [sum(done >= k for done in completed) for k in range(5)]
    assert table["solved"].tolist() == [sum(done >= k for done in completed) for k in range(1, 6)]
    assert (table["rate"].dropna() == (table["solved"] / table["reached"]).dropna()).all()


def test_first_failures_are_counted_by_task_and_position(runs):
    table = tables.first_failure_table(TableInput.of(runs))
    unsolved = [record for run in runs for record in run.records if record.outcome != "solved"]
    assert table["chains"].sum() == len(unsolved)
    last = unsolved[0].subtasks[-1]
    row = table[(table["task"] == last.task) & (table["position"] == len(unsolved[0].subtasks))]
    assert len(row) >= 1
    assert tables.first_failure_table(TableInput.of([replace(runs[0], records=())])).empty


# --- tasks run alone --------------------------------------------------------------------------------------------------


@pytest.fixture
def run_tasks(run_fake, tmp_path):
    """Runs each of some tasks alone: `run_tasks("solver", tasks)`; the solver is made a policy like others."""

    def run(policy, tasks, label=None, **changes):
        made = run_fake(policy, directory=tmp_path / "alone" / (label or policy), tasks=tasks, chains=2)
        return renamed(made, privileged=False, label=label or policy, **changes)

    return run


EIGHT = (
    *("open_drawer", "close_drawer", "move_slider_left", "move_slider_right"),
    *("turn_on_lightbulb", "turn_off_lightbulb", "turn_on_led", "turn_off_led"),
)


def cells_of(text):
    rows = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in text.splitlines() if "|" in line]
    return {row[0]: row[1:] for row in rows}


def test_many_tasks_stand_in_rows_and_policies_in_columns(run_tasks):
    runs = [run_tasks("solver", EIGHT), run_tasks("idle", EIGHT)]
    cells = cells_of(markdown(TableInput.of(runs)))
    assert cells["Method"] == ["solver", "idle"]
    assert list(cells)[2:] == ["Train", *EIGHT, "all", "n", "errors", "steps"]
    assert cells["turn_on_led"] == ["100.0 [15.8, 100.0]", "0.0 [0.0, 84.2]"]
    assert cells["n"] == ["16", "16"]
    latex = latex_of(TableInput.of(runs))
    assert "\\begin{tabular}{lcc}" in latex
    assert "turn\\_on\\_led & 100.0" in latex
    output = io.StringIO()
    tables.show(TableInput.of(runs), Console(file=output, force_terminal=True, color_system=None, width=80))
    assert max(map(len, output.getvalue().splitlines())) <= 80
    assert "turn_on_led" in output.getvalue().split()


@pytest.mark.skipif(not has_booktabs(), reason="pdflatex with booktabs is not installed")
def test_a_table_of_many_tasks_compiles(run_tasks, tmp_path):
    runs = [run_tasks("solver", EIGHT), run_tasks("idle", EIGHT, label="b_%")]
    assert compiles(latex_of(TableInput.of(runs, comparison=compare(runs))), tmp_path)


def test_few_tasks_stand_in_columns(run_tasks):
    runs = [run_tasks("solver", EIGHT[:3]), run_tasks("idle", EIGHT[:3])]
    assert list(tables.layout_of(TableInput.of(runs)).cells.columns[:5]) == ["Method", "Train", *EIGHT[:3]]


@pytest.mark.parametrize("tasks", [EIGHT[:3], EIGHT])
def test_over_all_tasks_the_best_is_bold_and_what_is_not_told_from_it_marked(run_tasks, tasks):
    best, twin, idle = run_tasks("solver", tasks), run_tasks("solver", tasks, "twin"), run_tasks("idle", tasks)
    almost = replace(twin, records=(*twin.records[:-1], replace(twin.records[-1], completed=0)))
    runs = [replace(run, records=many(run, 20).records) for run in (best, idle)]
    runs.insert(1, replace(almost, records=many(almost, 2).records + many(best, 20).records[2 * len(best.records) :]))
    runs = [renamed(run, chains=len(run.records)) for run in runs]
    comparison = compare(runs)
    assert comparison.best == ("solver", "twin")
    text = markdown(TableInput.of(runs, comparison=comparison))
    layout = tables.layout_of(TableInput.of(runs, comparison=comparison))
    bold = layout.cells.to_numpy()[layout.is_best.to_numpy()].tolist()
    assert [cell.partition(" [")[0] for cell in bold] == ["100.0"]
    assert f"**{bold[0]}**" in text
    assert [line.count(" \u2248 [") for line in text.splitlines() if "\u2248 [" in line] == [1]
    assert "\u2248 not significantly different from the best in success over all tasks: sign-flip test" in text
