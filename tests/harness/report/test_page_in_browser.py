"""The report's page in a real browser: its script runs, filters find chains, nothing is complained about."""

import json
import re
import shutil
from dataclasses import replace

import pytest

from calvinbench.harness.records.runs import load_run
from calvinbench.harness.report.report import write_report
from support.browser import CHROMIUM, Text

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")]


@pytest.fixture
def page(suite_copy):
    return suite_copy / "report" / "index.html"


def test_all_chains_are_listed_and_filters_find_them(page, browse):
    found = Text(browse(page, "", "--dump-dom"))
    assert found.by_id["count"] == "18 of 18 chains"
    assert len(re.findall(r"chain \d", found.by_id["chain-list"])) == 18
    solved = Text(browse(page, "#completed=5&outcome=solved", "--dump-dom"))
    assert solved.by_id["count"] == "4 of 18 chains"
    opened = Text(browse(page, "#task=stack_block&outcome=errored&open", "--dump-dom"))
    assert opened.by_id["count"] == "1 of 18 chains"
    assert "errored after 3 steps" in opened.by_id["chain-list"]
    assert "the arm fell off" in opened.by_id["chain-list"]
    one = Text(browse(page, "#number=3&run=0&open", "--dump-dom"))
    assert one.by_id["count"] == "1 of 18 chains"
    assert "stack block" in one.by_id["chain-list"]


def test_what_is_typed_and_chosen_filters_and_goes_into_the_address(page, act):
    doing = """
      choose("outcome", "solved"); see();
      choose("completed", "5"); see();
      choose("run", String(data.runs.indexOf("idle"))); see();
      choose("run", ""); choose("outcome", ""); choose("completed", ""); choose("task", "stack_block"); see();
      choose("task", ""); choose("number", "3"); see();
      document.querySelector("#filters button[type=reset]").click(); await wait(20); see();
    """
    found = act(page, doing)
    assert [count.split()[0] for count, *_ in found] == ["4", "4", "0", "4", "3", "18"]
    assert [listed for _, listed, *_ in found] == [4, 4, 0, 4, 3, 18]
    addresses = [re.sub(r"run=\d", "run=IDLE", address.lstrip("#")) for *_, address in found]
    assert addresses == [
        "outcome=solved",
        "outcome=solved&completed=5",
        "run=IDLE&outcome=solved&completed=5",
        "task=stack_block",
        "number=3",
        "",
    ]


@pytest.fixture(scope="module")
def long_suite(reported_suite, tmp_path_factory):
    """A suite with one run of 120 chains, which are the six of the solver, over and over."""
    run = load_run(reported_suite / "solver")
    suite = tmp_path_factory.mktemp("long") / "long"
    folder = shutil.copytree(run.directory, suite / "solver")
    lines = [
        json.dumps(replace(record, chain=6 * turn + record.chain).to_json())
        for turn in range(20)
        for record in run.records
    ]
    (folder / "chains.jsonl").write_text("\n".join(lines) + "\n")
    described = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(described | {"chains": 120}))
    (folder / "videos").mkdir()
    (folder / "videos" / "chain_0001.mp4").touch()
    write_report([suite], formats=())
    return suite


@pytest.fixture
def long_page(long_suite, tmp_path):
    return shutil.copytree(long_suite, tmp_path / "long") / "report" / "index.html"


def test_of_many_chains_fifty_are_shown_and_then_more(long_page, act):
    doing = """
      see(); field("more").click(); see(); field("more").click(); see();
      choose("outcome", "solved"); see(); choose("outcome", ""); see();
    """
    found = act(long_page, doing)
    assert [row[:3] for row in found] == [
        ["120 of 120 chains", 50, True],
        ["120 of 120 chains", 100, True],
        ["120 of 120 chains", 120, False],
        ["40 of 120 chains", 40, False],
        ["120 of 120 chains", 50, True],  # a new search begins at its start
    ]


def test_an_opened_chain_tells_its_subtasks_and_shows_its_video(long_page, act):
    doing = """
      choose("number", "1");
      document.querySelector("#chain-list summary").click(); await wait(50);
      const video = document.querySelector("#chain-list video");
      seen.push([document.querySelectorAll("#chain-list li").length, video.getAttribute("src"), video.controls]);
      document.querySelector("#chain-list summary").click(); await wait(50);
      document.querySelector("#chain-list summary").click(); await wait(50);
      seen.push([document.querySelectorAll("#chain-list li").length]);  // not told twice
      choose("number", "2"); document.querySelector("#chain-list summary").click(); await wait(50);
      seen.push([document.querySelectorAll("#chain-list video").length]);
    """
    assert act(long_page, doing) == [[2, "../solver/videos/chain_0001.mp4", True], [2], [0]]


def test_all_that_can_be_used_is_reached_by_tab_and_named(page, act):
    """A script's Tab moves nothing; what would be visited, in which order, and by which name, can be asked."""
    doing = """
      document.getElementById("open-all").click();
      const all = [...document.querySelectorAll("a[href], button, input, select, summary, [tabindex]")];
      for (const one of all) {
        const isFolded = one.localName !== "summary" && one.closest("details:not([open])");
        if (one.hidden || one.tabIndex !== 0 || isFolded) continue;
        one.focus();
        const name = one.ariaLabel || one.labels?.[0]?.textContent || one.textContent;
        seen.push([document.activeElement === one, one.id || one.localName, name.trim() !== ""]);
      }
      field("number").focus(); field("number").value = "3";
      field("filters").requestSubmit();  // what Enter does: nothing leaves the page
      await wait(50); see();
    """
    *visited, after = act(page, doing)
    assert all(is_reached and has_name for is_reached, _, has_name in visited)
    order = [name for _, name, _ in visited if name in ("run", "task", "outcome", "completed", "number", "button")]
    assert order[-6:] == ["run", "task", "outcome", "completed", "number", "button"]
    assert visited[0][1] == "a"  # the way past everything
    # sections, each with what is folded in it: where runs ended, runs, chains
    assert [name for _, name, _ in visited].count("summary") == 6 + 1 + 3 + 18
    assert after[1] == 18
    assert "?" not in after[3]


LISTENERS = (
    'field("filters").addEventListener("input", () => { begin(); remember(); });',
    'field("filters").addEventListener("reset", () => setTimeout(() => { begin(); remember(); }));',
    'field("more").addEventListener("click", () => { shown += PAGE; draw(); });',
)


@pytest.mark.parametrize("listener", LISTENERS)
def test_a_listener_that_is_missing_would_be_noticed(long_page, act, listener):
    text = long_page.read_text()
    assert text.count(listener) == 1
    doing = """
      field("more").click(); see(); choose("number", "3"); see();
      document.querySelector("#filters button[type=reset]").click(); await wait(20); see();
    """
    whole = act(long_page, doing)
    long_page.write_text(text.replace(listener, ""))
    assert act(long_page, doing) != whole


def test_what_is_folded_is_printed_and_folded_again(page, act):
    doing = """
      const folded = [...document.querySelectorAll("details:not(#chain-list details)")];
      const look = () => seen.push(folded.map((one) => one.open));
      look(); dispatchEvent(new Event("beforeprint")); look(); dispatchEvent(new Event("afterprint")); look();
    """
    before, printed, after = act(page, doing)
    assert before == after
    assert not all(before)
    assert all(printed)


def test_a_link_to_what_is_folded_opens_it(page, act):
    doing = """
      const isOpen = (id) => seen.push(document.getElementById(id).closest("details").open);
      isOpen("runs");
      document.querySelector("nav a[href='#runs']").click(); await wait(20);
      isOpen("runs"); isOpen("notes");
    """
    assert act(page, doing) == [False, True, False]
    assert act(page, 'seen.push(document.getElementById("notes").closest("details").open);', "#notes") == [True]


def test_all_is_opened_and_closed_by_one_button(page, act):
    doing = """
      const button = document.getElementById("open-all");
      const areOpen = () => folds().map((one) => one.open);
      const look = () => seen.push([areOpen().every(Boolean), areOpen().some(Boolean), button.textContent]);
      button.click(); look(); button.click(); look();
    """
    assert act(page, doing) == [[True, True, "Close all"], [False, False, "Open all"]]


def test_it_can_be_looked_at_and_printed(page, browse, tmp_path):
    browse(page, "", "--window-size=1366,900", f"--screenshot={tmp_path / 'page.png'}")
    browse(page, "", f"--print-to-pdf={tmp_path / 'page.pdf'}")
    from matplotlib.image import imread

    picture = imread(tmp_path / "page.png")
    assert picture.shape[:2] == (900, 1366)
    assert 0.02 < (picture[..., :3].mean(axis=2) < 0.5).mean() < 0.5  # dark ink on a light page
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")


def test_in_the_dark_it_is_dark(page, browse, tmp_path):
    flags = ("--blink-settings=preferredColorScheme=0", "--window-size=1366,400")
    browse(page, "", *flags, f"--screenshot={tmp_path / 'dark.png'}")
    from matplotlib.image import imread

    assert imread(tmp_path / "dark.png")[..., :3].mean() < 0.4


def test_a_broken_script_would_be_noticed(page, browse):
    page.write_text(page.read_text().replace("recall();\nbegin();", "nobody();"))
    with pytest.raises(AssertionError, match="nobody is not defined"):
        browse(page, "", "--dump-dom")
