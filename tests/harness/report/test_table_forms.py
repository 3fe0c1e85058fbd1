"""A table in all of its forms: columns, order, intervals, marks, and how it fits paper and terminal."""

import csv
import io
import re
import shutil
import subprocess

import numpy as np
import pytest

from calvinbench.envs.names import UnknownNameError
from calvinbench.harness import table
from calvinbench.harness.analysis.comparable import RunsDifferError
from calvinbench.harness.report.published_results import published_results
from calvinbench.harness.report.tables import Table, TableStyle, conditions_of, table_of
from calvinbench.harness.report.tables.style import as_columns
from support.made_runs import made_run

NAMES = ("cnn", "paligemma", "llava", "kosmos2", "flamingo", "uform", "moondream", "qwen-vl", "minilm-effnet")


def lengths(seed, num_chains=40, most=5):
    return np.random.default_rng(seed).integers(0, most + 1, size=num_chains)


def policy(name, seed=0, most=5, folder=None, num_chains=40, **said):
    label = said.pop("label", f"{name} (1.5M, trained here)")
    return made_run(lengths(seed, num_chains, most), f"checkpoint:{name}", label, folder or name, **said)


@pytest.fixture
def two():
    """Four chains: lengths 5, 3, 1, 0 and 1, 0, 0, 0."""
    return [
        made_run([5, 3, 1, 0], "checkpoint:a", "good (2.0M, trained here)", "a", train="ABC"),
        made_run([1, 0, 0, 0], "checkpoint:b", "bad (1.0M, trained here)", "b", train="ABC"),
    ]


def backbone_runs():
    """Nine policies of many chains, the first with two training seeds, and the expert."""
    seeds = [policy("cnn", seed, 5, f"cnn{seed}", training_seed=seed, training_recipe="r") for seed in (0, 1)]
    others = [policy(name, place, 5 - place % 4) for place, name in enumerate(NAMES[1:], start=2)]
    return [*seeds, *others, made_run([5] * 40, "expert", "expert", "expert", privileged=True)]


@pytest.fixture(scope="module")
def backbones():
    """The runs of `backbone_runs`, compared once for all tests."""
    return conditions_of(backbone_runs())


def styled(conditions, **style):
    columns = as_columns(style.pop("columns", None))
    return table_of(conditions, TableStyle(columns=columns, **style))


def cells(text):
    """The rows of a Markdown table by their first cell, without bold."""
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return {row[0].strip(): [cell.strip().replace("**", "") for cell in row[1:]] for row in rows}


def test_numbers_can_be_checked_by_hand(two):
    frame = table(two).frame
    assert frame["Method"].tolist() == ["good", "bad"]
    assert frame[["1", "2", "3", "4", "5"]].iloc[0].tolist() == [0.75, 0.5, 0.5, 0.25, 0.25]
    assert frame["Avg. Len."].tolist() == [9 / 4, 1 / 4]
    assert frame[["n", "errors", "steps", "scene"]].iloc[1].tolist() == [4, 0, 360, "embedded"]


def test_columns_are_what_differs_and_the_caption_says_what_is_the_same(two):
    made = table(two)
    assert made.grid.titles == ("Method", "Size", "1", "2", "3", "4", "5", "Avg. Len.")
    assert cells(made.markdown())["good"][0] == "2.0M"
    assert "4 chains of 5 subtasks" in made.caption
    assert "trained on ABC; memory window:8" in made.caption
    assert "360 steps per subtask" in made.caption
    assert "size" not in made.caption


def test_a_user_chooses_columns_and_order(two):
    made = table(two, columns="avg,1,n,train", order="bad")
    assert made.grid.titles == ("Method", "Avg. Len.", "1", "n", "Train")
    assert [row[0].text for row in made.grid.rows] == ["bad", "good"]
    assert made.frame["Method"].tolist() == ["bad", "good"]
    assert [row[0].text for row in table(two[::-1], order="success").grid.rows] == ["good", "bad"]
    with pytest.raises(UnknownNameError, match="Unknown column 'average length'"):
        table(two, columns=["average length"])
    with pytest.raises(UnknownNameError, match="Unknown method in the order: 'god'"):
        table(two, order=["god"])
    with pytest.raises(ValueError, match="expected names of columns separated by commas"):
        table(two, columns="1,,avg")


def test_intervals_are_shown_as_asked(two):
    def shown(**style):
        return cells(table(two, columns="1", **style).markdown())["good"][0]

    assert shown() == "75.0 [19.4, 99.4]"
    assert shown(intervals="below") == "75.0<br>[19.4, 99.4]"
    assert shown(intervals="pm") == "75.0 \u00b1 55.6"  # the lower side is the larger
    assert shown(intervals="none", precision=0) == "75"
    assert shown(precision=3) == "75.000 [19.412, 99.369]"
    with pytest.raises(ValueError, match="expected a precision from 0 to 6"):
        table(two, precision=9)


def test_the_best_is_bold_and_what_is_not_different_is_marked():
    runs = [policy("a", 0), policy("b", 1), policy("c", 2, most=1)]
    rows = table(runs, columns="avg").markdown().splitlines()[2:5]
    averages = [lengths(0).mean(), lengths(1).mean()]
    best, other = ("a", "b") if averages[0] > averages[1] else ("b", "a")
    by_name = {row.split()[1]: row for row in rows}
    assert "**" in by_name[best]
    assert "\u2248 [" in by_name[other]
    assert "**" not in by_name["c"]
    assert "\u2248" not in by_name["c"]


def test_methods_that_are_not_different_share_a_letter():
    runs = [policy("a", 0), policy("b", 1), policy("c", 2, most=1)]
    shown = cells(table(runs, columns="avg", significance="letters", intervals="none").markdown())
    letters = {name: cell[0].split()[-1] for name, cell in shown.items() if name in "abc"}
    assert letters == {"a": "a", "b": "a", "c": "b"}
    assert "Methods that share a letter are not significantly different." in table(runs, significance="letters").notes
    assert not re.search("[\u2248ab]", cells(table(runs, columns="avg", significance="none").markdown())["c"][0])


def test_with_a_reference_what_differs_from_it_is_marked():
    runs = [policy("a", 0), policy("b", 1), policy("c", 2, most=1)]
    made = table(runs, columns="avg", reference="a", intervals="none")
    shown = cells(made.markdown())
    assert shown["c"][0].endswith(" *")
    assert not shown["b"][0].endswith("*")
    assert "* significantly different from a." in made.notes


def test_seeds_of_one_recipe_are_one_row_and_each_on_request(backbones):
    made = styled(backbones, columns="seeds,avg,n")
    assert len(made.grid.rows) == 10
    seeds, average, count = cells(made.markdown())["cnn"]
    assert (seeds, count) == ("0, 1", "2 x 40")
    assert average.startswith(f"{np.mean([lengths(0), lengths(1)]):.2f} ")
    each = cells(table(backbone_runs()[:3], columns="avg", seeds="each").markdown())
    assert {"cnn seed 0", "cnn seed 1", "paligemma"} < set(each)
    assert each["cnn seed 1"][0].startswith(f"{lengths(1).mean():.2f} ")


def test_a_user_renames_methods(two):
    assert set(cells(table(two, labels={"good": "Ours"}).markdown())) >= {"Ours", "bad"}


def test_conditions_stand_side_by_side():
    on_embedded = [policy("a", 0), policy("b", 1)]
    on_d = [policy("a", 2, folder="a-D", scene="D"), made_run([5] * 40, "expert", "expert", "e", scene="D")]
    made = table([*on_embedded, *on_d])
    assert made.grid.titles == ("Method", "scene embedded: Avg. Len.", "scene D: Avg. Len.")
    shown = cells(made.markdown())
    assert shown["a"][0].startswith(f"{lengths(0).mean():.2f} ")
    assert shown["a"][1].startswith(f"{lengths(2).mean():.2f} ")
    assert (shown["b"][1], shown["expert"][0]) == ("-", "-")
    assert made.frame["condition"].tolist() == ["scene embedded"] * 2 + ["scene D"] * 2
    assert [note for note in made.notes if "different scenes: compare methods within a condition" in note]
    assert table([*on_embedded, *on_d], columns="1,avg").grid.titles[1:3] == (
        "scene embedded: 1",
        "scene embedded: Avg. Len.",
    )


def test_other_protocols_are_never_mixed_in_silently():
    with pytest.raises(RunsDifferError, match="max_steps"):
        table([policy("a", 0), policy("b", 1, max_steps=100)])
    with pytest.raises(ValueError, match="expected at least one run for a table, got none"):
        table([])


# --- a terminal -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_on_a_terminal_a_table_fits_and_no_word_is_broken(backbones, width):
    made = styled(backbones)
    shown = made.terminal(width, "More: table.md.")
    assert max(map(len, shown.splitlines())) <= width
    words = set(shown.split())
    assert {*NAMES, "expert", "Method", "Avg.", "Len."} <= words
    for row in made.grid.rows:  # the averages are whole at any width
        assert row[-1].text in words
    notes = shown.rstrip().rpartition("\n\n")[2].splitlines()
    assert len(notes) == 1
    assert notes[0].endswith("More: table.md.")


def test_a_wide_terminal_shows_all_intervals_and_a_narrow_one_those_of_averages(backbones):
    made = styled(backbones)
    assert all(cell.interval in made.terminal(200) for row in made.grid.rows for cell in row)
    narrow = made.terminal(80)
    assert all(made.grid.rows[place][-1].interval in narrow for place in range(10))
    assert made.grid.rows[1][-2].interval not in narrow.replace(made.grid.rows[1][-1].interval, "")


def test_columns_that_were_asked_for_stay_at_any_width(backbones):
    shown = styled(backbones, columns="size,origin,1,2,3,4,5,avg,n").terminal(60)
    assert max(map(len, shown.splitlines())) <= 60
    titles = {title for line in shown.splitlines() for title in line.split()}
    assert {"Size", "Origin", "1", "2", "3", "4", "5", "n"} <= titles


# --- LaTeX ------------------------------------------------------------------------------------------------------------


def has_booktabs():
    """Debian's smallest LaTeX has pdflatex, and not the package that the table needs."""
    if shutil.which("pdflatex") is None or shutil.which("kpsewhich") is None:
        return False
    found = subprocess.run(["kpsewhich", "booktabs.sty"], capture_output=True, text=True, check=False)
    return bool(found.stdout.strip())


needs_latex = pytest.mark.skipif(not has_booktabs(), reason="pdflatex with booktabs is not installed")


def compile_latex(text, width_in, folder):
    """What pdflatex says of a table on a page with lines of `width_in` inches."""
    document = (
        "\\documentclass[10pt]{article}\\usepackage[utf8]{inputenc}\\usepackage{booktabs}"
        f"\\setlength{{\\textwidth}}{{{width_in}in}}\\begin{{document}}{text}\\end{{document}}"
    )
    (folder / "t.tex").write_text(document)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
    return done.stdout


@needs_latex
def test_the_measure_of_overfull_boxes_can_fail(tmp_path):
    wide = "\\begin{tabular}{l}" + "x" * 300 + "\\end{tabular}"
    assert "Overfull" in compile_latex(wide, 3.4, tmp_path)


@needs_latex
@pytest.mark.parametrize("width_in", [3.4, 7.0])
@pytest.mark.parametrize(
    "style",
    [
        {},
        {"intervals": "below"},
        {"intervals": "pm", "significance": "letters"},
        {"columns": "train,seeds,size,origin,1,5,avg"},
        {"intervals": "none", "precision": 3},
    ],
    ids=["usual", "below", "pm", "columns", "digits"],
)
def test_no_box_is_overfull_in_a_column_or_a_text(backbones, width_in, style, tmp_path):
    assert "Overfull" not in compile_latex(styled(backbones, **style).latex(width_in), width_in, tmp_path)


@needs_latex
@pytest.mark.parametrize("width_in", [3.4, 7.0])
def test_long_names_published_rows_and_conditions_fit_too(width_in, tmp_path):
    label = "an ablation with a name of many words, without noise"
    long = [policy("a", 0, label=label, scene="D"), policy("b", 1, label=r"50%_of #1 & {x} ~ $5 \alpha^2", scene="D")]
    published = table(long, published=published_results("ABCD->D", second_hand=True))
    assert "Overfull" not in compile_latex(published.latex(width_in), width_in, tmp_path)
    joint = table([*long, policy("c", 2, instructions="calvinbench-held-out"), policy("a", 3, folder="x", label=label)])
    assert "Overfull" not in compile_latex(joint.latex(width_in), width_in, tmp_path)


def test_latex_is_booktabs_in_a_float_with_what_is_the_same_in_the_caption(two):
    text = table(two).latex(3.4, label="tab:x")
    assert text.startswith("% needs \\usepackage{booktabs}\n\\begin{table}[t]")
    assert "\\label{tab:x}" in text
    assert "\\caption{Results on 4 chains of 5 subtasks." in text
    assert text.count("\\midrule") == 1
    assert "\\begin{table*}" in table(two).latex(7.0)
    assert "Not CALVIN's official protocol." in text


def test_intervals_below_are_rows_of_their_own_and_are_no_arguments(two):
    lines = table(two, columns="1", intervals="below").latex().splitlines()
    place = next(place for place, line in enumerate(lines) if line.startswith("good"))
    assert lines[place + 1] == " & {[19.4, 99.4]} \\\\"


# --- other forms ------------------------------------------------------------------------------------------------------


def test_csv_has_the_numbers_for_programs(two):
    rows = list(csv.DictReader(io.StringIO(table(two).csv())))
    assert [float(row["Avg. Len."]) for row in rows] == [2.25, 0.25]
    assert float(rows[0]["1_low"]) == pytest.approx(0.19412, abs=1e-5)


def test_a_notebook_shows_a_table_with_escaped_names():
    made = table([policy("a", 0, label="<b>"), policy("c", 1, label="c")])
    html = made._repr_html_()
    assert "&lt;b&gt;" in html
    assert html.count("<tr>") == 3
    assert made.caption in html
    assert repr(made).startswith("Table(2 rows; columns Method, 1, 2")
    assert isinstance(made, Table)


def test_a_bar_in_a_name_does_not_break_the_row():
    row = table([policy("a", label="a|b")], columns="1").markdown().splitlines()[2]
    assert "a\\|b" in row
    assert len(re.findall(r"(?<!\\)\|", row)) == 3
