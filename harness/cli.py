"""The command line: `calvinbench run`, `report`, `list`, `doctor`, `install-calvin`, `demo`.

Progress goes to standard error, the result to standard output. Whatever is heavy is imported by the verb that needs it.
"""

import logging
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from calvinbench.harness.errors import RunFailedError
from calvinbench.harness.json_output import json_text, report_as_json, run_as_json
from calvinbench.harness.listings import NAMES, scene_lines
from calvinbench.harness.suite import Suite, load_suite, shipped_suites

if TYPE_CHECKING:
    from calvinbench.harness.runs import Run as FinishedRun

DONE, FAILED, WRONG_CALL = 0, 1, 2
DEBUG_VARIABLE = "CALVINBENCH_DEBUG"
"""Set to anything, it shows the traceback of errors that are otherwise told in a sentence."""
DEMO_OUT = Path("calvinbench-demo")


@dataclass(frozen=True, slots=True)
class Run:
    """Run policies on chains of tasks and keep every finished chain; the same command again goes on."""

    suite: Annotated[tyro.conf.Positional[str | None], tyro.conf.arg(metavar="[SUITE]", help_behavior_hint="")] = None
    """A shipped suite's name, or the path of a suite's YAML file. Flags given beside it take precedence."""
    policy: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="SPEC")] = ()
    """A policy's spec KIND:ARGUMENT[,key=value...], such as expert, random, untrained:kosmos2; again for more."""
    scene: Annotated[str | None, tyro.conf.arg(metavar="NAME", help_behavior_hint="(default: embedded)")] = None
    """Scene, one of `calvinbench list scenes`."""
    chains: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: 1000)")] = None
    """The first N of the published chains."""
    max_steps: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: 360)")] = None
    """Steps for each subtask."""
    worlds: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: 1)")] = None
    """Worlds stepped at once; records do not depend on it."""
    seed: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: 0)")] = None
    """Where random draws start from."""
    memory_reset: Annotated[
        Literal["subtask", "chain"] | None,
        tyro.conf.arg(metavar="{subtask,chain}", help_behavior_hint="(default: as the policy has it)"),
    ] = None
    """When memory is cleared."""
    calvin_env: Annotated[
        Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="(default: CALVIN_ENV_ROOT, or as installed)")
    ] = None
    """Checkout of calvin_env, for CALVIN's scenes A to D."""
    calvin: Annotated[
        Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="(default: CALVIN_ROOT, or near calvin_env)")
    ] = None
    """Checkout of calvin, for CALVIN's sentences."""
    simulation: Annotated[str | None, tyro.conf.arg(metavar="NAME", help_behavior_hint="(default: reproducible)")] = (
        None
    )
    """reproducible: an episode is bit-identical whatever came before; parity: bit-identical to a fresh calvin_env;
    upstream: calvin_env's own simulator."""
    instructions: Annotated[str | None, tyro.conf.arg(metavar="NAME", help_behavior_hint="(default: auto)")] = None
    """auto, calvinbench (ours), calvin (CALVIN's), or calvin-training (one of its training wordings a subtask)."""
    renderer: Annotated[str | None, tyro.conf.arg(metavar="NAME", help_behavior_hint="(default: opengl-look)")] = None
    """opengl-look (the pictures of CALVIN's data, on the CPU), bullet-egl (PyBullet's OpenGL), or bullet-tiny."""
    depth_bits: Annotated[
        Literal[16, 24] | None,
        tyro.conf.arg(metavar="{16,24}", help_behavior_hint="(default: 16 on CALVIN's scenes, 24 on ours)"),
    ] = None
    """Of opengl-look's depth buffer: 16 as the Mesa driver gives to Bullet, 24 as a GPU's driver may."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="(default: runs)")] = None
    """Parent of the runs' folders."""
    json: bool = False
    """Print one JSON object instead of the table."""

    def execute(self) -> int:
        """Runs what is missing and prints the table."""
        suite = self._suite()
        runs = _evaluate(suite)
        if self.json:
            print(json_text({"out": str(suite.parent), "runs": [run_as_json(run) for run in runs]}))
        else:
            from calvinbench.harness import tables

            tables.show(runs)
            _tell(f"Kept in {suite.parent}. Figures and tables: calvinbench report {suite.parent}")
        return _status(runs)

    def _suite(self) -> Suite:
        """The suite's settings with the flags laid over them."""
        names = (
            *("scene", "chains", "max_steps", "worlds", "seed", "memory_reset", "simulation", "instructions"),
            *("renderer", "depth_bits", "out"),
        )
        flags: dict[str, Any] = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        folders = {"calvin_env": self.calvin_env, "calvin": self.calvin}
        flags |= {name: str(folder) for name, folder in folders.items() if folder is not None}
        if self.suite is None:
            if not self.policy:
                raise ValueError(
                    f"expected a suite or --policy SPEC, got neither. Shipped suites: {', '.join(shipped_suites())}."
                )
            return Suite(policy=self.policy, **flags)
        if self.policy:
            raise ValueError(f"expected a suite or --policy, got both: suite '{self.suite}' names its own policies.")
        return replace(load_suite(self.suite), **flags)


@dataclass(frozen=True, slots=True)
class Report:
    """Write tables and figures of runs into a folder, and print the table."""

    directories: tyro.conf.Positional[tuple[Path, ...]]
    """Folders of runs, or folders that hold several."""
    out: Annotated[
        Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="(default: report, beside the runs)")
    ] = None
    """The report's folder."""
    any_renderer: bool = False
    """Compare runs of different renderers too."""
    json: bool = False
    """Print one JSON object instead of the table."""

    def execute(self) -> int:
        """Writes the report."""
        if not self.directories:
            raise ValueError("expected a folder with runs, got none. Such as: calvinbench report runs")
        from calvinbench.harness import tables
        from calvinbench.harness.report import write_report

        report = write_report(self.directories, self.out, any_renderer=self.any_renderer)
        if self.json:
            print(json_text(report_as_json(report)))
        else:
            tables.show(report.runs)
            _tell(f"Written: {', '.join(str(file) for file in report.files)}")
        return DONE


@dataclass(frozen=True, slots=True)
class List:
    """List what can be named: tasks, scenes, backbones, policies, suites."""

    kind: Annotated[
        tyro.conf.Positional[Literal["tasks", "scenes", "backbones", "policies", "suites"] | None],
        tyro.conf.arg(metavar="[KIND]", help_behavior_hint=""),
    ] = None
    """One kind only: tasks, scenes, backbones, policies or suites."""
    json: bool = False
    """Print one JSON object."""

    def execute(self) -> int:
        """Prints names."""
        names = {kind: find() for kind, find in NAMES.items() if self.kind in (None, kind)}
        if self.json:
            print(json_text(names))
        elif self.kind == "scenes":
            print("\n".join(scene_lines()))
        elif self.kind is not None:
            print("\n".join(names[self.kind]))
        else:
            print("\n".join(f"{kind}: {', '.join(found)}" for kind, found in names.items()))
        return DONE


@dataclass(frozen=True, slots=True)
class Doctor:
    """Say what works on this machine, and what to do about the rest; or hold our world against CALVIN's own."""

    calvin: bool = False
    """Take the same actions in calvin_env's own simulator and in ours, and report the first difference."""
    calvin_data: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="")] = None
    """Set our world to frames of a CALVIN data set, and report how far our pictures are from the stored ones."""
    scene: Annotated[str | None, tyro.conf.arg(metavar="NAME", help_behavior_hint="(default: D, or the data's)")] = None
    """Scene of --calvin, or of a data set that does not say its own."""
    steps: Annotated[int, tyro.conf.arg(metavar="N")] = 100
    """Actions of --calvin."""
    seed: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """What the actions of --calvin are drawn from."""
    frames: Annotated[int, tyro.conf.arg(metavar="N")] = 20
    """Frames of --calvin-data, spread evenly."""
    calvin_env: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="(default: found)")] = None
    """Checkout of calvin_env; else that of CALVIN_ENV_ROOT, else the installed package's."""
    upstream_python: Annotated[Path, tyro.conf.arg(metavar="FILE", help_behavior_hint="(default: this one)")] = Path(
        sys.executable
    )
    """Python that has calvinbench and what calvin_env imports, for --calvin."""
    json: bool = False
    """Print one JSON object."""

    def execute(self) -> int:
        """Does what is asked for."""
        if self.calvin and self.calvin_data is not None:
            raise ValueError("expected --calvin or --calvin-data, got both. Call doctor once for each.")
        if self.calvin:
            return self._compare_simulators()
        if self.calvin_data is not None:
            return self._compare_pictures(self.calvin_data)
        return self._examine()

    def _examine(self) -> int:
        """Prints each finding as it comes."""
        from dataclasses import asdict

        from calvinbench.harness.doctor import examine

        findings = []
        for finding in examine():
            findings.append(finding)
            if not self.json:
                remedy = f"  -> {finding.remedy}" if finding.remedy else ""
                print(f"{finding.status:8}{finding.name}: {finding.detail}{remedy}", flush=True)
        is_trouble = any(finding.is_trouble for finding in findings)
        if self.json:
            print(json_text({"ok": not is_trouble, "findings": [asdict(finding) for finding in findings]}))
        return FAILED if is_trouble else DONE

    def _compare_simulators(self) -> int:
        """Prints the first difference, or that there is none."""
        from dataclasses import asdict

        from calvinbench.harness.parity import compare_with_upstream

        _tell("Stepping calvin_env in a process of its own, and our world in parity mode ...")
        with _standard_output_for_results():
            parity = compare_with_upstream(
                self.scene or "D", self.steps, self.seed, self.calvin_env, self.upstream_python
            )
        if self.json:
            print(json_text({"ok": parity.is_same, **asdict(parity)}))
        else:
            print(parity.words())
        return DONE if parity.is_same else FAILED

    def _compare_pictures(self, data: Path) -> int:
        """Prints how far each renderer's pictures are from the data's."""
        from dataclasses import asdict

        from calvinbench.harness.data_pictures import compare_pictures

        with _standard_output_for_results():
            found = compare_pictures(data, self.frames, self.scene, self.calvin_env)
        if self.json:
            print(json_text({"ok": found.is_alike, "verdict": found.verdict(), **asdict(found)}))
        else:
            print("\n".join(found.lines()))
        return DONE if found.is_alike else FAILED


@dataclass(frozen=True, slots=True)
class InstallCalvin:
    """Clone CALVIN's simulator and sentences at the revisions that calvinbench knows; again, it changes nothing."""

    folder: Annotated[
        tyro.conf.Positional[Path | None],
        tyro.conf.arg(metavar="[DIR]", help_behavior_hint="(default: the user's data folder)"),
    ] = None
    """Where the folders calvin_env and calvin go."""
    revision: Annotated[Literal["797142c", "1431a46"], tyro.conf.arg(metavar="{797142c,1431a46}")] = "797142c"
    """Of calvin_env. 1431a46 is what a clone of calvin with its submodules brings."""
    calvin_env_url: Annotated[str | None, tyro.conf.arg(metavar="URL", help_behavior_hint="(default: GitHub)")] = None
    """Where git finds calvin_env."""
    calvin_url: Annotated[str | None, tyro.conf.arg(metavar="URL", help_behavior_hint="(default: GitHub)")] = None
    """Where git finds calvin."""
    json: bool = False
    """Print one JSON object."""

    def execute(self) -> int:
        """Clones what is missing and prints what to set."""
        from dataclasses import asdict

        from calvinbench.harness import install_calvin as room

        _tell("Cloning calvin_env and calvin ...")
        installed = room.install_calvin(
            self.folder,
            self.revision,
            self.calvin_env_url or room.CALVIN_ENV_URL,
            self.calvin_url or room.CALVIN_URL,
        )
        if self.json:
            print(json_text({**asdict(installed), "variables": installed.variables, "pip": installed.pip_command}))
            return DONE
        print("\n".join(f"export {name}={shlex.quote(path)}" for name, path in installed.variables.items()))
        _tell(f"Put these lines into your shell. For calvin_env's own simulator beside ours: {installed.pip_command}")
        return DONE


@dataclass(frozen=True, slots=True)
class Demo:
    """Show the main job in a few minutes, offline: three policies on chains of tasks, a table and figures."""

    out: Path = DEMO_OUT
    """Where everything is written."""
    worlds: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: the suite's)")] = None
    """Worlds stepped at once."""
    json: bool = False
    """Print one JSON object instead of the table."""

    def execute(self) -> int:
        """Runs the demo's suite and reports it."""
        suite = replace(load_suite("demo"), out=self.out)
        suite = replace(suite, worlds=self.worlds) if self.worlds is not None else suite
        was_done = self._is_done(suite)
        _evaluate(suite)
        from calvinbench.harness import tables
        from calvinbench.harness.report import write_report

        report = write_report([suite.directory(run) for run in suite.runs], suite.parent / "report")
        if self.json:
            print(json_text(report_as_json(report)))
            return _status(report.runs)
        if was_done:
            print(f"The demo is already done: its chains are in {suite.parent}. Delete that folder to run it afresh.\n")
        tables.show(report.runs)
        print(
            "An untrained policy scores near zero: its weights are random, and it is here to show the machinery, from "
            "camera to action. Learned policies come next.\n"
            "The expert reads the world's privileged state: it shows that the tasks can be done, "
            "and is no rival to learned policies.\n"
        )
        print("Written:", *report.files, *(f"{suite.directory(run)}/" for run in suite.runs), sep="\n  ")
        return _status(report.runs)

    @staticmethod
    def _is_done(suite: Suite) -> bool:
        from calvinbench.harness.run_directory import CHAINS_FILE, read_chains

        return all(len(read_chains(suite.directory(run) / CHAINS_FILE).records) >= run.chains for run in suite.runs)


_Verb = (
    Annotated[Run, tyro.conf.subcommand(name="run")]
    | Annotated[Report, tyro.conf.subcommand(name="report")]
    | Annotated[List, tyro.conf.subcommand(name="list")]
    | Annotated[Doctor, tyro.conf.subcommand(name="doctor")]
    | Annotated[InstallCalvin, tyro.conf.subcommand(name="install-calvin")]
    | Annotated[Demo, tyro.conf.subcommand(name="demo")]
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Does what the command line says.

    Args:
        arguments: Words after `calvinbench`; None for those of this process.

    Returns:
        The exit status: 0 done, 1 ran and failed, 2 wrong call.
    """
    verb: Run | Report | List | Doctor | InstallCalvin | Demo = tyro.cli(
        _Verb,
        args=arguments,
        prog="calvinbench",
        description="Benchmark VLM + LSTM robot policies on CALVIN's long-horizon chains of language tasks.",
        config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitSubcommandPrefixes, tyro.conf.AvoidSubcommands),
    )
    logging.basicConfig(format="%(message)s", handlers=[_ToStandardError()], level=logging.WARNING)
    logging.getLogger("calvinbench").setLevel(logging.INFO)
    # A user's own model beside him, `calvin:my_model:MyModel`, is found as `python -m` would find it.
    sys.path.append(str(Path.cwd()))
    try:
        return verb.execute()
    except KeyboardInterrupt:
        return _fail(FAILED, "Stopped. All finished chains are kept; the same command goes on with the rest.")
    except OSError as error:
        _raise_when_debugging()
        # Our own say in words which file it is; others have it beside the words.
        return _fail(FAILED, str(error) if error.filename else str(error.strerror or error))
    except RunFailedError as error:
        _raise_when_debugging()
        return _fail(FAILED, str(error))
    except ValueError as error:
        _raise_when_debugging()
        return _fail(WRONG_CALL, str(error))


def _status(runs: "Sequence[FinishedRun]") -> int:
    """Failed where so many chains errored that the table means nothing."""
    from calvinbench.harness.tables import has_too_many_errors

    return FAILED if any(has_too_many_errors(run) for run in runs) else DONE


class _ToStandardError(logging.Handler):
    """Writes to what standard error is at the moment: a live progress bar puts itself there, and lines go above it."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stderr)


def _evaluate(suite: Suite) -> "tuple[FinishedRun, ...]":
    """Runs a suite with progress on standard error; names are looked at before anything heavy is imported."""
    from calvinbench.harness.evaluation import evaluate_suite, require_known_names
    from calvinbench.harness.progress import LiveProgress

    require_known_names(suite)
    with _standard_output_for_results(), LiveProgress() as progress:
        return evaluate_suite(suite, [progress])


@contextmanager
def _standard_output_for_results() -> Iterator[None]:
    """Sends what policies print while they run to standard error, C code's words included."""
    sys.stdout.flush()
    saved = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(saved, 1)
        os.close(saved)


def _tell(words: str) -> None:
    print(words, file=sys.stderr)


def _fail(status: int, words: str) -> int:
    _tell(f"calvinbench: {words}")
    return status


def _raise_when_debugging() -> None:
    """Inside an except block: raises on, if the user asked for tracebacks."""
    if os.environ.get(DEBUG_VARIABLE):
        raise  # noqa: PLE0704


if __name__ == "__main__":
    raise SystemExit(main())
