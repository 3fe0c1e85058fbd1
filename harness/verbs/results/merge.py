"""`calvinbench merge`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import tyro

from calvinbench.harness.command_line.console import DONE, print_json, run_as_json
from calvinbench.harness.command_line.usage import Example, Usage


@dataclass(frozen=True, slots=True)
class Merge:
    """Join the shards of runs, which `run --shard I/N` made. Shards may be unfinished: merge again later."""

    USAGE: ClassVar[Usage] = Usage(examples=(Example("runs", "join all shards below a folder"),))

    directories: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="DIR ...")]
    """Folders of runs, or folders that hold several."""
    json: bool = False
    """Print one JSON object instead of text."""

    def execute(self) -> int:
        """Merges the shards, and prints how many chains each run has."""
        if not self.directories:
            raise ValueError("expected a folder with shards, got none. Such as: calvinbench merge runs")
        from calvinbench.harness.records.shards import merge

        merged = merge(*self.directories)
        if self.json:
            print_json({"runs": [run_as_json(each.run) | {"shards": each.num_shards} for each in merged]})
            return DONE
        for each in merged:
            missing = each.run.num_missing
            print(
                f"{each.run.directory}: {len(each.run.records)} of {each.run.description.chains} chains of "
                f"{each.num_shards} shards" + (f"; {missing} are not finished yet." if missing else ".")
            )
        return DONE
