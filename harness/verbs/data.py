"""`calvinbench data`."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import tyro

from calvinbench.harness.command_line.console import DONE, FAILED, print_json, tell
from calvinbench.harness.command_line.usage import Example, Usage

if TYPE_CHECKING:
    from calvinbench.harness.data_check.verdict import DataCheck


@dataclass(frozen=True, slots=True)
class Data:
    """Check whether a data set is complete, and report what is in it. Formats: CALVIN's layout, or our compact form."""

    USAGE: ClassVar[Usage] = Usage(
        examples=(
            Example("check demonstrations", "check a sample of the frames"),
            Example("check task_D_D --all-frames", "check every frame"),
            Example("check demonstrations --contact-sheet sheet.png", "check a sample and draw a page of images"),
        )
    )

    action: Annotated[tyro.conf.Positional[Literal["check"]], tyro.conf.arg(metavar="check")]
    """What to do with the data set."""
    folder: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="DIR")]
    """Folder of the data set, with training/ and validation/ in it."""
    all_frames: bool = False
    """Open every frame instead of a sample."""
    frames: Annotated[int, tyro.conf.arg(metavar="N")] = 500
    """Without --all-frames: number of frames to open in each split, spread evenly."""
    contact_sheet: Annotated[Path | None, tyro.conf.arg(metavar="FILE.png", help_behavior_hint="(default: none)")] = (
        None
    )
    """Draw a page of images into this file: some demonstrations from both cameras, with their sentences."""
    json: bool = False
    """Print one JSON object instead of text."""

    def execute(self) -> int:
        """Checks the data set; the first line printed is the verdict."""
        if self.frames < 1:
            raise ValueError(f"expected at least one frame, got {self.frames}.")
        check = self._check()
        sheet = None if self.contact_sheet is None else self._draw(check, self.contact_sheet)
        if self.json:
            print_json(
                {"verdict": check.verdict(), "whole": check.is_whole, "usable": check.is_usable, **asdict(check)}
                | {"contact_sheet": sheet and str(sheet)}
            )
        else:
            print("\n".join(check.lines()))
            if sheet:
                print(f"Images: {sheet}")
        return DONE if check.is_whole else FAILED

    def _check(self) -> "DataCheck":
        from rich.console import Console
        from rich.progress import Progress, TaskID

        from calvinbench.harness.data_check.verdict import check_data

        console = Console(stderr=True)
        with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
            bars: dict[str, TaskID] = {}

            def on_frame(split: str, done: int, total: int) -> None:
                if split not in bars:
                    bars[split] = progress.add_task(f"Reading {split}", total=total)
                progress.update(bars[split], completed=done)

            return check_data(self.folder, self.all_frames, self.frames, on_frame)

    def _draw(self, check: "DataCheck", file: Path) -> Path | None:
        """Draws the first split that has readable images."""
        from calvinbench.harness.data_check.contact_sheet import draw_contact_sheet
        from calvinbench.policies.demonstrations.opening import open_data

        for split in check.splits:
            if split.num_demonstrations and draw_contact_sheet(open_data(self.folder, split.split), file):
                return file
        tell("No contact sheet was drawn, because no demonstration has readable images.")
        return None
