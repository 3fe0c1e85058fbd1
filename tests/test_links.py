"""Links between the repository's Markdown files lead to files and headings that exist."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    ROOT / name
    for name in subprocess.run(
        ["git", "ls-files", "*.md"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.splitlines()
)
_CODE = re.compile(r"^( *)(```+).*?^\1\2 *$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"")
GENERATED = ROOT / "docs" / "reference" / "commands"
"""Written when the site is built."""


def links_of(page: Path) -> Iterator[str]:
    for match in _LINK.finditer(_CODE.sub("", page.read_text("utf-8"))):
        target = match[1] or match[2]
        if not re.match(r"[a-z]+:", target):
            yield target


def anchors_of(page: Path) -> set[str]:
    """Headings as GitHub and MyST name them in links."""
    headings = re.findall(r"^#+ (.+)$", _CODE.sub("", page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_of_a_page_lead_somewhere(page: Path):
    for link in links_of(page):
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if GENERATED in target.parents:
            continue
        assert target.exists(), f"{page.name} links to {link}, which does not exist"
        if anchor:
            assert anchor in anchors_of(target), f"{page.name} links to {link}, but {target.name} has no such heading"


def test_a_heading_is_found_by_the_name_that_links_use():
    assert "how-the-gripper-is-read" in anchors_of(ROOT / "docs" / "evaluate.md")
    assert "docs/results.md" in set(links_of(ROOT / "README.md"))
