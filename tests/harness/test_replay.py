"""What was recorded in CALVIN's layout is what was executed: played again in the world, it does the tasks."""

import json
import shutil

import numpy as np
import pytest

from calvinbench.envs.play_table import PlayTableEnv
from calvinbench.envs.tasks import is_solved
from calvinbench.envs.world_info import as_world_info
from calvinbench.harness.recording.episode import Perturbation
from calvinbench.harness.recording.recorder import RecordingMismatchError, RecordingSettings, record
from calvinbench.policies.demonstrations.calvin_layout import CalvinLayout, read_annotations, read_episodes
from calvinbench.policies.demonstrations.compact import CompactDemonstrations

NOISES = {"noise": Perturbation(), "no noise": Perturbation(sigma=0.0, kick_probability=0.0)}
STATES = ("rel_actions", "actions", "robot_obs", "scene_obs", "expert_rel_actions", "expert_actions")


def settings_of(out, form, perturbation):
    return RecordingSettings(
        out=out,
        form=form,
        episodes=2,
        validation_episodes=1,
        subtasks=3,
        perturbation=perturbation,
        static_size=16,
        gripper_size=8,
    )


@pytest.fixture(scope="module", params=NOISES)
def recorded(request, tmp_path_factory):
    """The same demonstrations in either form, with noise on what was executed and without."""
    folder = tmp_path_factory.mktemp("replay")
    for form in ("calvin", "compact"):
        record(settings_of(folder / form, form, NOISES[request.param]))
    return folder


def frames_of(split, first, last):
    """States and actions of the frames, both ends included."""
    frames = []
    for number in range(first, last + 1):
        with np.load(split / f"episode_{number:07d}.npz") as kept:
            frames.append({key: kept[key] for key in STATES})
    return frames


def replayed(frames, key, convention):
    """What the world says after each action, the state before the first included."""
    world = PlayTableEnv(cameras=(), action_convention=convention)
    first = {key: frames[0][key] for key in ("robot_obs", "scene_obs")}
    _, info = world.reset(options=first)
    infos = [as_world_info(info)]
    for frame in frames[:-1]:  # nothing was executed after the last one
        infos.append(as_world_info(world.step(frame[key])[4]))
    world.close()
    return infos


@pytest.mark.parametrize(("key", "convention"), [("rel_actions", "rel_actions"), ("actions", "abs_actions")])
def test_recorded_actions_do_the_tasks_when_they_are_executed_again(recorded, key, convention):
    """From the first frame of each episode on, as CALVIN's own actions are replayed."""
    split = recorded / "calvin" / "training"
    solved = []
    for first, last in read_episodes(split).tolist():
        infos = replayed(frames_of(split, first, last), key, convention)
        solved += [
            is_solved(a.task, infos[a.first - first], infos[a.last - first])
            for a in read_annotations(split)
            if first <= a.first and a.last <= last
        ]
    assert solved == [True] * 6


def test_the_last_frame_of_an_annotation_shows_the_task_solved(recorded):
    """By the states in its frames alone, and in the last frame of each, not before."""
    split = recorded / "calvin" / "training"
    world, lasts = PlayTableEnv(cameras=()), []
    for stretch in read_annotations(split):
        infos = []
        for frame in (frames_of(split, number, number)[0] for number in (stretch.first, stretch.last)):
            infos.append(as_world_info(world.reset(options={k: frame[k] for k in ("robot_obs", "scene_obs")})[1]))
        lasts.append(is_solved(stretch.task, *infos))
    world.close()
    assert lasts == [True] * 6


def test_our_training_sees_the_same_labels_in_both_forms(recorded):
    calvin, compact = (
        CalvinLayout(recorded / "calvin" / "training"),
        CompactDemonstrations(recorded / "compact", "training"),
    )
    assert list(calvin.annotations) == list(compact.annotations)
    for a in calvin.annotations:
        labels = [data.read(a.episode, a.start, a.end, ["rel_actions"]).rel_actions for data in (calvin, compact)]
        assert np.array_equal(*labels)


def test_labels_stand_beside_what_was_executed_and_differ_by_the_noise(recorded):
    split = recorded / "calvin" / "training"
    described = json.loads((recorded / "calvin" / "dataset.json").read_text())
    assert (described["actions"], described["last_frame"]) == ("executed", "solved")
    frames = frames_of(split, *read_episodes(split)[0].tolist())
    differences = np.stack([frame["rel_actions"] - frame["expert_rel_actions"] for frame in frames])
    absolute = np.stack([frame["actions"] - frame["expert_actions"] for frame in frames])
    if described["perturbation"]["sigma"]:
        assert 0.05 < differences[:-1, :6].std() < 0.3
        np.testing.assert_allclose(absolute[:, :3], 0.02 * differences[:, :3], atol=1e-12)
    else:
        assert not differences.any()
        assert not absolute.any()


def test_data_of_before_are_read_as_before_and_not_mixed_with_new_ones(recorded, tmp_path):
    """They had labels in `rel_actions`, and annotations ended with the frame before the last action."""
    folder = shutil.copytree(recorded / "calvin", tmp_path / "old")
    described = json.loads((folder / "dataset.json").read_text())
    perturbation = Perturbation(**described["perturbation"])
    del described["actions"], described["last_frame"]
    (folder / "dataset.json").write_text(json.dumps(described))
    for file in folder.glob("*/episode_*.npz"):
        with np.load(file) as kept:
            arrays = dict(kept)
        arrays["rel_actions"], arrays["actions"] = arrays.pop("expert_rel_actions"), arrays.pop("expert_actions")
        np.savez(file, **arrays)
    old, new = (CalvinLayout(path / "training") for path in (folder, recorded / "calvin"))
    assert [(a.start, a.end) for a in old.annotations] == [(a.start, a.end + 1) for a in new.annotations]
    first = new.annotations[0]
    read = [data.read(0, 0, first.end, ["rel_actions"]).rel_actions for data in (old, new)]
    assert np.array_equal(*read)
    with pytest.raises(RecordingMismatchError, match="actions was labels and is now executed"):
        record(settings_of(folder, "calvin", perturbation))
