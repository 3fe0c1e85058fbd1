"""Links of the page: each leads to a file, and each file of a report has one."""

import json
import re

import pytest

from calvinbench.harness.report.html.file_links import links_to
from calvinbench.harness.report.report import write_report
from support.html_page import Page


def follow(page_file):
    """The files that a page links to."""
    files = [page_file.parent / link for link in Page(page_file.read_text()).files]
    assert files
    missing = [file for file in files if not file.is_file()]
    assert not missing
    return {file.resolve() for file in files}


def change(run, **changes):
    file = run.directory / "run.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.fixture
def two_scenes(run_fake, tmp_path):
    """A suite with two runs of one scene, and two of another."""
    for policy in ("solver", "idle"):
        run_fake(policy, directory=tmp_path / "a suite" / policy)
        change(run_fake(policy, directory=tmp_path / "a suite" / f"{policy} 2"), scene="<another> #1")
    return tmp_path / "a suite"


def test_every_file_of_a_report_is_linked_and_every_link_leads_to_a_file(run_fake, tmp_path):
    for policy in ("solver", "idle"):
        run_fake(policy, directory=tmp_path / "suite" / f"{policy} #1")
    report = write_report([tmp_path / "suite"], formats=("pdf", "png"))
    found = follow(report.directory / "index.html")
    written = {file.resolve() for file in report.files if file.name not in ("index.html", "report.json")}
    assert written <= found
    records = {path.resolve() for name in ("run.json", "chains.jsonl") for path in tmp_path.glob(f"suite/*#1/{name}")}
    assert len(records) == 4
    assert found - written == records


def test_a_report_without_saved_figures_links_to_none(reported_suite):
    names = {file.name for file in follow(reported_suite / "report" / "index.html")}
    assert {"table.csv", "pairs.csv", "tasks.csv"} <= names
    assert not [name for name in names if name.endswith((".pdf", ".svg", ".png"))]


def test_a_figure_links_to_its_files_and_to_its_numbers(run_fake, tmp_path):
    run_fake("solver", directory=tmp_path / "suite" / "solver")
    text = (write_report([tmp_path / "suite"], formats=("pdf", "svg")).directory / "index.html").read_text()
    figures = [Page(figure) for figure in re.findall(r"<figure.*?</figure>", text, re.DOTALL)]
    by_stem = {figure.files[0].partition(".")[0]: figure.files for figure in figures}
    assert by_stem["survival"] == ["survival.pdf", "survival.svg", "table.csv"]
    assert by_stem["tasks"] == ["tasks.pdf", "tasks.svg", "tasks.csv"]
    assert by_stem["first-failures-solver"][2] == "first-failures.csv"
    assert all(len(files) >= 3 for files in by_stem.values())


def test_links_are_in_order_and_only_to_what_there_is():
    files = {"table.csv", "table.md", "table-narrow.tex", "tables.csv"}
    assert [(link.text, link.href) for link in links_to(("table", "table-narrow"), files)] == [
        ("Markdown", "table.md"),
        ("CSV", "table.csv"),
        ("LaTeX (one column)", "table-narrow.tex"),
    ]
    assert links_to(("a #1",), {"a #1.csv"})[0].href == "a%20%231.csv"


# --- several conditions -----------------------------------------------------------------------------------------------


def test_the_front_page_of_several_scenes_has_verdicts_one_table_a_figure_and_a_way_to_each(two_scenes):
    report = write_report([two_scenes], formats=("png",))
    front = report.directory / "index.html"
    page = Page(front.read_text())
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    found = follow(front)
    pages = [report.directory / part.folder / "index.html" for part in report.parts]
    assert len(pages) == 2
    assert {each.resolve() for each in pages} <= found
    for each in pages:
        assert front.resolve() in follow(each)
    assert page.texts["h2"] == ["All conditions", "scene fake", "scene <another> #1"]
    assert next(row for row in page.rows if row[:1] == ["Method"]) == ["Method", "Avg. Len.", "Avg. Len."]
    groups = [each for each in page.all("th") if each.get("scope") == "colgroup"]
    assert [each["colspan"] for each in groups] == ["1", "1"]
    (image,) = page.all("img")
    assert image["alt"] == "Methods under each condition, with 95% intervals"
    assert (report.directory / "conditions.png").is_file()
    assert sum("No verdict" in text or "significantly" in text for text in page.texts["span"]) == 2
    everything = {file for each in (front, *pages) for file in follow(each)}
    written = {file.resolve() for file in report.files if file.name not in ("report.json", "index.html")}
    assert written <= everything


def test_the_figure_of_conditions_has_a_mark_for_each_result(two_scenes):
    from calvinbench.harness.report import plots

    report = write_report([two_scenes], formats=(), has_page=False)
    axes = plots.conditions([(part.title, part.table) for part in report.parts])
    assert [ax.get_title(loc="left") for ax in axes] == ["scene fake", "scene <another> #1"]
    for ax, part in zip(axes, report.parts, strict=True):
        marks = [line.get_xdata()[0] for line in ax.get_lines() if len(line.get_xdata()) == 1]
        assert marks == [summary.average_length.value for summary in part.table.summaries]
        bars = [tuple(line.get_xdata()) for line in ax.get_lines() if len(line.get_xdata()) == 2]
        assert bars == [
            (summary.average_length.interval.low, summary.average_length.interval.high)
            for summary in part.table.summaries
        ]
        assert ax.get_xlim()[0] == 0.0
        assert ax.get_xlim()[1] > max(high for _, high in bars)
    names = [label.get_text() for label in axes[0].get_yticklabels()]
    assert names == [method.marked_name for method in report.parts[0].table.methods]
    assert sorted(names) == ["idle", "solver \u2020"]
    with pytest.raises(ValueError, match="at least one condition"):
        plots.conditions([])
