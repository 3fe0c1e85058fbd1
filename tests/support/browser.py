"""A real browser, if there is one: a page is opened, used by a script in place of hands, and looked at."""

import json
import shutil
import subprocess
from html.parser import HTMLParser

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
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


# A reader's hands: what they do is written into a copy of the page, and what they see into an element of it.
HANDS = """
<script id="hands">
const seen = [];
const see = () => seen.push([field("count").textContent, document.querySelectorAll("#chain-list details").length,
  !field("more").hidden, location.hash]);
const choose = (id, value) => {
  field(id).value = value;
  field(id).dispatchEvent(new Event("input", { bubbles: true }));
};
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
(async () => {
  await wait(0);
  %s
  const told = document.createElement("pre");
  told.id = "seen";
  told.textContent = JSON.stringify(seen);
  document.body.append(told);
})();
</script>
"""


def browse(page, profile, address="", *flags):
    """What the browser prints for a page, which must not complain of anything.

    Args:
        page: The file.
        profile: An empty folder for the browser's own files.
        address: What is behind the file's address, such as `"#runs"`.
        flags: Of the browser.
    """
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", *flags, f"{page.as_uri()}{address}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in done.stderr, done.stderr
    return done.stdout


def act(page, profile, doing, address="", *flags):
    """What some lines of JavaScript saw in a page, each time that they pushed something to `seen`."""
    text = page.read_text()
    assert text.count("</body>") == 1
    copy = page.with_name("copy.html")
    copy.write_text(text.replace("</body>", HANDS % doing + "</body>"))
    shown = browse(copy, profile, address, "--virtual-time-budget=20000", "--dump-dom", *flags)
    return json.loads(Text(shown).by_id["seen"])
