"""The page of unusual runs: names that would break a page, one run, many with seeds, none with a chain."""

import json

import pytest

from calvinbench.harness.records.runs import load_run
from calvinbench.harness.report.html.page import isolated
from calvinbench.harness.report.html.pictures import small_svg
from calvinbench.harness.report.html.sortable_tables import number_in, of_grid
from calvinbench.harness.report.report import write_report
from calvinbench.harness.report.tables.grid import Cell, Column, Grid
from support.html_page import Page, chains_of

NAMES = {
    "script": "</script><script>alert(1)</script>",
    "quotes": "\"><b onload='x'>&amp;\u2028'\"",
    "right to left": "\u05d0\u05d1\u05d2 \u202eolleh",
    "long": "w" * 200,
    "template": "{{ 7 * 7 }}{% raw %}",
    "math": "$x_1$ 100% a_b",
}


def change(run, **changes):
    file = run.directory / "run.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def page_of(folder):
    return (write_report([folder], formats=()).directory / "index.html").read_text()


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
def test_a_policy_may_be_called_anything(run_fake, tmp_path, name):
    change(run_fake("solver", directory=tmp_path / "suite" / "solver"), label=name)
    run_fake("idle", directory=tmp_path / "suite" / "idle")
    text = page_of(tmp_path / "suite")
    page = Page(text)
    assert page.open == []
    assert "b" not in page.texts
    assert [each for each in page.all("script") if "type" not in each] == [{}, {}]  # ours
    assert not [name for _, each in page.elements for name in each if name.startswith("on")]
    assert f"{name} \u2020" in {row[0] for row in page.rows}
    assert f"{name} \u2020" in chains_of(text)[0]["runs"]
    assert f"{name} \u2020" in page.texts["bdi"] + page.texts["strong"]
    assert "</script>" not in text[text.index('id="data"') :].partition("</script>")[0]


def test_a_name_that_runs_right_to_left_ends_with_itself():
    text = isolated("\u202eabc is better than a<b and \u202eabc d.", ["\u202eabc", "a<b", "\u202eabc d"])
    assert text == "<bdi>\u202eabc</bdi> is better than <bdi>a&lt;b</bdi> and <bdi>\u202eabc d</bdi>."
    assert isolated("a<b", []) == "a&lt;b"


def test_one_run_has_no_differences(run_fake, tmp_path):
    run_fake("solver", directory=tmp_path / "suite" / "solver")
    text = page_of(tmp_path / "suite")
    page = Page(text)
    assert page.open == []
    assert "Differences" not in page.texts["h2"]
    assert 'class="verdict"' not in text
    assert "1 method, 1 run on scene fake, 6 chains each" in page.texts["p"]
    assert "The same in all runs" not in text
    assert {f"#{each}" for each in page.ids} >= {link for link in page.links if link.startswith("#")}


def test_twelve_runs_with_seeds_are_four_methods(run_fake, tmp_path):
    names = [f"vlm {method}" for method in range(4)]
    solver = run_fake("solver", directory=tmp_path / "suite" / "first")
    lines = (solver.directory / "chains.jsonl").read_text()
    said = json.loads((solver.directory / "run.json").read_text()) | {"privileged": False}
    for method, name in enumerate(names):
        for seed in range(3):
            folder = tmp_path / "suite" / f"{method}-{seed}"
            folder.mkdir()
            (folder / "chains.jsonl").write_text(lines)
            mine = {"label": name, "training_recipe": f"recipe {method}", "training_seed": seed}
            (folder / "run.json").write_text(json.dumps(said | mine))
    for file in solver.directory.iterdir():
        file.unlink()
    solver.directory.rmdir()
    text = page_of(tmp_path / "suite")
    page = Page(text)
    assert page.open == []
    assert "4 methods, 12 runs on scene fake, 6 chains each" in page.texts["p"]
    assert [row[0] for row in page.rows[1:5]] == names
    assert chains_of(text)[0]["runs"][:3] == ["vlm 0 seed 0", "vlm 0 seed 1", "vlm 0 seed 2"]
    assert len(page.texts["strong"]) == 12


def test_runs_without_a_chain_have_a_page_with_dashes(run_fake, tmp_path):
    for policy in ("solver", "idle"):
        run = run_fake(policy, directory=tmp_path / "suite" / policy)
        (run.directory / "chains.jsonl").write_text("")
    assert load_run(tmp_path / "suite" / "idle").records == ()
    text = page_of(tmp_path / "suite")
    page = Page(text)
    assert page.open == []
    assert chains_of(text)[1] == []
    assert page.rows[1][1:7] == ["-"] * 6
    assert any("is not complete" in text for text in page.texts["p"])


# --- parts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *[("68.7", 68.7), ("-1", -1.0), ("1.5M", 1.5e6), ("3B", 3e9), ("12k", 1.2e4), ("5%", 5.0), ("1e-05", 1e-5)],
        *[("+0.35 [+0.20, +0.50]", 0.35), ("9.5 (12.1)", 9.5), ("4.0 \u00b1 0.1", 4.0), ("\u22122", -2.0)],
        *[("window:8", None), ("3 x 100", None), ("0, 1", None), ("-", None), ("", None), ("8 layers", None)],
    ],
)
def test_the_number_of_a_cell(text, number):
    assert number_in(text) == number


def test_a_column_is_of_numbers_only_if_all_its_cells_are():
    columns = [
        Column("Method", (Cell("a"), Cell("b"), Cell("c"))),
        Column("1", (Cell("9.5", "[1.0, 2.0]", "ab"), Cell("-"), Cell("10.0"))),
        Column("Size", (Cell("1.5M"), Cell("unknown"), Cell("2B"))),
    ]
    table = of_grid(Grid(tuple(columns), num_published=1), "main table")
    assert [column.is_number for column in table.columns] == [False, True, False]
    assert [cell.value for row in (*table.rows, *table.published) for cell in row[1:]] == [
        9.5,
        None,
        None,
        None,
        10.0,
        None,
    ]
    assert (len(table.rows), len(table.published), table.mark_letters) == (2, 1, 2)
    assert table.width_class == "w24"


def test_a_small_svg_draws_the_same():
    svg = small_svg(
        '<?xml version="1.0"?>\n<svg width="10pt" viewBox="0 0 10 10">\n<metadata>date</metadata>\n<!-- a name -->\n'
        '<defs>\n<path id="Sans-41" d="M 1.23456 2.5 \nL 3 -0.0001 \nz\n"/>\n</defs>\n<g id="unused">\n'
        '<use xlink:href="#Sans-41" transform="translate(86.279297 0)"/>\n'
        '<use xlink:href="#Sans-41" transform="translate(86.279297 4.5) scale(0.7)"/>\n'
        '<path d="M 10.123456 20 \nL 30 40.5 \n" clip-path="url(#p1)"/>\n</g>\n<clipPath id="p1"/>\n</svg>\n'
    )
    assert svg == (
        '<svg width="10pt" viewBox="0 0 10 10"><defs><path id="i0" d="M1.2 2.5L3 0z"/></defs><g>'
        '<use xlink:href="#i0" x="86"/><use xlink:href="#i0" transform="translate(86.28 4.5) scale(0.7)"/>'
        '<path d="M10.12 20L30 40.5" clip-path="url(#i1)"/></g><clipPath id="i1"/></svg>'
    )
