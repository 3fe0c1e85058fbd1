"""Records demonstrations to disk in one or several processes. After a kill, the same call records the rest.

Each finished episode has a small file in `DIR/episodes/`, which is written after its frames. An episode depends only
on the random seed and its number, so the number of processes does not affect the data.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from functools import lru_cache
from typing import Any

import numpy as np

from calvinbench.envs.instructions import InstructionSet, load_instructions
from calvinbench.envs.start_states import StartState, draw_start_state
from calvinbench.harness.errors import RunFailedError
from calvinbench.harness.execution.executors import process_pool
from calvinbench.harness.recording.data_set_folder import (
    note_asked,
    note_session,
    prepare_folder,
    read_whole_records,
    require_ours,
)
from calvinbench.harness.recording.episode import TASK_WEIGHTS, Episode, demonstrate
from calvinbench.harness.recording.episode_records import EpisodeRecord, write_record
from calvinbench.harness.recording.formats import make_format
from calvinbench.harness.recording.settings import RecordingSettings
from calvinbench.harness.records.folders import locked_folder, make_folder
from calvinbench.policies.demonstrations.compact import SCHEMA_VERSION
from calvinbench.policies.demonstrations.opening import SPLITS


class Recorder:
    """Records one episode after another in its world. Each process has one."""

    def __init__(self, settings: RecordingSettings) -> None:
        """Makes the world.

        Raises:
            CheckoutError: The scene is D, and its checkout is missing, incomplete or damaged.
            RunFailedError: The renderer does not work on this machine.
        """
        from calvinbench.envs.cameras.renderers import OPENGL_LOOK
        from calvinbench.envs.play_table import PlayTableEnv
        from calvinbench.harness.rollout.workers import require_working_renderer

        renderer = settings.renderer or OPENGL_LOOK
        require_working_renderer(renderer)
        self._settings = settings
        self._format = make_format(settings.form, settings.out, settings.picture_sizes)
        self.world = PlayTableEnv(
            scene=settings.scene,
            calvin_env=settings.calvin_env,
            renderer=renderer,
            depth_bits=settings.depth_bits,
            depth=self._format.has_depth,
            camera_sizes=self._format.rendered_sizes,
        )
        self.instructions: InstructionSet = load_instructions(
            settings.instructions, settings.scene, calvin_env=settings.calvin_env
        )

    def describe(self) -> dict[str, Any]:
        """The description of the data set: everything that its frames depend on."""
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
            "actions": self._format.actions,
            "last_frame": self._format.last_frame,
            "perturbation": asdict(settings.perturbation),
            "seed": settings.seed,
        }

    def record(self, split: str, number: int) -> EpisodeRecord:
        """Records an episode and writes it to disk."""
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
            self._format.write(split, number, episode)
        record = _as_record(split, number, episode, start)
        write_record(settings.out, record)
        return record


def record(
    settings: RecordingSettings,
    num_workers: int = 1,
    on_episode: Callable[[EpisodeRecord], None] = lambda _: None,
) -> tuple[EpisodeRecord, ...]:
    """Records the missing episodes of a data set.

    Args:
        settings: The settings.
        num_workers: Number of processes.
        on_episode: Called with each requested episode that is finished, those of earlier calls first.

    Returns:
        All episodes of the data set, by split and number, including more that an earlier call requested.

    Raises:
        RecordingMismatchError: The folder holds demonstrations with other settings, or other files.
        RunLockedError: Another process records into the folder.
        RunFailedError: A process died. The same call records the rest.
        DataError: A file of an earlier call is damaged.
    """
    if num_workers < 1:
        raise ValueError(f"expected at least 1 worker, got {num_workers}.")
    description = _recorder(settings).describe()
    require_ours(settings.out)
    make_folder(settings.out)
    with locked_folder(settings.out):
        layout = prepare_folder(settings, description)
        note_asked(settings)
        records = read_whole_records(settings.out, layout)
        wanted = settings.wanted()
        for key in wanted:
            if key in records:
                on_episode(records[key])
        missing = [key for key in wanted if key not in records]
        if missing:
            note_session(settings.out, num_workers)
        for fresh in _record_missing(settings, missing, num_workers):
            records[fresh.split, fresh.number] = fresh
            on_episode(fresh)
        for split in SPLITS:
            layout.finish(split, [records[key] for key in sorted(records) if key[0] == split], settings.scene)
    return tuple(records[key] for key in sorted(records))


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
                "a process that recorded died: killed, out of memory or crashed. All finished episodes are kept; run "
                "the same command again to record the rest."
            ) from error


def _record_in_process(settings: RecordingSettings, split: str, number: int) -> EpisodeRecord:
    return _recorder(settings).record(split, number)


@lru_cache(maxsize=1)
def _recorder(settings: RecordingSettings) -> Recorder:
    """This process's recorder. Its world is made once and reused while the settings are the same."""
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
