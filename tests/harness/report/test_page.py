"""The report's page: whole, self-contained, and safe whatever a policy is called."""

import json
import os
import re
from dataclasses import replace
from html.parser import HTMLParser
from urllib.parse import unquote

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

VOID = {"meta", "input", "br", "link", "img"}


class Page(HTMLParser):
    """Looks at a page: is every element closed, which ids and links are there, what text has which element."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.links, self.texts = [], [], [], {}
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.ids += [found["id"]] if "id" in found else []
        self.links += [value for name, value in attributes if name in ("src", "href", "xlink:href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.links += [value for name, value in attributes if name in ("src", "href", "xlink:href")]
        self.ids += [value for name, value in attributes if name == "id"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        if self.open:
            self.texts.setdefault(self.open[-1], []).append(text)


@pytest.fixture
def reported(reported_suite):
    return (reported_suite / "report" / "index.html").read_text()


def data_of(text):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1])


def test_the_page_is_whole_and_needs_nothing_from_elsewhere(reported):
    page = Page(reported)
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    inside = [link.removeprefix("#") for link in page.links if not link.startswith("data:")]
    assert set(inside) <= set(page.ids)
    assert not re.search(r"url\((?!#)", reported)
    assert "<?xml" not in reported


def test_it_shows_verdict_table_figures_and_runs(reported):
    page = Page(reported)
    assert any("No verdict: 3 of 6 chains of solver, raises" in text for text in page.texts["p"])
    assert [name for name in page.texts["th"] if name in ("Method", "Avg. Len.")] == ["Method", "Avg. Len.", "Method"]
    assert "Change of action per step" in page.texts["th"]
    assert {"solver, solver \u2020", "idle", "solver, raises \u2020"} <= set(page.texts["td"])
    assert reported.count("<figure") == 5 + 3
    assert {"solver, solver \u2020", "idle", "solver, raises \u2020"} <= set(page.texts["strong"])
    assert any("not comparable" in text or "Official: no" in text for text in page.texts["p"])


def test_where_many_runs_ended_is_folded(run_fake, tmp_path):
    for number in range(3):
        run_fake("idle", directory=tmp_path / f"idle{number}")
    page = write_report([tmp_path / "idle0", tmp_path / "idle1"], formats=()).directory / "index.html"
    assert "run by run" not in page.read_text()
    assert page.read_text().count("Where chains ended: ") == 2 * 2  # said aloud and below
    text = (write_report([tmp_path], formats=()).directory / "index.html").read_text()
    folded = text.index("Where chains ended, run by run: 3")
    assert text.count("Where chains ended: ") == 3 * 2
    assert text.index("Where chains ended: ") > folded > text.index("Subtasks completed in a row")


def test_every_chain_can_be_found_with_its_subtasks(reported, reported_suite):
    data = data_of(reported)
    labels = [run["label"] for run in data["runs"]]
    assert sorted(labels) == ["idle", "solver, raises \u2020", "solver, solver \u2020"]
    place = labels.index("solver, solver \u2020")
    assert len(data["chains"]) == 18
    record = load_run(reported_suite / "solver").records[2]
    (chain,) = [chain for chain in data["chains"] if (chain["run"], chain["chain"]) == (place, 2)]
    assert chain["completed"] == record.completed == 3
    expected = [[done.task, done.instruction, done.outcome, done.steps] for done in record.subtasks]
    assert chain["subtasks"] == expected
    assert [chain["error"] for chain in data["chains"] if chain["error"]] == ["RuntimeError: the arm fell off"] * 3
    assert data["most"] == 5
    assert "stack_block" in data["tasks"]
    assert "lift_red_block_table" not in data["tasks"]


@pytest.mark.usefixtures("rendered_figures")
def test_a_policy_may_be_called_anything(run_fake, tmp_path):
    run = run_fake("solver", directory=tmp_path / "suite" / "solver")
    name = "</script><b>&\u2028'\""
    description = replace(run.description, label=name).to_json()
    (run.directory / "run.json").write_text(json.dumps(description))
    text = (write_report([tmp_path / "suite"], formats=()).directory / "index.html").read_text()
    page = Page(text)
    assert page.open == []
    assert "b" not in page.texts
    assert data_of(text)["runs"][0]["label"] == f"{name} \u2020"


def test_films_are_linked_where_they_are(run_fake, tmp_path):
    run = run_fake("solver", directory=tmp_path / "a suite" / "solver")
    (run.directory / VIDEOS_FOLDER).mkdir()
    (run.directory / VIDEOS_FOLDER / "chain_0003.mp4").touch()
    text = (write_report([tmp_path / "a suite"], formats=()).directory / "index.html").read_text()
    films = {chain["chain"]: chain["video"] for chain in data_of(text)["chains"]}
    assert films[3] == "../solver/videos/chain_0003.mp4"
    assert {films[chain] for chain in (0, 1, 2, 4, 5)} == {""}


def test_films_of_a_merged_run_s_shards_are_linked(fake_setup, tmp_path):
    folder = tmp_path / "suite" / "solver"
    for index in (1, 2):
        shard = Shard(index, 2)
        part = shard.folder(folder)
        setup = replace(fake_setup("solver"), videos=VideoSettings(part / VIDEOS_FOLDER, "failures"))
        evaluate(setup, part, chains=CHAINS, shard=shard)
    merge(folder)
    text = (write_report([tmp_path / "suite"], formats=()).directory / "index.html").read_text()
    films = {chain["chain"]: chain["video"] for chain in data_of(text)["chains"] if chain["video"]}
    assert films == {
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
    assert re.findall(r'<tr class="(published[^"]*)">', text) == ["published first", "published", "published"]
    assert ".published.first td { border-top:" in text


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
    assert '<tr class="published first">' in page.read_text()  # what the old one showed, the new one does
    assert cli.main(["view", suite, "--published", "ABCD->D", "--json"]) == 0
    assert "<td>ABCD</td>" in page.read_text()
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


# --- several tables ---------------------------------------------------------------------------------------------------


@pytest.fixture
def overview(run_fake, tmp_path):
    for policy in ("solver", "idle"):
        run_fake(policy, directory=tmp_path / "suite" / policy)
    file = run_fake("raises", directory=tmp_path / "suite" / "raises").directory / "run.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"scene": "<another>"}))
    return write_report([tmp_path / "suite"], formats=()).directory


@pytest.mark.usefixtures("rendered_figures")
def test_a_page_above_shows_every_table_and_leads_to_the_rest(overview):
    text = (overview / "index.html").read_text()
    page = Page(text)
    assert page.open == []
    assert page.texts["h2"] == ["scene fake", "scene <another>"]
    assert page.texts["td"].count("idle") == 1
    links = [unquote(link) for link in page.links]
    assert links == ["scene-fake/index.html", "scene-another/index.html"]
    for link in links:
        below = Page((overview / link).read_text())
        assert below.open == []
        assert "../index.html" in below.links
    assert any("significantly different in average length" in said for said in page.texts["p"])
