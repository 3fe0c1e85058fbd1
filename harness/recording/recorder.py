"""Demonstrations to disk: which episodes, by which settings, in which processes; killed at any moment, it goes on.

Each finished episode leaves a small file below `DIR/episodes/`, written after its frames. What is missing is recorded;
an episode depends on the seed and its number alone, so that the data are the same for any number of processes.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from calvinbench.envs.instructions import OURS, InstructionSet, load_instructions
from calvinbench.envs.names import require_name
from calvinbench.envs.observation import CAMERA_SIZES
from calvinbench.envs.start_states import StartState, draw_start_state
from calvinbench.envs.tasks import TASKS
from calvinbench.harness.errors import RunFailedError
from calvinbench.harness.execution.executors import process_pool
from calvinbench.harness.recording.episode import TASK_WEIGHTS, Episode, Perturbation, demonstrate
from calvinbench.harness.recording.episode_records import RECORDS_FOLDER, EpisodeRecord, read_records, write_record
from calvinbench.harness.recording.forms import FORMS, LABELS, LAST_ACTION, RecordingForm, make_form
from calvinbench.harness.records.provenance import this_session
from calvinbench.harness.records.run_directory import locked_folder, make_folder, write_text_atomically
from calvinbench.policies.demonstrations.calvin_layout import CALVIN
from calvinbench.policies.demonstrations.compact import DATASET_FILE, SCHEMA_VERSION, read_dataset_file
from calvinbench.policies.demonstrations.opening import SPLITS

RECORDED_SCENES = ("embedded", "D")
"""Scenes whose places the scripted expert knows."""

_BEFORE_IT_WAS_SAID = {"frames_after": 0, "actions": LABELS, "last_frame": LAST_ACTION}
"""What data sets of earlier versions, which do not say it, were recorded with."""


class RecordingMismatchError(ValueError):
    """The folder holds other demonstrations than those asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingSettings:
    """What is recorded.

    Attributes:
        out: The data set's folder.
        form: `"calvin"`, CALVIN's own layout with depths; or `"compact"`, see `policies.demonstrations.compact`.
        scene: One of `RECORDED_SCENES`.
        calvin_env: The checkout that scene D is read from; None finds one.
        instructions: Whose sentences, see `envs.instructions`.
        episodes: Episodes of the training split.
        validation_episodes: Of the validation split; other draws of the same kind.
        subtasks: Subtasks of an episode, at most.
        tasks: Tasks to draw from.
        max_steps: Steps for a subtask.
        frames_after: Steps that the expert goes on once a subtask is solved, see `episode.demonstrate`.
        perturbation: Of executed actions.
        static_size: Pixels a side of the static camera's pictures.
        gripper_size: Of the gripper's.
        renderer: Who draws; None for the default.
        depth_bits: Of the depth buffer; None for the scene's own.
        seed: What everything random is drawn from.
    """

    out: Path
    form: str = CALVIN
    scene: str = "embedded"
    calvin_env: str | None = None
    instructions: str = OURS
    episodes: int = 100
    validation_episodes: int = 10
    subtasks: int = 6
    tasks: tuple[str, ...] = TASKS
    max_steps: int = 360
    frames_after: int = 0
    perturbation: Perturbation = field(default_factory=Perturbation)
    static_size: int = CAMERA_SIZES["static"]
    gripper_size: int = CAMERA_SIZES["gripper"]
    renderer: str | None = None
    depth_bits: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        require_name(self.form, FORMS, "form of a data set")
        if self.scene not in RECORDED_SCENES:
            raise ValueError(
                f"expected scene {' or '.join(RECORDED_SCENES)}, whose places the scripted expert knows, got "
                f"'{self.scene}'."
            )
        for task in self.tasks:
            require_name(task, TASKS, "task")
        if not self.tasks:
            raise ValueError("expected at least one task, got none.")
        for name in ("episodes", "subtasks", "max_steps", "static_size", "gripper_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"expected {name} of at least 1, got {getattr(self, name)}.")
        for name in ("validation_episodes", "frames_after", "seed"):
            if getattr(self, name) < 0:
                raise ValueError(f"expected {name} of at least 0, got {getattr(self, name)}.")
        # In one order and once each, for draws depend on it.
        object.__setattr__(self, "tasks", tuple(task for task in TASKS if task in self.tasks))

    @property
    def picture_sizes(self) -> dict[str, int]:
        """Pixels a side by camera."""
        return {"static": self.static_size, "gripper": self.gripper_size}

    def wanted(self) -> tuple[tuple[str, int], ...]:
        """Split and number of every episode, in order."""
        return tuple(
            (split, number)
            for split, count in zip(SPLITS, (self.episodes, self.validation_episodes), strict=True)
            for number in range(count)
        )


class Recorder:
    """A world and an expert's hand, ready to record one episode after another. One in each process."""

    def __init__(self, settings: RecordingSettings) -> None:
        """Makes the world.

        Raises:
            CheckoutError: Scene D is asked for, and its checkout is missing, not whole or damaged.
            RunFailedError: The renderer does not work on this machine.
        """
        from calvinbench.envs.cameras.renderers import OPENGL_LOOK
        from calvinbench.envs.play_table import PlayTableEnv
        from calvinbench.harness.rollout.workers import require_working_renderer

        renderer = settings.renderer or OPENGL_LOOK
        require_working_renderer(renderer)
        self._settings = settings
        self._form = make_form(settings.form, settings.out, settings.picture_sizes)
        self.world = PlayTableEnv(
            scene=settings.scene,
            calvin_env=settings.calvin_env,
            renderer=renderer,
            depth_bits=settings.depth_bits,
            depth=self._form.has_depth,
            camera_sizes=self._form.rendered_sizes,
        )
        self.instructions: InstructionSet = load_instructions(
            settings.instructions, settings.scene, calvin_env=settings.calvin_env
        )

    def describe(self) -> dict[str, Any]:
        """What the data set says of itself: all that its frames depend on."""
        from calvinbench.harness.records.reference_frame import reference_frame

        settings = self._settings
        return {
            "schema_version": SCHEMA_VERSION,
            "form": settings.form,
            "picture_sizes": settings.picture_sizes,
            "scene": settings.scene,
            "asset_digest": self.world.digest(),
            "calvin_env": self.world.calvin_env_revision,
            "renderer": self.world.renderer,
            "depth_bits": self.world.depth_bits,
            "reference_frame": reference_frame(self.world),
            "instructions": self.instructions.name,
            "tasks": {task: TASK_WEIGHTS[task] for task in settings.tasks},
            "subtasks": settings.subtasks,
            "max_steps": settings.max_steps,
            "frames_after": settings.frames_after,
            "actions": self._form.actions,
            "last_frame": self._form.last_frame,
            "perturbation": asdict(settings.perturbation),
            "seed": settings.seed,
        }

    def record(self, split: str, number: int) -> EpisodeRecord:
        """Records an episode and leaves it on the disk."""
        settings = self._settings
        generator = np.random.default_rng([settings.seed, SPLITS.index(split), number])
        start = draw_start_state(generator, self.world.scene)
        episode = demonstrate(
            self.world,
            start,
            self.instructions,
            generator,
            tasks=settings.tasks,
            num_subtasks=settings.subtasks,
            max_steps=settings.max_steps,
            perturbation=settings.perturbation,
            frames_after=settings.frames_after,
        )
        if episode.annotations:
            self._form.write(split, number, episode)
        record = _as_record(split, number, episode, start)
        write_record(settings.out, record)
        return record


def record(
    settings: RecordingSettings,
    num_workers: int = 1,
    on_episode: Callable[[EpisodeRecord], None] = lambda _: None,
) -> tuple[EpisodeRecord, ...]:
    """Records what is missing of a data set.

    Args:
        settings: What is recorded.
        num_workers: Processes.
        on_episode: Called with each finished episode that is asked for, those of earlier calls first.

    Returns:
        All episodes that there are, by split and number; an earlier call may have asked for more.

    Raises:
        RecordingMismatchError: The folder holds demonstrations by other settings, or something else.
        RunLockedError: Another process records into it.
        RunFailedError: A process died; the same command goes on.
        DataError: What was recorded before is damaged.
    """
    if num_workers < 1:
        raise ValueError(f"expected at least 1 worker, got {num_workers}.")
    description = _recorder(settings).describe()
    _require_ours(settings.out)
    make_folder(settings.out)
    with locked_folder(settings.out):
        form = _prepare(settings, description)
        _note_asked(settings)
        records = _read_whole_records(settings.out, form)
        wanted = settings.wanted()
        for key in wanted:
            if key in records:
                on_episode(records[key])
        missing = [key for key in wanted if key not in records]
        if missing:
            _note_session(settings.out, num_workers)
        for fresh in _record_missing(settings, missing, num_workers):
            records[fresh.split, fresh.number] = fresh
            on_episode(fresh)
        for split in SPLITS:
            form.finish(split, [records[key] for key in sorted(records) if key[0] == split], settings.scene)
    return tuple(records[key] for key in sorted(records))


def _require_ours(out: Path) -> None:
    """Sees that a folder without the recorder's own file has nothing in it that recording would write over."""
    if (out / DATASET_FILE).exists():
        return
    for name in (*SPLITS, RECORDS_FOLDER):
        if (out / name).is_dir() and any((out / name).iterdir()):
            raise RecordingMismatchError(
                f"expected an empty folder or demonstrations of ours, but '{out / name}' has files and there is no "
                f"{DATASET_FILE} in '{out}'. Choose another --out."
            )


def _prepare(settings: RecordingSettings, description: Mapping[str, Any]) -> RecordingForm:
    """Makes the folders and writes what the data set says of itself, or sees that it says the same."""
    if (settings.out / DATASET_FILE).exists():
        before = _BEFORE_IT_WAS_SAID | read_dataset_file(settings.out)
        differing = [
            f"{key} was {before.get(key)} and is now {value}"
            for key, value in json.loads(json.dumps(description)).items()
            if before.get(key) != value
        ]
        if differing:
            raise RecordingMismatchError(
                f"expected the demonstrations that are in '{settings.out}' already, but {'; '.join(differing)}. "
                "Choose another --out, or the settings of before."
            )
    else:
        write_text_atomically(settings.out / DATASET_FILE, json.dumps(description, indent=2) + "\n")
    for split in SPLITS:
        for folder in (settings.out / split, settings.out / RECORDS_FOLDER / split):
            make_folder(folder)
            for torn in (*folder.glob("*.part"), *folder.glob("*.tmp")):
                torn.unlink()
    return make_form(settings.form, settings.out, settings.picture_sizes)


def _note_asked(settings: RecordingSettings) -> None:
    """Writes into the data set how many episodes were asked for at most, for the next call that does not say it."""
    content = read_dataset_file(settings.out)
    before = content.get("asked", {})
    asked = {name: max(getattr(settings, name), before.get(name, 0)) for name in ("episodes", "validation_episodes")}
    if content.get("asked") != asked:
        content["asked"] = asked
        write_text_atomically(settings.out / DATASET_FILE, json.dumps(content, indent=2) + "\n")


def _note_session(out: Path, num_workers: int) -> None:
    """Writes into the data set by which versions and on what it is recorded from here on."""
    content = read_dataset_file(out)
    content["sessions"] = [*content.get("sessions", ()), asdict(this_session(num_workers))]
    write_text_atomically(out / DATASET_FILE, json.dumps(content, indent=2) + "\n")


def _read_whole_records(out: Path, form: RecordingForm) -> dict[tuple[str, int], EpisodeRecord]:
    """Finished episodes whose frames are still there; more than are asked for now are kept."""
    records = read_records(out)
    for split in SPLITS:
        for number in form.lost(split, [records[key] for key in sorted(records) if key[0] == split]):
            del records[split, number]
    return records


def _record_missing(
    settings: RecordingSettings, missing: Sequence[tuple[str, int]], num_workers: int
) -> Iterator[EpisodeRecord]:
    if num_workers == 1 or len(missing) < 2:
        recorder = _recorder(settings)
        for split, number in missing:
            yield recorder.record(split, number)
        return
    with process_pool(min(num_workers, len(missing))) as pool:
        futures = [pool.submit(_record_in_process, settings, split, number) for split, number in missing]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool as error:
            raise RunFailedError(
                "a process that recorded died: killed, out of memory or crashed. All finished episodes are kept; the "
                "same command goes on with the rest."
            ) from error


def _record_in_process(settings: RecordingSettings, split: str, number: int) -> EpisodeRecord:
    return _recorder(settings).record(split, number)


@lru_cache(maxsize=1)
def _recorder(settings: RecordingSettings) -> Recorder:
    """This process's recorder: its world is made once, for as long as settings are the same."""
    return Recorder(settings)


def _as_record(split: str, number: int, episode: Episode, start: StartState) -> EpisodeRecord:
    return EpisodeRecord(
        split=split,
        number=number,
        num_frames=len(episode.frames) if episode.annotations else 0,
        annotations=tuple(episode.annotations),
        failed_task=None if episode.failure is None else episode.failure.task,
        start=tuple(start.scene_obs.tolist()),
    )
