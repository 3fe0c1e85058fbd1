"""Tables of the page in a real browser: sorted by click and by keyboard, plain without a script, narrow on a phone."""

import re

import pytest

from support.browser import CHROMIUM
from support.html_page import Page

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")]

LOOK = """
  const table = document.querySelector("table.sortable");
  const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
  const head = (title) => heads.find((each) => each.textContent === title);
  const look = (title) => seen.push([
    [...table.tBodies[0].rows].map((row) => row.cells[0].textContent),
    heads.filter((each) => each.hasAttribute("aria-sort")).map((each) => [each.textContent, each.ariaSort]),
  ]);
"""


@pytest.fixture
def page(suite_copy):
    return suite_copy / "report" / "index.html"


@pytest.fixture
def numbers(page):
    """A page whose first table has other numbers, among them a dash."""
    text = page.read_text()
    first = text.index("</thead>")
    end = text.index("</table>")
    rows = [("b 10", "9.5", 9.5), ("b 9", "-", None), ("a", "10.0", 10.0), ("c", "-1.2", -1.2)]
    body = "".join(
        f'<tr><th scope="row">{name}</th><td{"" if value is None else f" data-value={value}"}>{text}</td></tr>'
        for name, text, value in rows
    )
    page.write_text(f"{text[:first]}</thead><tbody>{body}</tbody>{text[end:]}")
    return page


def test_a_column_is_sorted_by_click_once_the_other_way_and_as_it_was(numbers, act):
    doing = f"""{LOOK}
      look();
      for (let turn = 0; turn < 3; turn += 1) {{ head("1").querySelector("button").click(); look(); }}
    """
    given = ["b 10", "b 9", "a", "c"]
    assert act(numbers, doing) == [
        [given, []],
        [["a", "b 10", "c", "b 9"], [["1", "descending"]]],  # the dash is last
        [["c", "b 10", "a", "b 9"], [["1", "ascending"]]],  # as well as here
        [given, []],
    ]


def test_words_are_sorted_as_people_do_and_one_column_is_marked(numbers, act):
    doing = f"""{LOOK}
      head("1").querySelector("button").click();
      head("Method").querySelector("button").click(); look();
      head("Method").querySelector("button").click(); look();
    """
    assert act(numbers, doing) == [
        [["a", "b 9", "b 10", "c"], [["Method", "ascending"]]],
        [["c", "b 10", "b 9", "a"], [["Method", "descending"]]],
    ]


def test_titles_are_buttons_that_the_keyboard_reaches(page, act):
    doing = f"""{LOOK}
      for (const each of heads) {{
        const button = each.querySelector("button");
        button.focus();
        const hasName = button.textContent !== "";
        seen.push([document.activeElement === button, button.type, button.tabIndex, each.scope, hasName]);
      }}
    """
    found = act(page, doing)
    assert len(found) == 8
    assert all(each == [True, "button", 0, "col", True] for each in found)


def test_a_sort_that_is_broken_would_be_noticed(numbers, act):
    doing = f'{LOOK} head("1").querySelector("button").click(); look();'
    whole = act(numbers, doing)
    for part, wrong in (("return sign * (", "return -sign * ("), ("head.setAttribute(", "void (")):
        text = numbers.read_text()
        assert text.count(part) == 1
        numbers.write_text(text.replace(part, wrong))
        assert act(numbers, doing) != whole
        numbers.write_text(text)


def test_without_a_script_tables_are_plain_and_what_needs_one_is_not_shown(page):
    text = page.read_text()
    shown = Page(re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL))
    assert shown.rows[0][0] == "Method"
    assert "aria-sort" not in re.sub(r"<(script|style).*?</\1>", "", text, flags=re.DOTALL)
    in_need = [each for _, each in shown.elements if "needs-js" in each.get("class", "")]
    assert {each.get("id") for each in in_need} >= {"open-all", "filters"}
    assert "html:not(.js) .needs-js { display: none; }" in text


PHONE = """
  const frame = document.createElement("iframe");
  frame.width = 390; frame.height = 800; frame.src = "index.html";
  document.body.append(frame);
  await new Promise((done) => frame.addEventListener("load", done));
  const inside = frame.contentDocument;
  inside.querySelectorAll("details").forEach((each) => { each.open = true; });
  const hints = [...inside.querySelectorAll(".wide-table")].map((each) => {
    const scroll = each.querySelector(".scroll");
    return [scroll.scrollWidth > scroll.clientWidth, each.querySelector(".hint").offsetHeight > 0];
  });
  seen.push(inside.documentElement.scrollWidth, hints);
"""


def test_on_a_phone_nothing_is_wider_than_the_screen_and_tables_that_scroll_say_so(page, act):
    width, hints = act(page, PHONE, "", "--allow-file-access-from-files")
    assert width <= 390
    assert len(hints) >= 3
    assert all(says_so for scrolls, says_so in hints if scrolls)
    assert any(scrolls for scrolls, _ in hints)


def test_on_a_wide_screen_the_main_table_needs_no_scrolling_and_figures_keep_their_room(page, act):
    """A figure's room is known before it is drawn: nothing moves while the page is loaded."""
    doing = """
      const scroll = document.querySelector(".wide-table .scroll");
      seen.push(scroll.scrollWidth <= scroll.clientWidth, document.querySelector(".hint").offsetHeight);
      seen.push([...document.images].map((each) => getComputedStyle(each).aspectRatio));
    """
    fits, hint_height, ratios = act(page, doing, "", "--window-size=1366,900")
    assert fits
    assert hint_height == 0
    assert len(ratios) >= 8
    assert all(re.fullmatch(r"auto \d+ / \d+", ratio) for ratio in ratios)
