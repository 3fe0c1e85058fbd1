"""`calvinbench video`."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import tyro

from calvinbench.harness.command_line.console import DONE, FAILED, print_json, standard_output_for_results, tell
from calvinbench.harness.command_line.usage import Example, Usage
from calvinbench.harness.evaluation.stopping import stopped_as_by_ctrl_c

if TYPE_CHECKING:
    from calvinbench.harness.suite.settings import RunSettings


@dataclass(frozen=True, slots=True)
class Video:
    """Make videos of finished chains. Each chain is run again, and the result is compared with its record."""

    USAGE: ClassVar[Usage] = Usage(
        examples=(
            Example("runs/expert --chain 3", "write runs/expert/videos/chain_0003.mp4"),
            Example("runs --chain 3 --out videos", "the same chain of all runs in a folder"),
        )
    )

    directories: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="DIR ...")]
    """Folders of runs, or folders that hold several."""
    chain: Annotated[tyro.conf.UseAppendAction[tuple[int, ...]], tyro.conf.arg(metavar="N")] = ()
    """Number of a finished chain, from 0."""
    out: Annotated[
        Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="(default: videos, in each run's folder)")
    ] = None
    """Folder of the videos. Those of several runs get a folder each, named like the run's."""
    calvin_env: Annotated[
        str | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="(default: CALVIN_ENV_ROOT, or as installed)")
    ] = None
    """Checkout of calvin_env, for runs on CALVIN's scenes A to D."""
    calvin: Annotated[
        str | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="(default: CALVIN_ROOT, or near calvin_env)")
    ] = None
    """Checkout of calvin, for runs with CALVIN's sentences."""
    instructions: Annotated[
        str | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="(default: as the run has it)")
    ] = None
    """File of instructions, for runs that were given one."""
    json: bool = False
    """Print one JSON object instead of text."""

    def execute(self) -> int:
        """Makes the videos, and names each file."""
        if not self.directories:
            raise ValueError("expected a folder with runs, got none. Such as: calvinbench video runs/expert --chain 3")
        if not self.chain:
            raise ValueError("expected the number of a finished chain, got none. Add --chain N.")
        from calvinbench.harness.evaluation.replay import replay
        from calvinbench.harness.records.runs import find_runs

        made: list[dict[str, Any]] = []
        runs = find_runs(*self.directories)
        with stopped_as_by_ctrl_c():
            for run in runs:
                folder = self.out / run.directory.name if self.out is not None and len(runs) > 1 else self.out
                tell(f"Running again: {', '.join(f'chain {number}' for number in self.chain)} of {run.name}")
                with standard_output_for_results():
                    found = list(replay(run, self.chain, folder, change=self._changed))
                for each in found:
                    made.append({"run": str(run.directory), "chain": each.record.chain, "video": str(each.video)})
                    made[-1]["unlike"] = list(each.unlike)
                    if not self.json:
                        print(each.video)
                    if each.unlike:
                        tell(f"Chain {each.record.chain} went another way than its record: {'; '.join(each.unlike)}.")
        if self.json:
            print_json({"videos": made})
        return FAILED if any(each["unlike"] for each in made) else DONE

    def _changed(self, settings: "RunSettings") -> "RunSettings":
        """The run's settings, with what is found elsewhere on this machine."""
        return replace(
            settings,
            calvin_env=self.calvin_env or settings.calvin_env,
            calvin=self.calvin or settings.calvin,
            instructions=self.instructions or settings.instructions,
        )
