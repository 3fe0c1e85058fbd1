"""A report's page, read as a browser would: elements, links, texts, tables, and the chains of its script."""

import json
import re
from html.parser import HTMLParser
from urllib.parse import unquote

VOID = {"meta", "input", "br", "link", "img"}


class Page(HTMLParser):
    """Looks at a page: is every element closed, which ids and links are there, what text has which element."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.links, self.texts, self.elements = [], [], [], {}, []
        self.rows = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        assert len(found) == len(attributes), f"{tag} has an attribute twice"
        self.elements.append((tag, found))
        self.ids += [found["id"]] if "id" in found else []
        self.links += [value for name, value in attributes if name in ("src", "href")]
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th") and self.rows:
            self.rows[-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        if self.open:
            self.texts.setdefault(self.open[-1], []).append(text)
        if self.rows and self.rows[-1] and {"td", "th"} & set(self.open) and "small" not in self.open:
            self.rows[-1][-1] += text

    def all(self, tag):
        """The attributes of all elements of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def files(self):
        """Links to files."""
        outside = ("#", "data:")
        return [unquote(link.partition("#")[0]) for link in self.links if not link.startswith(outside)]


def chains_of(text):
    """The chains of a page's script: a dictionary for each, with names in place of numbers."""
    data = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1])
    chains = []
    for run, number, completed, outcome, subtasks, *ends in data["chains"]:
        error, video = [*ends, "", ""][:2]
        told = [
            [data["tasks"][task], data["instructions"][sentence], data["outcomes"][ending], steps]
            for task, sentence, ending, steps in subtasks
        ]
        chain = {"run": data["runs"][run], "chain": number, "completed": completed, "subtasks": told}
        chains.append(chain | {"outcome": data["outcomes"][outcome], "error": error, "video": video})
    return data, chains
