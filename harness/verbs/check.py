"""`calvinbench check`."""

import shutil
import sys
import textwrap
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import tyro

from calvinbench.harness.command_line.console import DONE, FAILED, print_json, standard_output_for_results
from calvinbench.harness.command_line.usage import Example, Usage

if TYPE_CHECKING:
    from calvinbench.harness.policy_check.checking import PolicyCheck

_MARKS = {"right": "ok", "wrong": "WRONG", "unknown": "?", "note": "note"}


@dataclass(frozen=True, slots=True)
class Check:
    """Step a policy for a minute beside the expert, and report what looks wrong: units, frame, gripper, images."""

    USAGE: ClassVar[Usage] = Usage(
        examples=(
            Example("calvin:my_model:MyModel", "check your own model for about a minute"),
            Example("ws://localhost:8000 --seconds 20", "check a policy server for a shorter time"),
        ),
    )

    policy: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="SPEC")]
    """The policy's spec KIND:ARGUMENT[,key=value...], such as calvin:my_model:MyModel."""
    scene: Annotated[str, tyro.conf.arg(metavar="NAME")] = "embedded"
    """Scene, one of `calvinbench list scenes`."""
    seconds: Annotated[float, tyro.conf.arg(metavar="S")] = 60.0
    """Approximate duration of the check in seconds, after the policy is loaded."""
    chains: Annotated[int, tyro.conf.arg(metavar="N")] = 10
    """Maximum number of published chains that the expert runs during the check."""
    instructions: Annotated[str, tyro.conf.arg(metavar="NAME")] = "auto"
    """Sentences given to the policy. auto: CALVIN's on CALVIN's scenes, ours elsewhere. calvinbench: ours. calvin:
    CALVIN's. `calvinbench run --help` lists more."""
    renderer: Annotated[str | None, tyro.conf.arg(metavar="NAME", help_behavior_hint="(default: opengl-look)")] = None
    """Renderer of the camera images: opengl-look, bullet-egl or bullet-tiny."""
    seed: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """Random seed of the policy."""
    calvin_env: Annotated[
        Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="(default: CALVIN_ENV_ROOT, or as installed)")
    ] = None
    """Checkout of calvin_env. CALVIN's scenes A to D need it."""
    calvin: Annotated[
        Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="(default: CALVIN_ROOT, or near calvin_env)")
    ] = None
    """Checkout of calvin. CALVIN's sentences need it."""
    json: bool = False
    """Print one JSON object instead of text."""

    def execute(self) -> int:
        """Checks the policy; the exit status is 1 if something looks wrong."""
        from calvinbench.harness.evaluation.suite_checks import require_known_names
        from calvinbench.harness.policy_check.checking import check_by_stepping
        from calvinbench.harness.rollout.workers import WorkerSetup
        from calvinbench.harness.suite.settings import RunSettings
        from calvinbench.harness.suite.suite import Suite

        settings = RunSettings(
            self.policy,
            scene=self.scene,
            seed=self.seed,
            instructions=self.instructions,
            renderer=self.renderer,
            calvin_env=None if self.calvin_env is None else str(self.calvin_env),
            calvin=None if self.calvin is None else str(self.calvin),
        )
        require_known_names(Suite.of(policy=(self.policy,), scene=self.scene, instructions=self.instructions))
        with standard_output_for_results():
            found = check_by_stepping(WorkerSetup(settings), self.seconds, self.chains)
        if self.json:
            print_json({"looks_wrong": found.looks_wrong, **asdict(found)})
        else:
            _show(found)
        return FAILED if found.looks_wrong else DONE


def _show(found: "PolicyCheck") -> None:
    print(
        f"{found.label}: asked in {found.num_steps} states that the expert visited, in {found.num_subtasks} subtasks, "
        f"scene {found.scene}\n"
    )
    if found.numbers:
        print(f"{'':12}{'mean':>9}{'largest':>9}{'beyond 1':>10}{'expert: mean':>14}{'largest':>9}")
        for row in found.numbers:
            print(
                f"{row.name:12}{row.mean:9.3g}{row.largest:9.3g}{row.beyond:10.0%}{row.expert_mean:14.3g}"
                f"{row.expert_largest:9.3g}"
            )
        print("Absolute values of the policy's and the expert's actions in the same states. 1 is 0.02 m or 0.05 rad.\n")
    for finding in found.findings:
        print(_wrapped(f"{_MARKS[finding.status]:7}{finding.topic}: {finding.words}"))
    num_wrong = sum(finding.status == "wrong" for finding in found.findings)
    print(f"\n{f'Looks wrong: {num_wrong}' if num_wrong else 'Nothing looks wrong'}.")


def _wrapped(text: str) -> str:
    """The text in lines that fit a terminal; unchanged where output is not a terminal."""
    if not sys.stdout.isatty():
        return text
    width = max(40, min(120, shutil.get_terminal_size().columns))
    lines = (textwrap.wrap(line, width, subsequent_indent=" " * 7) or [""] for line in text.splitlines())
    return "\n".join(line for wrapped in lines for line in wrapped)
