"""`calvinbench import`."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import tyro

from calvinbench.harness.command_line.console import DONE, WRONG_CALL, print_json, standard_output_for_results, tell
from calvinbench.harness.command_line.usage import Example, Usage

if TYPE_CHECKING:
    from calvinbench.policies.robovlms.plan import ImportPlan


@dataclass(frozen=True, slots=True)
class Import:
    """Convert a checkpoint of RoboVLMs, FILE.pt with its FILE.json, into a checkpoint of calvinbench."""

    USAGE: ClassVar[Usage] = Usage(
        examples=(
            Example(
                "robovlms model.pt --config model.json --vlm kosmos-2 --dry-run",
                "list where each weight would go, and write nothing",
            ),
            Example("robovlms model.pt --config model.json --vlm kosmos-2 --out mine", "write the checkpoint"),
        )
    )

    format: Annotated[tyro.conf.Positional[Literal["robovlms"]], tyro.conf.arg(metavar="robovlms")]
    """Project that the checkpoint comes from."""
    file: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="FILE.pt")]
    """The checkpoint to convert. No code in it is executed."""
    config: Annotated[Path, tyro.conf.arg(metavar="FILE.json")]
    """The checkpoint's configuration."""
    vlm: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="(default: as the config says)")] = None
    """Folder of the VLM that training started from. Its config.json and tokenizer are read, its weights are not."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="(default: the file's name)")] = None
    """Folder for the converted checkpoint."""
    dry_run: bool = False
    """Write nothing. List the new name of each weight, and the keys of the configuration that have no effect."""
    json: bool = False
    """Print one JSON object instead of text."""

    def execute(self) -> int:
        """Imports the file, or says what an import would do."""
        from calvinbench.policies.robovlms.checkpoint import plan_as_json, save_imported, unchecked
        from calvinbench.policies.robovlms.plan import plan_import

        if not self.file.exists():
            raise ValueError(f"expected a file as FILE.pt, or a folder of its pieces, found none at '{self.file}'.")
        if not self.config.is_file():
            raise ValueError(f"expected a file as --config FILE.json, found none at '{self.config}'.")
        out = self.out or Path(self.file.stem)
        if not self.dry_run:
            _require_free(out)
        tell(f"Reading {self.file} ...")
        with standard_output_for_results():
            plan = plan_import(self.file, self.config, self.vlm)
            written = None if self.dry_run else save_imported(plan, out)
        if self.json:
            print_json({**plan_as_json(plan), "out": None if written is None else str(written)})
        elif written is None:
            print("\n".join(_lines(plan)))
        else:
            print(f"{written}: calvinbench run --policy checkpoint:{written}")
        if not self.json:
            tell(f"Not checked: {unchecked(plan)}.")
        return DONE if plan.fits else WRONG_CALL


def _require_free(folder: Path) -> None:
    """Raises an error if the folder is a file, or holds files that are not a checkpoint."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"expected a folder as --out, got '{folder}', which is a file.")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "policy.json").is_file():
        raise ValueError(f"expected a new folder or a checkpoint's as --out, got '{folder}', which holds other files.")


def _lines(plan: "ImportPlan") -> list[str]:
    """Lists where every weight goes, and which keys have no effect."""
    lines = ["Weights in the file, and their names in calvinbench:"]
    for row in plan.rows:
        theirs = f"  {row.theirs or '(new)'} {list(row.shape)}"
        if row.ours:
            lines.append(f"{theirs} -> {', '.join(row.ours)}{f'  ({row.note})' if row.note else ''}")
        else:
            lines.append(
                f"{theirs} {f'dropped: {row.note}' if row.note else 'LEFT OVER: calvinbench has no weight for it'}"
            )
    lines += [f"  MISSING: {name}" for name in plan.missing]
    lines += [f"  DIFFERENT SHAPE: {name}" for name in plan.misshapen]
    lines += ["", "Keys of the configuration without effect:"]
    lines += [f"  {key.key} = {key.value!r}: {key.reason}" for key in plan.idle]
    config = plan.config
    lines += [
        "",
        f"Policy: {config.backbone}, cameras {'+'.join(config.backbone_settings.cameras)}, layout "
        f"{config.backbone_settings.layout}, readout {config.backbone_settings.readout}, memory {config.memory.span} "
        f"reset at each {config.memory.reset}, chunks of {config.head.chunk_length}, rule {config.chunk_rule}, pose "
        f"{config.pose_range.low} to {config.pose_range.high}",
    ]
    num_dropped = sum(not row.ours and not row.is_left for row in plan.rows)
    num_mapped = sum(bool(row.ours) for row in plan.rows)
    verdict = "The checkpoint fits" if plan.fits else "The checkpoint does not fit"
    lines.append(
        f"{verdict}: {num_mapped} mapped, {num_dropped} dropped, {len(plan.missing)} missing, {len(plan.left)} left "
        f"over, {len(plan.misshapen)} with a different shape. Nothing was written."
    )
    return lines
