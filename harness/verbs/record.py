"""`calvinbench record`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import tyro

from calvinbench.harness.command_line.console import DONE, FAILED, print_json, standard_output_for_results, tell
from calvinbench.harness.command_line.usage import Example, Usage
from calvinbench.harness.evaluation.stopping import stopped_as_by_ctrl_c

if TYPE_CHECKING:
    from calvinbench.harness.recording.episode_records import EpisodeRecord
    from calvinbench.harness.recording.settings import RecordingSettings


@dataclass(frozen=True, slots=True)
class Record:
    """Record demonstrations of the scripted expert as a data set. Run the same command again to resume."""

    USAGE: ClassVar[Usage] = Usage(
        examples=(
            Example("--episodes 100", "record into demonstrations/, in CALVIN's layout"),
            Example("--form compact --static-size 100 --episodes 750", "record a small data set that trains fast"),
            Example("--tasks open_drawer close_drawer --out drawer", "record two tasks only"),
        ),
        headings={
            "Output": ("out", "form", "static_size", "gripper_size", "json"),
            "What is recorded": ("scene", "tasks", "episodes", "validation_episodes", "subtasks", "instructions"),
            "How the expert acts": ("max_steps", "frames_after", "noise", "kicks", "seed"),
            "Speed, simulation and rendering": ("workers", "renderer", "depth_bits", "calvin_env"),
        },
    )

    out: Path = Path("demonstrations")
    """The data set's folder."""
    form: Literal["calvin", "compact"] = "calvin"
    """calvin: CALVIN's own layout, which CALVIN's and RoboVLMs' loaders read. As in CALVIN's data, rel_actions are what
    was executed, noise included; expert_rel_actions are the expert's own, the labels that `train` reads. compact: one
    file an episode, with labels and without depths, which trains fast."""
    scene: Literal["embedded", "D"] = "embedded"
    """The scene: one whose places the expert knows."""
    episodes: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: 100)")] = None
    """Training episodes; each is several subtasks in a row in one world. In a folder that has a data set, the default
    is the number that was asked for before."""
    validation_episodes: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: 10)")] = None
    """Validation episodes. In a folder that has a data set, the default is the number that was asked for before."""
    subtasks: int = 6
    """Subtasks of an episode."""
    tasks: Annotated[tuple[str, ...], tyro.conf.arg(metavar="TASK ...", help_behavior_hint="(default: all 34)")] = ()
    """Tasks to draw from."""
    max_steps: int = 360
    """Steps for each subtask."""
    frames_after: int = 0
    """Steps that the expert goes on once a subtask is solved, within its annotation, as CALVIN's own annotations do. 8
    show a policy that the hand stays open after letting go."""
    noise: float = 0.15
    """Standard deviation of the noise on executed actions, in their units (1 is 2 cm, 0.05 rad); labels stay clean."""
    kicks: float = 0.01
    """Probability that a kick of five steps begins at a step."""
    static_size: int = 200
    """Pixels a side of the static camera's images."""
    gripper_size: int = 84
    """Pixels a side of the gripper camera's images."""
    instructions: str = "calvinbench"
    """calvinbench (ours), calvin or calvin-training (a checkout's), or auto."""
    calvin_env: Annotated[
        Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="(default: CALVIN_ENV_ROOT, or as installed)")
    ] = None
    """Checkout of calvin_env, for scene D."""
    renderer: Annotated[str | None, tyro.conf.arg(metavar="NAME", help_behavior_hint="(default: opengl-look)")] = None
    """What renders the images, see `calvinbench run --help`."""
    depth_bits: Annotated[
        Literal[16, 24] | None,
        tyro.conf.arg(metavar="{16,24}", help_behavior_hint="(default: 16 on CALVIN's scenes, 24 on ours)"),
    ] = None
    """Bits of opengl-look's depth buffer."""
    seed: int = 0
    """Random seed."""
    workers: int = 1
    """Processes that record; this does not affect the data."""
    json: bool = False
    """Print one JSON object instead of the table."""

    def execute(self) -> int:
        """Records what is missing and prints what there is of each task."""
        from calvinbench.harness.recording.plan import plan_recording
        from calvinbench.harness.recording.progress import RecordingProgress
        from calvinbench.harness.recording.recorder import record

        settings = self._settings()
        plan = plan_recording(settings)
        for line in plan.lines():
            tell(line)
        with (
            stopped_as_by_ctrl_c(),
            standard_output_for_results(),
            RecordingProgress(len(settings.wanted())) as progress,
        ):
            records = record(settings, self.workers, progress.episode_finished)
        self._show(records)
        return DONE if any(record.annotations for record in records) else FAILED

    def _settings(self) -> "RecordingSettings":
        from calvinbench.envs.tasks import TASKS
        from calvinbench.harness.recording.episode import Perturbation
        from calvinbench.harness.recording.plan import asked_before
        from calvinbench.harness.recording.settings import RecordingSettings

        before = asked_before(self.out)
        episodes = {"episodes": self.episodes, "validation_episodes": self.validation_episodes}
        numbers = {name: before.get(name) if number is None else number for name, number in episodes.items()}

        return RecordingSettings(
            out=self.out,
            form=self.form,
            scene=self.scene,
            calvin_env=None if self.calvin_env is None else str(self.calvin_env),
            instructions=self.instructions,
            **{name: number for name, number in numbers.items() if number is not None},
            subtasks=self.subtasks,
            tasks=self.tasks or TASKS,
            max_steps=self.max_steps,
            frames_after=self.frames_after,
            perturbation=Perturbation(sigma=self.noise, kick_probability=self.kicks),
            static_size=self.static_size,
            gripper_size=self.gripper_size,
            renderer=self.renderer,
            depth_bits=self.depth_bits,
            seed=self.seed,
        )

    def _show(self, records: "Sequence[EpisodeRecord]") -> None:
        from dataclasses import asdict

        from tabulate import tabulate

        from calvinbench.harness.recording.episode_records import count_tasks

        counts = {task: count for task, count in count_tasks(records).items() if count.done or count.failed}
        total = sum(count.done for count in counts.values())
        num_frames = sum(record.num_frames for record in records)
        if self.json:
            tasks = {task: asdict(count) for task, count in counts.items()}
            print_json({"out": str(self.out), "demonstrations": total, "frames": num_frames, "tasks": tasks})
            return
        rows = [(task, c.done, c.failed, round(c.frames / c.done) if c.done else "-") for task, c in counts.items()]
        print(tabulate(rows, ("task", "demonstrations", "failed, not kept", "mean frames"), "github"))
        then = "Train on them: calvinbench train --help" if total else "Nothing was kept: more episodes may help."
        tell(f"{total} demonstrations, {num_frames} frames in {self.out}. {then}")
