"""Images that the policy does not look at are not rendered, and records stay the same."""

from dataclasses import replace

import av
import numpy as np
import pytest

from calvinbench.envs.cameras.cameras import Camera
from calvinbench.envs.chain_env import ChainEnv
from calvinbench.envs.instructions import embedded_instructions
from calvinbench.envs.play_table import PlayTableEnv
from calvinbench.harness.evaluation.evaluation import evaluate
from calvinbench.harness.rollout.diary import Diary
from calvinbench.harness.rollout.jobs import make_job
from calvinbench.harness.rollout.looking import step_world
from calvinbench.harness.rollout.rollout import run_chain
from calvinbench.harness.rollout.videos import VideoChainEnv, VideoSettings
from calvinbench.policies.baselines.deprived import DeprivedPolicy
from calvinbench.policies.baselines.expert import make_expert_policy
from calvinbench.policies.policy import Memory
from calvinbench.policies.registry import make_policy
from support.fakes import CHAINS, SOLVER_COMPLETES
from support.lookers import (
    CountingTable,
    Inverting,
    Looker,
    Marks,
    OneWorld,
    ShiftedTable,
    Silent,
    make_counting_world,
    make_inverted_world,
    make_looker,
    make_shifted_world,
)


def roll(policy, number=0, world=None, videos=None, max_steps=10):
    """The record of a chain, and how many images were rendered of it."""
    table = CountingTable(cameras=("static", "gripper")) if world is None else world
    env = ChainEnv(table, embedded_instructions(), max_steps)
    env = env if videos is None else VideoChainEnv(env, videos)
    record = run_chain(lambda: env, policy, make_job(number, CHAINS[number], run_seed=0))
    if videos is not None:
        env._end(record.outcome)
    return record.without_times(), table.unwrapped.num_rendered


@pytest.mark.parametrize("reset", ["subtask", "chain"])
@pytest.mark.parametrize("number", range(len(CHAINS)))
def test_records_are_those_of_a_policy_that_does_not_say(number, reset):
    with_marks, num_looked_at = roll(policy := Looker(reset), number)
    without, num_rendered = roll(Silent(Looker(reset)), number)
    assert with_marks == without
    assert with_marks.completed == SOLVER_COMPLETES[number]
    num_steps = sum(subtask.steps for subtask in without.subtasks)
    assert num_rendered == 1 + num_steps
    # The last step's image is rendered if the policy would look at it in a chain that goes on.
    assert num_looked_at - policy.num_looks in (0, 1)
    assert num_looked_at < num_rendered


def test_images_are_counted():
    record, num_rendered = roll(Looker())
    assert [subtask.steps for subtask in record.subtasks] == [7, 6, 1, 1, 6]
    # Two looks in each subtask of 6 or 7 steps, at its first and sixth step, and one in each subtask of one step.
    assert num_rendered == 2 + 2 + 1 + 1 + 2
    assert roll(Silent(Looker()))[1] == 1 + 21
    record, num_rendered = roll(Looker("chain"))
    assert sum(subtask.steps for subtask in record.subtasks) == 21
    assert num_rendered == 5  # before steps 1, 6, 11, 16 and 21


@pytest.mark.parametrize("wrap", [lambda policy: DeprivedPolicy(policy, no_instruction=True), OneWorld])
def test_a_policy_around_a_policy_passes_its_marks_on(wrap):
    assert roll(wrap(Looker())) == roll(Looker())


def test_blank_images_are_blank_with_and_without_marks():
    blank, num_rendered = roll(DeprivedPolicy(Looker(), blank_images=True))
    assert (blank, 22) == roll(DeprivedPolicy(Silent(Looker()), blank_images=True))
    assert num_rendered == 8
    assert blank != roll(Looker())[0]


@pytest.mark.parametrize("make_world", [ShiftedTable, lambda **settings: Inverting(CountingTable(**settings))])
def test_a_world_that_changes_its_images_itself_still_does(make_world):
    """Neither has an `observe` that knows of the change, so all images are rendered, by `step`."""
    shifted = roll(Looker(), world=make_world(cameras=("static",)))
    assert shifted == roll(Silent(Looker()), world=make_world(cameras=("static",)))
    assert shifted[1] == 22
    assert shifted[0] != roll(Looker())[0]


def test_a_world_that_changes_its_images_in_observe_leaves_them_out():
    class Dim(CountingTable):
        def observe(self):
            observation = super().observe()
            return observation | {"rgb_static": observation["rgb_static"] // 2}

    dim, num_rendered = roll(Looker(), world=Dim(cameras=("static",)))
    assert (dim, 22) == roll(Silent(Looker()), world=Dim(cameras=("static",)))
    assert num_rendered == 8
    assert dim != roll(Looker())[0]


def test_videos_have_every_frame_and_other_chains_only_what_is_looked_at(tmp_path):
    frames = []
    for policy in (Looker(), Silent(Looker())):
        settings = VideoSettings(tmp_path / policy.__class__.__name__, "1")
        record, num_rendered = roll(policy, videos=settings)
        assert (record, num_rendered) == (roll(Looker())[0], 22)
        with av.open(str(settings.path(0))) as video:
            frames.append(np.stack([frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]))
    np.testing.assert_array_equal(*frames)
    assert len(frames[0]) == 22 + 30
    assert roll(Looker(), 4, videos=settings)[1] == roll(Looker(), 4)[1]


def test_nothing_is_rendered_for_a_policy_that_reads_no_image_in_chains_without_a_video(tmp_path):
    for policy in (make_expert_policy(None), make_policy("random")):
        record, num_rendered = roll(policy, 3, videos=VideoSettings(tmp_path, "1"))
        assert record.subtasks[0].steps == 10
        assert num_rendered == 1  # by reset


def test_the_world_shows_images_again_after_a_step():
    env = ChainEnv(CountingTable(), embedded_instructions())
    env.reset(options={"chain": CHAINS[0]})
    step = step_world(env, np.zeros(7), Memory(), looks=False)
    assert not step.is_rendered
    assert set(step.observation) == {"robot_obs", "scene_obs"}
    assert "rgb_static" in env.step(np.zeros(7))[0]


@pytest.mark.parametrize(
    ("marks", "words"),
    [
        (np.array([1]), r"TypeError: expected looks_next to return booleans, got ndarray of int64"),
        ([True, True], r"ValueError: expected looks_next to return one mark for each of 1 worlds, got shape \(2,\)"),
        (True, r"ValueError: expected looks_next to return one mark .* got shape \(\)"),
    ],
)
def test_marks_that_cannot_be_used_are_the_chains_error(marks, words):
    record, _ = roll(Marks(marks))
    assert record.outcome == "errored"
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(record.error)


def test_a_policy_that_looks_at_what_it_said_it_would_not_hears_why_it_cannot():
    record, _ = roll(Marks([False]))
    assert record.subtasks[0].steps == 5
    assert "TypeError: 'NoneType' object is not subscriptable (The images of worlds [0] were left out." in record.error
    assert "Let looks_next mark each world whose images act uses, or remove looks_next." in record.error


# --- runs ---------------------------------------------------------------------------------------------------------


def without_times(run):
    return [record.without_times() for record in run.records]


@pytest.mark.parametrize("reset", ["subtask", "chain"])
@pytest.mark.parametrize(("batch_size", "worlds"), [(1, 1), (1, 2), (2, 2), (4, 3)])
def test_runs_have_the_same_records(fake_setup, tmp_path, batch_size, worlds, reset):
    def run(policy, **settings):
        setup = replace(
            fake_setup(policy, make_counting_world, memory_reset=reset, **settings), make_policy=make_looker
        )
        folder = tmp_path / f"{policy}-{len(list(tmp_path.iterdir()))}"
        return without_times(evaluate(setup, folder, chains=CHAINS, worlds=settings.get("worlds", worlds)))

    plain = run("silent")
    assert run("looker", batch_size=batch_size) == plain
    assert [record.completed for record in plain] == SOLVER_COMPLETES


@pytest.mark.parametrize("make_world", [make_shifted_world, make_inverted_world])
def test_batches_of_worlds_that_change_their_images_have_the_same_records(fake_setup, tmp_path, make_world):
    runs = [
        evaluate(
            replace(fake_setup(policy, make_world, batch_size=2), make_policy=make_looker),
            tmp_path / policy,
            chains=CHAINS,
            worlds=2,
        )
        for policy in ("looker", "silent")
    ]
    assert without_times(runs[0]) == without_times(runs[1])


# --- the play table -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rule", "num_images"), [("first:5", 13), ("first:2", 31), ("ensemble", 61), ("first", 61)])
def test_a_learned_policys_rule_says_what_is_rendered(monkeypatch, rule, num_images):
    """60 steps of the shipped policy: the same actions, and images before steps 1, 6, 11 ... and after the last."""
    taken, executed = [], []
    take, note_step = Camera.take, Diary.note_step

    def count(camera, *given):
        taken.append(camera)
        return take(camera, *given)

    def note(diary, action, *given):
        executed.append(action)
        note_step(diary, action, *given)

    monkeypatch.setattr(Camera, "take", count)
    monkeypatch.setattr(Diary, "note_step", note)

    def run(policy):
        taken.clear()
        executed.clear()
        env = ChainEnv(PlayTableEnv(cameras=policy.traits.cameras), embedded_instructions(), 60)
        record = run_chain(lambda: env, policy, make_job(0, CHAINS[3], run_seed=0))
        env.close()
        return record.without_times(), np.array(executed), len(taken) / len(policy.traits.cameras)

    policy = make_policy(f"checkpoint:cnn,chunk_rule={rule}")
    (record, actions, num_taken), (plain, all_actions, num_all) = run(policy), run(Silent(policy))
    assert record == plain
    assert record.subtasks[0].steps == 60
    np.testing.assert_array_equal(actions, all_actions)
    assert (num_taken, num_all) == (num_images, 61)
