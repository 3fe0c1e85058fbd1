"""`calvinbench doctor`."""

import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import tyro

from calvinbench.harness.command_line.console import DONE, FAILED, print_json, standard_output_for_results, tell
from calvinbench.harness.command_line.usage import Example, Usage


@dataclass(frozen=True, slots=True)
class Doctor:
    """Report what works on this machine and how to fix the rest, or compare our simulation with CALVIN's own."""

    USAGE: ClassVar[Usage] = Usage(
        examples=(
            Example("", "check torch, PyBullet, renderers, assets and packages"),
            Example("--calvin --scene B", "execute the same actions in calvin_env and in calvinbench"),
            Example("--calvin-data task_D_D", "compare rendered images with those of CALVIN's data"),
        ),
        headings={
            "Compare the simulation with calvin_env": ("calvin", "steps", "seed", "upstream_python"),
            "Compare images with a CALVIN data set": ("calvin_data", "frames"),
            "Both": ("scene", "calvin_env"),
        },
    )

    calvin: bool = False
    """Execute the same actions in calvin_env's own simulator and in ours, and report the first difference."""
    calvin_data: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="")] = None
    """Set our simulation to states of a CALVIN data set, and report how much our images differ from the stored ones."""
    scene: Annotated[str | None, tyro.conf.arg(metavar="NAME", help_behavior_hint="(default: D, or the data's)")] = None
    """Scene for --calvin, or for a data set that does not name its scene."""
    steps: Annotated[int, tyro.conf.arg(metavar="N")] = 100
    """With --calvin: number of actions."""
    seed: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """With --calvin: random seed of the actions."""
    frames: Annotated[int, tyro.conf.arg(metavar="N")] = 20
    """With --calvin-data: number of frames, spread evenly."""
    calvin_env: Annotated[
        Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="(default: CALVIN_ENV_ROOT, or as installed)")
    ] = None
    """Checkout of calvin_env to check or to compare with."""
    upstream_python: Annotated[Path, tyro.conf.arg(metavar="FILE", help_behavior_hint="(default: this one)")] = Path(
        sys.executable
    )
    """With --calvin: a Python interpreter that has calvinbench and the packages that calvin_env imports."""
    json: bool = False
    """Print one JSON object instead of text."""

    def execute(self) -> int:
        """Checks the machine, or compares simulators or images."""
        if self.calvin and self.calvin_data is not None:
            raise ValueError("expected --calvin or --calvin-data, got both. Call doctor once for each.")
        if self.calvin:
            return self._compare_simulators()
        if self.calvin_data is not None:
            return self._compare_images(self.calvin_data)
        return self._examine()

    def _examine(self) -> int:
        """Prints each finding as it comes."""
        from calvinbench.harness.diagnostics.doctor import examine

        findings = []
        for finding in examine(self.calvin_env):
            findings.append(finding)
            if not self.json:
                remedy = f"  -> {finding.remedy}" if finding.remedy else ""
                print(f"{finding.status:8}{finding.name}: {finding.detail}{remedy}", flush=True)
        is_trouble = any(finding.is_trouble for finding in findings)
        if self.json:
            print_json({"ok": not is_trouble, "findings": [asdict(finding) for finding in findings]})
        return FAILED if is_trouble else DONE

    def _compare_simulators(self) -> int:
        """Prints the first difference, or that there is none."""
        from calvinbench.harness.diagnostics.parity import compare_with_upstream

        tell("Executing the same actions in calvin_env and in our world ...")
        with standard_output_for_results():
            parity = compare_with_upstream(
                self.scene or "D", self.steps, self.seed, self.calvin_env, self.upstream_python
            )
        if self.json:
            print_json({"ok": parity.is_same, **asdict(parity)})
        else:
            print(parity.words())
        return DONE if parity.is_same else FAILED

    def _compare_images(self, data: Path) -> int:
        """Prints how much each renderer's images differ from the data's."""
        from calvinbench.harness.data_check.images import compare_images

        with standard_output_for_results():
            found = compare_images(data, self.frames, self.scene, self.calvin_env)
        if self.json:
            print_json({"ok": found.is_alike, "verdict": found.verdict(), **asdict(found)})
        else:
            print("\n".join(found.lines()))
        return DONE if found.is_alike else FAILED
