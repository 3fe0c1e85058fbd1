"""What was recorded in CALVIN's layout is what was executed: played again in the world, it does the tasks."""

import json
import shutil

import numpy as np
import pytest

from calvinbench.envs.play_table import PlayTableEnv
from calvinbench.envs.tasks import is_solved
from calvinbench.envs.world_info import as_world_info
from calvinbench.harness.recording.data_set_folder import RecordingMismatchError
from calvinbench.harness.recording.episode import SETTLE_STEPS, Perturbation
from calvinbench.harness.recording.episode_records import read_records
from calvinbench.harness.recording.recorder import record
from calvinbench.harness.recording.settings import RecordingSettings
from calvinbench.policies.demonstrations.calvin_layout import CalvinLayout, read_annotations, read_episodes
from calvinbench.policies.demonstrations.compact import CompactDemonstrations

NOISES = {"noise": Perturbation(), "no noise": Perturbation(sigma=0.0, kick_probability=0.0)}
STATES = ("rel_actions", "actions", "robot_obs", "scene_obs", "expert_rel_actions", "expert_actions")


def settings_of(out, form, perturbation):
    return RecordingSettings(
        out=out,
        form=form,
        episodes=2,
        validation_episodes=0,
        subtasks=2,
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


def replayed(frames, convention, key, start=None):
    """Observations and what is true, before the first action and after each: from a first frame, or an episode's start.

    From the start it is as the recorder did: settled first, by actions of no motion.
    """
    world = PlayTableEnv(cameras=(), action_convention=convention)
    if start is None:
        observation, info = world.reset(options={key: frames[0][key] for key in ("robot_obs", "scene_obs")})
    else:
        world.reset(options={"scene_obs": np.array(start)})
        for _ in range(SETTLE_STEPS):
            observation, *_, info = world.step(np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]))
    observations, infos = [observation], [as_world_info(info)]
    for frame in frames[:-1]:  # nothing was executed after the last one
        observation, *_, info = world.step(frame[key])
        observations.append(observation)
        infos.append(as_world_info(info))
    world.close()
    return observations, infos


def test_recorded_actions_give_the_recorded_frames_and_do_the_tasks(recorded):
    """From each episode's recorded start: to the last bit, and each task is done with its last frame, not before."""
    split, number = recorded / "calvin" / "training", 0
    for episode, (first, last) in enumerate(read_episodes(split).tolist()):
        start = read_records(recorded / "calvin")["training", episode].start
        frames = frames_of(split, first, last)
        observations, infos = replayed(frames, "rel_actions", "rel_actions", start)
        for observation, frame in zip(observations, frames, strict=True):
            assert np.array_equal(observation["scene_obs"], frame["scene_obs"])
            assert np.array_equal(observation["robot_obs"], frame["robot_obs"])
        for a in read_annotations(split):
            if first <= a.first and a.last <= last:
                before = infos[a.first - first]
                assert is_solved(a.task, before, infos[a.last - first])
                assert not is_solved(a.task, before, infos[a.last - first - 1])
                number += 1
    assert number == len(read_annotations(split)) >= 3


@pytest.mark.parametrize(("key", "convention"), [("rel_actions", "rel_actions"), ("actions", "abs_actions")])
def test_from_the_first_frames_state_the_tool_goes_the_recorded_way(recorded, key, convention):
    """A frame's state has no velocities and no contact forces: blocks may end millimetres off, the arm does not."""
    split = recorded / "calvin" / "training"
    frames = frames_of(split, *read_episodes(split)[0].tolist())
    observations, _ = replayed(frames, convention, key)
    ways = [np.stack([one["robot_obs"][:3] for one in side]) for side in (observations, frames)]
    assert np.abs(ways[0] - ways[1]).max() < 0.001


def test_labels_alone_would_lead_the_tool_astray_where_there_is_noise(recorded):
    split = recorded / "calvin" / "training"
    frames = frames_of(split, *read_episodes(split)[0].tolist())
    observations, _ = replayed(frames, "rel_actions", "expert_rel_actions")
    ways = [np.stack([one["robot_obs"][:3] for one in side]) for side in (observations, frames)]
    has_noise = json.loads((recorded / "calvin" / "dataset.json").read_text())["perturbation"]["sigma"] > 0
    assert (np.abs(ways[0] - ways[1]).max() > 0.01) == has_noise


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
