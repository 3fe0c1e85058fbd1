"""`calvinbench merge`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import tyro

from calvinbench.harness.command_line.console import DONE, print_json, run_as_json, standard_output_for_results
from calvinbench.harness.command_line.usage import Example, Usage


@dataclass(frozen=True, slots=True)
class Merge:
    """Join the shards of runs, or merge a checkpoint's low-rank adapters into its weights.

    `run --shard I/N` makes shards. They may be unfinished: merge again later.
    """

    USAGE: ClassVar[Usage] = Usage(
        examples=(
            Example("runs", "join all shards below a folder"),
            Example("trained/checkpoint --out merged", "write a checkpoint without adapters, which runs without peft"),
        )
    )

    directories: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="DIR ...")]
    """Folders of runs, or folders that hold several. Or one checkpoint, of a training with --lora-enable true."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="(needed for a checkpoint)")] = None
    """Folder of the new checkpoint. Shards are joined in the folders of their runs."""
    json: bool = False
    """Print one JSON object instead of text."""

    def execute(self) -> int:
        """Merges the shards, and prints how many chains each run has."""
        if not self.directories:
            raise ValueError("expected a folder with shards, got none. Such as: calvinbench merge runs")
        from calvinbench.policies.learned.checkpoint_folder import CONFIG_FILE

        checkpoints = [folder for folder in self.directories if (folder / CONFIG_FILE).is_file()]
        if checkpoints or self.out is not None:
            return self._merge_adapters(checkpoints)
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

    def _merge_adapters(self, checkpoints: list[Path]) -> int:
        """Writes the checkpoint without adapters."""
        if len(checkpoints) != 1 or len(self.directories) != 1:
            raise ValueError(
                f"expected one checkpoint, a folder with a policy.json, beside --out DIR, got "
                f"{', '.join(map(str, self.directories))}. Remove --out to join the shards of runs."
            )
        if self.out is None:
            raise ValueError("expected --out DIR, the folder of the merged checkpoint, got none.")
        from calvinbench.policies.learned.checkpoint import merge_checkpoint

        with standard_output_for_results():
            written = merge_checkpoint(checkpoints[0], self.out)
        if self.json:
            print_json({"checkpoint": str(written)})
        else:
            print(f"{written}: calvinbench run --policy checkpoint:{written}")
        return DONE
