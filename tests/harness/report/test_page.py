"""The report's page: whole, self-contained, and safe whatever a policy is called."""

import json
import os
import re
from dataclasses import replace
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest

from calvinbench.harness import cli
from calvinbench.harness.analysis.speed import speed
from calvinbench.harness.evaluation.evaluation import evaluate
from calvinbench.harness.records.runs import load_run
from calvinbench.harness.records.shards import Shard, merge
from calvinbench.harness.report.published_results import published_results
from calvinbench.harness.report.report import write_report
from calvinbench.harness.rollout.videos import VIDEOS_FOLDER, VideoSettings
from calvinbench.harness.verbs.results import view
from support.fakes import CHAINS, SOLVER_COMPLETES
from support.html_page import Page, chains_of


@pytest.fixture
def reported(reported_suite):
    return (reported_suite / "report" / "index.html").read_text()


def test_the_page_is_whole_and_needs_nothing_from_elsewhere(reported):
    page = Page(reported)
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    inside = [link.removeprefix("#") for link in page.links if link.startswith("#")]
    assert len(inside) >= 7
    assert set(inside) <= set(page.ids)
    loaded = [each["src"] for tag in ("img", "script") for each in page.all(tag) if "src" in each]
    assert loaded
    assert all(source.startswith("data:") for source in loaded)
    assert page.all("link") == []
    assert not re.search(r"url\((?!%23|#)|@import|https?://(?!www\.w3\.org)", reported)


def test_first_is_the_verdict_then_contents_table_and_figure_and_the_rest_is_folded(reported):
    page = Page(reported)
    places = [
        reported.index(sign)
        for sign in ('class="verdict"', "<nav", 'aria-label="main table"', 'class="main figures"', "<details")
    ]
    assert places == sorted(places)
    assert any("No verdict: 3 of 6 chains of" in text for text in page.texts["p"])
    assert page.texts["h2"] == [
        *("Results", "Figures", "Differences", "Speed and smoothness", "Notes", "Runs", "Chains")
    ]
    folded = [each for each in page.all("details") if each.get("class") == "section"]
    assert ["open" in each for each in folded] == [True, False, False, False, False, False]
    assert page.rows[0] == ["Method", "1", "2", "3", "4", "5", "Avg. Len.", "errors"]
    assert {row[0] for row in page.rows[1:4]} == {"solver solver \u2020", "idle", "solver raises \u2020"}
    assert {"solver solver \u2020", "idle", "solver raises \u2020"} <= set(page.texts["strong"])
    assert any("Not CALVIN's official protocol." in text for text in page.texts["p"])
    assert any("Official: no" in text for text in page.texts["p"])


def test_figures_have_a_size_before_they_are_drawn_and_are_said_aloud(reported):
    page = Page(reported)
    images = page.all("img")
    assert len(images) == len(page.all("figure")) >= 8
    assert all(int(each["width"]) > 300 and int(each["height"]) > 50 for each in images)
    assert sorted(each["alt"] for each in images) == sorted(page.texts["figcaption"])
    for each in images:
        kind, _, svg = each["src"].partition(",")
        assert kind == "data:image/svg+xml"
        root = ElementTree.fromstring(unquote(svg))
        assert root.tag.endswith("svg")
        assert len(list(root.iter())) > 50


def test_where_many_runs_ended_is_folded(run_fake, tmp_path):
    for number in range(3):
        run_fake("idle", directory=tmp_path / f"idle{number}")
    page = write_report([tmp_path / "idle0", tmp_path / "idle1"], formats=()).directory / "index.html"
    assert "run by run" not in page.read_text()
    assert page.read_text().count("<figcaption>Where chains ended: ") == 2
    text = (write_report([tmp_path], formats=()).directory / "index.html").read_text()
    folded = text.index("Where chains ended, run by run: 3")
    assert text.count("<figcaption>Where chains ended: ") == 3
    assert text.index("<figcaption>Where chains ended: ") > folded


def test_every_chain_can_be_found_with_its_subtasks(reported, reported_suite):
    data, chains = chains_of(reported)
    assert sorted(data["runs"]) == ["idle", "solver raises \u2020", "solver solver \u2020"]
    assert len(chains) == 18
    record = load_run(reported_suite / "solver").records[2]
    (chain,) = [each for each in chains if (each["run"], each["chain"]) == ("solver solver \u2020", 2)]
    assert chain["completed"] == record.completed == 3
    expected = [[done.task, done.instruction, done.outcome, done.steps] for done in record.subtasks]
    assert chain["subtasks"] == expected
    assert [chain["error"] for chain in chains if chain["error"]] == ["RuntimeError: the arm fell off"] * 3
    assert data["most"] == 5
    assert "stack_block" in data["tasks"]
    assert "lift_red_block_table" not in data["tasks"]


def test_what_all_runs_have_in_common_is_said_once(reported):
    assert reported.count('<th scope="row">Steps per subtask</th>') == 1
    assert reported.count('<th scope="row">Policy</th>') == 3


def test_videos_are_shown_and_linked_where_they_are(run_fake, tmp_path):
    run = run_fake("solver", directory=tmp_path / "a suite" / "solver")
    folder = run.directory / VIDEOS_FOLDER
    folder.mkdir()
    for name in ("chain_0003.mp4", "chain_0004-unlike-the-record.mp4", "other.mp4"):
        (folder / name).touch()
    page_file = write_report([tmp_path / "a suite"], formats=()).directory / "index.html"
    _, chains = chains_of(page_file.read_text())
    linked = {chain["chain"]: chain["video"] for chain in chains if chain["video"]}
    videos = ["../solver/videos/chain_0003.mp4", "../solver/videos/chain_0004-unlike-the-record.mp4"]
    assert linked == dict(zip((3, 4), videos, strict=True))
    page = Page(page_file.read_text())
    assert [each["src"] for each in page.all("video")] == videos
    assert all("controls" in each and each["preload"] == "none" and each["width"] for each in page.all("video"))
    assert page_file.read_text().count("went another way than the record") == 1
    assert "Videos" in page.texts["h2"]


def test_of_many_videos_twelve_are_shown(run_fake, tmp_path):
    for name in ("solver", "idle"):
        folder = run_fake(name, directory=tmp_path / "suite" / name).directory / VIDEOS_FOLDER
        folder.mkdir()
        for number in range(20 if name == "idle" else 1):
            (folder / f"chain_{number:04d}.mp4").touch()
    text = (write_report([tmp_path / "suite"], formats=()).directory / "index.html").read_text()
    shown = [each["src"].split("/")[1] for each in Page(text).all("video")]
    assert len(shown) == 12
    assert sorted(shown[:2]) == ["idle", "solver"]  # by turns
    assert "9 more are in the list of chains." in text


def test_videos_of_a_merged_run_s_shards_are_linked(fake_setup, tmp_path):
    folder = tmp_path / "suite" / "solver"
    for index in (1, 2):
        shard = Shard(index, 2)
        part = shard.folder(folder)
        setup = replace(fake_setup("solver"), videos=VideoSettings(part / VIDEOS_FOLDER, "failures"))
        evaluate(setup, part, chains=CHAINS, shard=shard)
    merge(folder)
    text = (write_report([tmp_path / "suite"], formats=()).directory / "index.html").read_text()
    assert {chain["chain"]: chain["video"] for chain in chains_of(text)[1] if chain["video"]} == {
        chain: f"../solver/shards/{1 + chain % 2}-of-2/videos/chain_{chain:04d}.mp4"
        for chain, completed in enumerate(SOLVER_COMPLETES)
        if completed < 5
    }


def test_a_rule_parts_published_rows_from_the_runs(run_fake, tmp_path):
    run = run_fake("solver")
    file = run.directory / "run.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"scene": "D"}))
    report = write_report([run.directory], published=published_results("ABC->D")[:3], formats=())
    text = (report.directory / "index.html").read_text()
    body = text[text.index('<tbody class="published">') :]
    assert body[: body.index("</tbody>")].count("<tr>") == 3
    assert ".published tr:first-child > * { border-top:" in text


def test_a_run_tells_its_chains_an_hour(reported, reported_suite):
    run = load_run(reported_suite / "solver")
    assert f'<th scope="row">Chains per hour, one world</th><td>{speed(run).chains_per_hour:.1f}</td>' in reported


@pytest.mark.usefixtures("rendered_figures")
def test_the_same_records_give_the_same_page(reported, suite_copy):
    page = write_report([suite_copy], formats=()).directory / "index.html"
    assert page.read_text() == reported


def test_the_command_opens_the_page_or_says_where_it_is(run_fake, tmp_path, monkeypatch, capsys):
    run_fake("solver", directory=tmp_path / "suite" / "solver")
    opened = []
    for has_browser in (True, False):
        monkeypatch.setattr(view.webbrowser, "open", lambda address, has=has_browser: opened.append(address) or has)
        assert cli.main(["view", str(tmp_path / "suite")]) == 0
        said = capsys.readouterr()
        page = tmp_path / "suite" / "report" / "index.html"
        assert said.out == f"{page}\n"
        assert ("No browser was found" in said.err) is not has_browser
    assert opened == [page.as_uri()] * 2
    assert cli.main(["view"]) == 2


def test_a_page_that_tells_all_is_opened_as_it_is(run_fake, tmp_path, capsys):
    run = run_fake("solver", directory=tmp_path / "suite" / "solver")
    file = run.directory / "run.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"scene": "D"}))
    suite, page = str(tmp_path / "suite"), tmp_path / "suite" / "report" / "index.html"
    write_report([suite], published=published_results("ABC->D")[:1], formats=())
    assert cli.main(["report", suite, "--published", "ABC->D", "--json"]) == 0
    page.write_text(f"{page.read_text()}<!-- as it was -->")
    assert cli.main(["view", suite, "--json"]) == 0
    assert "<!-- as it was -->" in page.read_text()
    os.utime(run.directory / "chains.jsonl")  # the run went on
    assert cli.main(["view", suite, "--json"]) == 0
    assert "<!-- as it was -->" not in page.read_text()
    assert '<tbody class="published">' in page.read_text()  # what the old one showed, the new one does
    assert cli.main(["view", suite, "--published", "ABCD->D", "--json"]) == 0
    rows = Page(page.read_text()).rows
    averages = [f"{result.average_length:.2f}" for result in published_results("ABCD->D")]
    assert [row[rows[0].index("Avg. Len.")] for row in rows[2 : 2 + len(averages)]] == averages
    run_fake("idle", directory=tmp_path / "suite" / "more" / "idle")
    assert cli.main(["view", f"{suite}/more", "--out", str(page.parent), "--json"]) == 2  # not of scene D


def test_a_view_keeps_the_reference_and_the_intervals_of_the_report(run_fake, tmp_path, capsys):
    for policy in ("solver", "idle"):
        run_fake(policy, directory=tmp_path / "suite" / policy)
    suite, page = str(tmp_path / "suite"), tmp_path / "suite" / "report" / "index.html"
    assert cli.main(["report", suite, "--reference", "idle", "--intervals", "exact"]) == 0
    os.utime(tmp_path / "suite" / "idle" / "chains.jsonl")
    assert cli.main(["view", suite, "--json"]) == 0
    assert "Paired differences: 1, from idle" in page.read_text()
    kept = json.loads((page.parent / "report.json").read_text())
    assert (kept["reference"], kept["intervals"]) == ("idle", "exact")
    assert cli.main(["view", suite, "--reference", "nobody", "--json"]) == 2


def test_runs_of_unlike_pictures_can_be_viewed(run_fake, tmp_path, capsys):
    for policy in ("solver", "idle"):
        run_fake(policy, directory=tmp_path / "suite" / policy)
    file = tmp_path / "suite" / "idle" / "run.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"renderer": "bullet-tiny"}))
    assert cli.main(["view", str(tmp_path / "suite"), "--json"]) == 2
    assert "--any-renderer" in capsys.readouterr().err
    assert cli.main(["view", str(tmp_path / "suite"), "--any-renderer", "--json"]) == 0
    assert cli.main(["view", str(tmp_path / "suite"), "--json"]) == 0  # the page is there
