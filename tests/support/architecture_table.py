"""Writes docs/architectures.md: whether `hf:` can use each image-text-to-text architecture of transformers.

From the repository's root: `PYTHONPATH=tests python -m support.architecture_table docs/architectures.md`. It takes
about two minutes. Without a file name it prints the table. Each architecture runs in a process of its own with a time
limit.
"""

import multiprocessing
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from queue import Empty
from typing import Any

import torch
import transformers

from support.tiny_architectures import NAMED, NOT_TRIED, REFUSED, WORKS, Verdict, architectures, verdict

MAX_SECONDS = 120
RAW_ERROR = "raw error"
HEAD = """# Architectures that `hf:` can use

`hf:ORG/NAME` runs a vision-language model of the hub without a backbone file of its own. This page lists every
image-text-to-text architecture of transformers {version} and whether `hf:` can use it.

- **works**: a small form with random weights passes the check that `hf:` runs when it reads a model. The feature
  depends on the images, and it equals that of the model's own forward pass where this takes the same inputs.
- **named backbone**: it has a backbone of its own, and `hf:` says which; the reason shows how to write it.
- **refused**: making the backbone raises one error with the reason given here.
- **not tried**: no small form of it was made here, so nothing is known. `hf:` runs the same check when it reads the
  model, and raises an error if it fails.

{counts}

A test in `tests/policies/backbones/test_architectures.py` compares this table with the code. To write it again:

```
PYTHONPATH=tests python -m support.architecture_table docs/architectures.md
```

| architecture | result | reason |
|---|---|---|
"""


def walk(names: Iterable[str]) -> dict[str, Verdict]:
    """The verdict on each architecture, each in a process of its own."""
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    _import_beforehand()
    return {name: _in_process(name) for name in names}


def table(verdicts: dict[str, Verdict]) -> str:
    """The page in Markdown."""
    counts = {kind: sum(one.result == kind for one in verdicts.values()) for kind in (WORKS, NAMED, REFUSED, NOT_TRIED)}
    said = ", ".join(f"{number} {kind}" for kind, number in counts.items())
    head = HEAD.format(version=transformers.__version__, counts=f"{len(verdicts)} architectures: {said}.")
    rows = [f"| {name} | {one.result} | {one.reason.replace('|', ' ')} |" for name, one in sorted(verdicts.items())]
    return head + "\n".join(rows) + "\n"


def read_table(page: str) -> dict[str, Verdict]:
    """The verdicts on a page that `table` wrote."""
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| ")][1:]
    return {row[0]: Verdict(row[1], *(cell.strip(" |") for cell in row[2:])) for row in rows}


def _import_beforehand() -> None:
    """What one verdict imports is there for all processes that are forked from this one."""
    with suppress(Exception):
        verdict("llava")


def _in_process(name: str) -> Verdict:
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=_put_verdict, args=(name, queue))
    process.start()
    try:
        return queue.get(timeout=MAX_SECONDS)  # type: ignore[no-any-return]
    except Empty:
        return Verdict(NOT_TRIED, f"it takes more than {MAX_SECONDS} seconds, even when small")
    finally:
        process.kill()
        process.join()


def _put_verdict(name: str, queue: Any) -> None:
    try:
        queue.put(verdict(name))
    except BaseException as error:  # noqa: BLE001  what `hf:` should have turned into a refusal
        queue.put(Verdict(RAW_ERROR, f"{type(error).__name__}: {error}"))


if __name__ == "__main__":
    page = table(walk(architectures()))
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(page, "utf-8")
    else:
        print(page)  # noqa: T201
