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
    """Folder of the data set."""
    form: Literal["calvin", "compact"] = "calvin"
    """Format on disk. calvin: CALVIN's layout, which CALVIN's and RoboVLMs' loaders read. Its rel_actions are the
    executed actions, noise included, as in CALVIN's data; `train` reads the expert's own actions, expert_rel_actions.
    compact: one file per episode, without depth images, which trains faster."""
    scene: Literal["embedded", "D"] = "embedded"
    """Scene. The expert knows these two."""
    episodes: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: 100)")] = None
    """Number of training episodes. An episode is several subtasks in a row in one world. If the folder already has a
    data set, the default is its number."""
    validation_episodes: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: 10)")] = None
    """Number of validation episodes. If the folder already has a data set, the default is its number."""
    subtasks: int = 6
    """Maximum number of subtasks in an episode."""
    tasks: Annotated[tuple[str, ...], tyro.conf.arg(metavar="TASK ...", help_behavior_hint="(default: all 34)")] = ()
    """Tasks to record."""
    max_steps: int = 360
    """Maximum number of steps for each subtask."""
    frames_after: int = 0
    """Number of steps that the expert continues after a subtask is solved. They belong to its annotation, as in
    CALVIN's data. With 8, a policy sees that the gripper stays open after letting go."""
    noise: float = 0.15
    """Standard deviation of the noise that is added to executed actions, where 1 is 2 cm or 0.05 rad. The labels have
    no noise."""
    kicks: float = 0.01
    """Probability that a push of five steps begins at a step. It is part of the noise."""
    static_size: int = 200
    """Width and height of the static camera's images, in pixels."""
    gripper_size: int = 84
    """Width and height of the gripper camera's images, in pixels."""
    instructions: str = "calvinbench"
    """Sentences of the demonstrations. calvinbench: ours. calvin or calvin-training: CALVIN's validation or training
    sentences, from a checkout. auto: calvin on scene D if a checkout is found, otherwise ours."""
    calvin_env: Annotated[
        Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="(default: CALVIN_ENV_ROOT, or as installed)")
    ] = None
    """Checkout of calvin_env. Scene D needs it."""
    renderer: Annotated[str | None, tyro.conf.arg(metavar="NAME", help_behavior_hint="(default: opengl-look)")] = None
    """Renderer of the camera images. opengl-look: looks like CALVIN's data, and runs on the CPU. bullet-egl: PyBullet's
    OpenGL. bullet-tiny: PyBullet's software renderer."""
    depth_bits: Annotated[
        Literal[16, 24] | None,
        tyro.conf.arg(metavar="{16,24}", help_behavior_hint="(default: 16 on CALVIN's scenes, 24 on ours)"),
    ] = None
    """Bits of the depth buffer of opengl-look: 16 as in Bullet with the Mesa driver, 24 as with a GPU's driver."""
    seed: int = 0
    """Random seed."""
    workers: int = 1
    """Number of processes. This does not affect the data."""
    json: bool = False
    """Print one JSON object instead of the table."""

    def execute(self) -> int:
        """Records what is missing, and prints the number of demonstrations of each task."""
        from calvinbench.envs.cameras.renderers import OPENGL_LOOK
        from calvinbench.harness.recording.plan import plan_recording
        from calvinbench.harness.recording.progress import RecordingProgress
        from calvinbench.harness.recording.recorder import record
        from calvinbench.harness.rollout.workers import require_working_renderer

        settings = self._settings()
        with standard_output_for_results():
            require_working_renderer(settings.renderer or OPENGL_LOOK)  # before the disk space is said
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
        then = (
            "To train on them, see: calvinbench train --help"
            if total
            else "No demonstration succeeded. Try more --episodes."
        )
        tell(f"{total} demonstrations, {num_frames} frames in {self.out}. {then}")
