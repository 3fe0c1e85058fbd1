"""Episodes of the expert: what is executed is perturbed, what is kept as the label is not."""

from dataclasses import replace

import gymnasium
import numpy as np
import pytest

from calvinbench.envs.chains import initial_states, next_states
from calvinbench.envs.instructions import embedded_instructions
from calvinbench.envs.play_table import PlayTableEnv
from calvinbench.envs.scenes.loading import load_scene
from calvinbench.envs.start_states import StartState, draw_start_state
from calvinbench.envs.tasks import TASKS, is_solved
from calvinbench.harness.recording import episode
from calvinbench.harness.recording.episode import Failure, Perturbation, demonstrate, draw_task

SETTLE_STEPS = 5
LIGHTS = ("turn_on_led", "turn_off_led")
INSTRUCTIONS = embedded_instructions()
SCENE = load_scene("embedded")


class Watched(gymnasium.Wrapper):
    """Notes the actions that are executed, and what was known before each and after the last."""

    def reset(self, **options):
        observation, info = self.env.reset(**options)
        self.actions, self.infos, self.observations = [], [info], [observation]
        return observation, info

    def step(self, action):
        self.actions.append(np.array(action))
        answer = self.env.step(action)
        self.observations.append(answer[0])
        self.infos.append(answer[-1])
        return answer


@pytest.fixture(scope="module")
def world():
    made = Watched(PlayTableEnv(cameras=()))
    yield made
    made.close()


def start_of(seed=0, **symbolic):
    """A state that was drawn; its lights and doors are as asked for."""
    generator = np.random.default_rng(seed)
    while True:
        state = draw_start_state(generator, SCENE)
        if all(state.symbolic[key] == value for key, value in symbolic.items()):
            return state


@pytest.fixture(scope="module")
def perturbed(world):
    """An episode of three subtasks with the usual noise, and what the world was told meanwhile."""
    start = start_of(led=0, drawer="closed")
    episode = demonstrate(
        world,
        start,
        INSTRUCTIONS,
        np.random.default_rng(3),
        tasks=(*LIGHTS, "open_drawer", "close_drawer"),
        num_subtasks=3,
        perturbation=Perturbation(),
    )
    return episode, world.actions, world.infos, world.observations


def labels_of(episode):
    return np.stack([frame["rel_actions"] for frame in episode.frames])


def test_labels_are_clean_and_what_is_executed_is_not(perturbed):
    episode, executed, *_ = perturbed
    labels, executed = labels_of(episode), np.stack(executed)[SETTLE_STEPS:]
    assert labels.shape == executed.shape
    assert np.array_equal(np.stack([frame["executed_rel_actions"] for frame in episode.frames]), executed)
    assert np.abs(labels[:, :6]).max() <= 1.0
    assert set(labels[:, 6]) <= {-1.0, 1.0}
    assert (executed[:, 6] == labels[:, 6]).all()
    assert np.abs(executed).max() <= 1.0
    inside = (np.abs(executed[:, :6]) < 1.0) & (np.abs(labels[:, :6]) < 0.5)
    noise = (executed - labels)[:, :6][inside]
    # Half of all steps or so; sigma is 0.15, and kicks widen it.
    assert len(noise) > 200
    assert 0.1 < noise.std() < 0.25
    assert (noise != 0.0).all()


def test_without_perturbation_the_label_is_what_is_executed(world):
    episode = demonstrate(world, start_of(led=0), INSTRUCTIONS, np.random.default_rng(0), tasks=LIGHTS, num_subtasks=1)
    assert np.array_equal(labels_of(episode), np.stack(world.actions)[SETTLE_STEPS:])
    assert np.array_equal(np.stack(world.actions)[:SETTLE_STEPS], np.tile([0, 0, 0, 0, 0, 0, 1.0], (SETTLE_STEPS, 1)))


def test_frames_have_what_was_observed_before_the_action(perturbed):
    episode, _, _, observations = perturbed
    for number, frame in enumerate(episode.frames):
        assert set(frame) == {
            *("robot_obs", "scene_obs", "rel_actions", "actions", "executed_rel_actions", "executed_actions"),
        }
        assert frame["robot_obs"] is observations[SETTLE_STEPS + number]["robot_obs"]
        assert frame["scene_obs"] is observations[SETTLE_STEPS + number]["scene_obs"]


def test_absolute_actions_say_what_relative_ones_say(perturbed):
    episode, _, infos, _ = perturbed
    for number, frame in enumerate(episode.frames):
        info, label, absolute = infos[SETTLE_STEPS + number], frame["rel_actions"], frame["actions"]
        assert absolute[:3] == pytest.approx(info["target_position"] + 0.02 * label[:3])
        turned = (absolute[3:6] - info["target_euler"] - 0.05 * label[3:6]) / (2 * np.pi)
        assert turned == pytest.approx(np.round(turned), abs=1e-9)
        assert np.abs(absolute[3:6]).max() <= np.pi
        assert absolute[6] == label[6]


def test_absolute_actions_move_the_world_as_relative_ones_did(world):
    """They are executed in a world that takes absolute actions, from the same start."""
    start = start_of(led=0)
    episode = demonstrate(world, start, INSTRUCTIONS, np.random.default_rng(0), tasks=LIGHTS, num_subtasks=1)
    other = PlayTableEnv(cameras=(), action_convention="abs_actions")
    _, info = other.reset(options={"scene_obs": start.scene_obs})
    rest = np.array([*info["target_position"], *info["target_euler"], 1.0])
    for _ in range(SETTLE_STEPS):
        observation, *_ = other.step(rest)
    for frame in episode.frames:
        assert observation["robot_obs"] == pytest.approx(frame["robot_obs"], abs=1e-6)
        observation, *_ = other.step(frame["actions"])
    other.close()
    assert observation["scene_obs"][5] == 1.0  # the led


def test_annotations_cover_exactly_the_subtasks_that_were_done(perturbed):
    episode, _, infos, _ = perturbed
    assert episode.failure is None
    assert len(episode.annotations) == 3
    assert [a.start for a in episode.annotations] == [0, *(a.end for a in episode.annotations[:-1])]
    assert episode.annotations[-1].end == len(episode.frames)
    for annotation in episode.annotations:
        first, last = (infos[SETTLE_STEPS + number] for number in (annotation.start, annotation.end))
        assert is_solved(annotation.task, first, last)
        # The action of the last frame is what solves it.
        assert not is_solved(annotation.task, first, infos[SETTLE_STEPS + annotation.end - 1])
        assert annotation.instruction in INSTRUCTIONS.seen[annotation.task]


def test_a_subtask_that_fails_leaves_nothing_and_ends_the_episode(world):
    def run(max_steps):
        return demonstrate(
            world,
            start_of(led=0, drawer="closed"),
            INSTRUCTIONS,
            np.random.default_rng(3),
            tasks=(*LIGHTS, "open_drawer", "close_drawer"),
            num_subtasks=3,
            max_steps=max_steps,
        )

    whole = run(360)
    lengths = [annotation.num_frames for annotation in whole.annotations]
    assert len(lengths) == 3
    longest = max(range(3), key=lengths.__getitem__)
    assert lengths.count(lengths[longest]) == 1
    cut = run(lengths[longest] - 1)
    assert cut.failure == Failure(whole.annotations[longest].task, lengths[longest] - 1)
    # All before the one that failed is as it was, and nothing is behind it.
    assert cut.annotations == whole.annotations[:longest]
    assert len(cut.frames) == sum(lengths[:longest])
    assert np.array_equal(labels_of(cut) if cut.frames else np.zeros((0, 7)), labels_of(whole)[: len(cut.frames)])


@pytest.fixture(scope="module")
def placed(world):
    """A block lifted, put into the drawer and taken out again, each subtask with eight frames more."""
    generator = np.random.default_rng(0)
    start = start_of(seed=1, drawer="open")
    return demonstrate(
        world,
        start,
        INSTRUCTIONS,
        generator,
        tasks=[task for task in TASKS if task.startswith("lift")] + ["place_in_drawer"],
        num_subtasks=4,
        perturbation=Perturbation(),
        frames_after=8,
    ), list(world.infos)


def test_the_expert_goes_on_for_some_frames_once_a_subtask_is_solved(placed):
    episode, infos = placed
    assert episode.failure is None
    assert len(episode.annotations) == 4
    for annotation in episode.annotations:
        first, solving, last = (
            infos[SETTLE_STEPS + number] for number in (annotation.start, annotation.end - 8, annotation.end)
        )
        assert is_solved(annotation.task, first, solving)
        assert not is_solved(annotation.task, first, infos[SETTLE_STEPS + annotation.end - 9])
        assert is_solved(annotation.task, first, last)


def test_after_placing_the_hand_stays_open_and_the_next_subtask_can_be_done(placed):
    episode, _ = placed
    tasks = [annotation.task for annotation in episode.annotations]
    assert tasks[1] == tasks[3] == "place_in_drawer"
    for annotation in (episode.annotations[1], episode.annotations[3]):
        grippers = labels_of(episode)[annotation.start : annotation.end, 6]
        opened = int(np.argmax(grippers == 1.0))
        assert len(grippers) - opened > 8
        assert (grippers[opened:] == 1.0).all()
    for annotation in (episode.annotations[0], episode.annotations[2]):  # after lifting, it holds on
        assert (labels_of(episode)[annotation.end - 8 : annotation.end, 6] == -1.0).all()


def test_a_subtask_that_is_undone_in_the_frames_after_it_is_not_kept(world, monkeypatch):
    asked = []

    def solved_once(task, before, now):
        asked.append(task)
        return len(asked) == 10

    monkeypatch.setattr(episode, "is_solved", solved_once)
    made = demonstrate(
        world, start_of(led=0), INSTRUCTIONS, np.random.default_rng(0), tasks=("turn_on_led",), frames_after=3
    )
    assert made.failure == Failure("turn_on_led", 13)
    assert (made.frames, made.annotations) == ([], [])


def test_an_episode_ends_where_nothing_can_be_done(world):
    episode = demonstrate(
        world, start_of(led=0), INSTRUCTIONS, np.random.default_rng(0), tasks=("turn_on_led",), num_subtasks=5
    )
    assert [annotation.task for annotation in episode.annotations] == ["turn_on_led"]
    assert episode.failure is None


def test_sentences_are_those_that_training_may_show(world):
    only = replace(INSTRUCTIONS, seen={**INSTRUCTIONS.seen, "turn_on_led": ("let there be light",)})
    episode = demonstrate(world, start_of(led=0), only, np.random.default_rng(0), tasks=("turn_on_led",))
    assert [annotation.instruction for annotation in episode.annotations] == ["let there be light"]


def test_an_episode_is_a_function_of_its_generator(world, perturbed):
    def run(seed):
        return demonstrate(
            world,
            start_of(led=0),
            INSTRUCTIONS,
            np.random.default_rng(seed),
            tasks=LIGHTS,
            num_subtasks=1,
            perturbation=Perturbation(),
        )

    one, same, other = run(3), run(3), run(4)
    assert one.annotations == same.annotations
    for frame, again in zip(one.frames, same.frames, strict=True):
        assert all(np.array_equal(frame[key], again[key]) for key in frame)
    assert len(one.frames) != len(other.frames) or not np.array_equal(labels_of(one), labels_of(other))


def test_tasks_are_drawn_among_those_that_can_be_done():
    generator = np.random.default_rng(0)
    for _ in range(60):
        state = draw_start_state(generator, SCENE).symbolic
        drawn = {draw_task(state, TASKS, generator) for _ in range(40)}
        assert drawn <= {task for task in TASKS if len(next_states(state, task)) == 1}
    held = {**initial_states()[0], "red_block": "grasped", "grasped": 1}
    drawn = {draw_task(held, TASKS, generator) for _ in range(60)}
    assert drawn <= {"place_in_slider", "place_in_drawer", "stack_block"}
    assert "place_in_slider" in drawn
    assert draw_task(held, ("turn_on_led", "open_drawer"), generator) is None


def test_tasks_are_drawn_by_their_weights(monkeypatch):
    monkeypatch.setattr(episode, "TASK_WEIGHTS", {"open_drawer": 1.0, "turn_on_led": 2.0, "turn_off_led": 9.0})
    generator, state = np.random.default_rng(0), initial_states()[0]
    assert (state["drawer"], state["led"]) == ("closed", 0)
    drawn = [draw_task(state, ("open_drawer", *LIGHTS), generator) for _ in range(2000)]
    # Two thirds, within four standard deviations of 1%.
    assert drawn.count("turn_on_led") / 2000 == pytest.approx(2 / 3, abs=0.04)
    assert drawn.count("turn_on_led") + drawn.count("open_drawer") == 2000


def test_each_task_has_a_weight():
    assert set(episode.TASK_WEIGHTS) == set(TASKS)
    assert min(episode.TASK_WEIGHTS.values()) > 0


def noise_of(perturbation, num_steps=20000, seed=0):
    drawn = perturbation.draw(np.random.default_rng(seed))
    return np.stack([next(drawn) for _ in range(num_steps)])


def test_noise_has_the_sigma_and_the_correlation_that_are_asked_for():
    noise = noise_of(Perturbation(sigma=0.2, correlation=0.7, kick_probability=0.0))
    assert noise.mean(axis=0) == pytest.approx(np.zeros(6), abs=0.02)
    assert noise.std(axis=0) == pytest.approx(np.full(6, 0.2), rel=0.05)
    one_step, two_steps = (np.mean(noise[:-lag] * noise[lag:]) / np.mean(noise**2) for lag in (1, 2))
    assert one_step == pytest.approx(0.7, abs=0.02)
    assert two_steps == pytest.approx(0.49, abs=0.03)
    across = np.corrcoef(noise.T) - np.eye(6)
    assert np.abs(across).max() < 0.08


def test_noise_has_its_sigma_from_the_first_step():
    first = np.stack([next(Perturbation(sigma=0.2).draw(np.random.default_rng(seed))) for seed in range(2000)])
    assert first.std() == pytest.approx(0.2, rel=0.05)


def test_kicks_are_constant_for_five_steps_and_as_frequent_as_asked_for():
    kicks = noise_of(Perturbation(sigma=0.0, kick_probability=0.05, kick_size=0.5), num_steps=10000)
    kicked = (kicks != 0.0).any(axis=1)
    assert np.abs(kicks).max() <= 0.5
    changes = np.flatnonzero((kicks[1:] != kicks[:-1]).any(axis=1)) + 1
    begins = [step for step in changes if kicked[step]]
    assert all((kicks[step : step + 5] == kicks[step]).all() for step in begins)
    assert not any((kicks[step + 5] == kicks[step]).all() for step in begins if step + 5 < len(kicks))
    # A kick of five steps, then 20 steps on average until the next, of which the first may be the very next one.
    assert len(begins) == pytest.approx(10000 / 24, rel=0.12)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"sigma": -0.1}, "^expected noise to be a finite number of at least 0, got -0.1.$"),
        ({"sigma": float("nan")}, "noise to be a finite number of at least 0, got nan"),
        ({"sigma": float("inf")}, "noise to be a finite number of at least 0, got inf"),
        ({"kick_size": -1.0}, "kick_size to be a finite number of at least 0, got -1"),
        ({"correlation": 1.0}, "below 1"),
        ({"kick_probability": 1.5}, "^expected kicks to be a probability from 0 to 1, got 1.5.$"),
    ],
)
def test_noise_that_cannot_be_is_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        Perturbation(**settings)


def test_the_start_is_the_state_that_was_given(world):
    start = start_of(seed=4)
    assert isinstance(start, StartState)
    demonstrate(world, start, INSTRUCTIONS, np.random.default_rng(0), num_subtasks=1, max_steps=1)
    # The drawer may ride a millimetre while blocks settle.
    assert world.observations[0]["scene_obs"][:2] == pytest.approx(start.scene_obs[:2], abs=0.002)
