"""`calvinbench view`."""

import webbrowser
from dataclasses import dataclass
from pathlib import Path

import tyro

from calvinbench.harness.verbs.console import DONE, print_json, tell


@dataclass(frozen=True, slots=True)
class View:
    """Write the report of runs and open its page in a browser."""

    directories: tyro.conf.Positional[tuple[Path, ...]]
    """Folders of runs, or folders that hold several."""
    json: bool = False
    """Print one JSON object instead of opening anything."""

    def execute(self) -> int:
        """Writes and opens; the report is written anew, for runs may have gone on."""
        if not self.directories:
            raise ValueError("expected a folder with runs, got none. Such as: calvinbench view runs")
        from calvinbench.harness.report import PAGE, write_report

        page = (write_report(self.directories).directory / PAGE).resolve()
        if self.json:
            print_json({"page": str(page)})
        else:
            print(page)
            if not webbrowser.open(page.as_uri()):
                tell("No browser was found here. The page needs no server: open it from any machine that has one.")
        return DONE
