"""The report's page in a real browser: its script runs, filters find chains, nothing is complained about."""

import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest

from calvinbench.harness.report import write_report

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")]
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--enable-logging=stderr"),
)


class Text(HTMLParser):
    """What stands in elements with an id, and how many elements of a kind there are."""

    def __init__(self, html):
        super().__init__()
        self.stack, self.by_id, self.counts = [], {}, {}
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.counts[tag] = self.counts.get(tag, 0) + 1
        if tag not in ("meta", "input", "br", "link", "img"):
            self.stack.append(dict(attributes).get("id"))

    def handle_endtag(self, tag):
        self.stack.pop()

    def handle_data(self, text):
        for found in filter(None, self.stack):
            self.by_id[found] = self.by_id.get(found, "") + text


@pytest.fixture(scope="module")
def browse(tmp_path_factory):
    def run(page, address="", *flags):
        profile = tmp_path_factory.mktemp("profile")
        command = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", *flags, f"{page.as_uri()}{address}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        assert "CONSOLE" not in done.stderr, done.stderr
        return done.stdout

    return run


@pytest.fixture
def page(run_fake, tmp_path):
    for policy in ("solver", "idle", "raises"):
        run_fake(policy, directory=tmp_path / "suite" / policy)
    return write_report([tmp_path / "suite"]).directory / "index.html"


def test_all_chains_are_listed_and_filters_find_them(page, browse):
    found = Text(browse(page, "", "--dump-dom"))
    assert found.by_id["count"] == "18 of 18 chains"
    assert len(re.findall(r"chain \d", found.by_id["chains"])) == 18
    solved = Text(browse(page, "#completed=5&outcome=solved", "--dump-dom"))
    assert solved.by_id["count"] == "4 of 18 chains"
    opened = Text(browse(page, "#task=stack_block&outcome=errored&open", "--dump-dom"))
    assert opened.by_id["count"] == "1 of 18 chains"
    assert "errored after 3 steps" in opened.by_id["chains"]
    assert "the arm fell off" in opened.by_id["chains"]
    one = Text(browse(page, "#number=3&run=0&open", "--dump-dom"))
    assert one.by_id["count"] == "1 of 18 chains"
    assert "stack block" in one.by_id["chains"]


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
