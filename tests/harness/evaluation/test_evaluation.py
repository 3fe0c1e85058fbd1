import json
from dataclasses import replace
from hashlib import sha256

import pytest
import yaml

from calvinbench.envs.chains import initial_observation, published
from calvinbench.envs.fake_play_table import FakePlayTable
from calvinbench.envs.names import UnknownNameError
from calvinbench.envs.tasks import TASKS
from calvinbench.harness.analysis.methods import labels
from calvinbench.harness.evaluation.conventions import ConventionMismatchError
from calvinbench.harness.evaluation.evaluation import evaluate
from calvinbench.harness.evaluation.suite_checks import require_known_names
from calvinbench.harness.evaluation.suite_evaluation import require_runnable
from calvinbench.harness.records.description import differences, unlike_training
from calvinbench.harness.records.run_directory import RunMismatchError
from calvinbench.harness.suite.suite import Suite
from calvinbench.policies.policy import Memory, PolicyTraits, TrainedOn
from support.fakes import CHAINS, SOLVER_COMPLETES, Idle, make_broken_world, make_fake_world, make_faltering_world


def outcomes(run):
    return [record.outcome for record in run.records]


def without_times(run):
    return [record.without_times() for record in run.records]


def test_a_run_completes_what_can_be_done_and_keeps_it(run_fake):
    run = run_fake("solver")
    assert run.completed.tolist() == SOLVER_COMPLETES
    assert run.num_missing == 0
    assert run.description.label == "solver"
    assert run.description.max_steps == 10


def test_the_run_file_says_what_the_run_is(run_fake):
    run = run_fake("solver", chains=2, seed=4)
    written = json.loads((run.directory / "run.json").read_text())
    assert written["schema_version"] == 1
    assert written["policy"] == "solver"
    assert (written["scene"], written["chains"], written["max_steps"], written["seed"]) == ("fake", 2, 10, 4)
    assert written["memory"] == {"span": "none", "reset": "subtask"}
    assert written["official"]["official"] is False
    assert "the scene is fake, not D" in written["official"]["because"]
    assert "2 chains, not the published 1000" in written["official"]["because"]
    assert "the chains are not the published ones" in written["official"]["because"]
    assert set(written["sessions"][0]["versions"]) >= {"torch", "transformers", "pybullet", "gymnasium", "numpy"}


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ("raises", "RuntimeError: the arm fell off"),
        ("nan", "ValueError: expected finite numbers in an action"),
        ("shape", r"ValueError: expected act to return actions of shape (1, 7)"),
    ],
)
def test_a_policy_that_breaks_makes_errored_chains_and_the_run_goes_on(run_fake, policy, words):
    run = run_fake(policy)
    assert outcomes(run) == ["solved", "errored", "timed_out", "errored", "solved", "errored"]
    broken = run.records[1]
    assert broken.error.startswith(words)
    assert "Traceback" in broken.traceback
    assert broken.subtasks[-1].outcome == "errored"
    assert broken.subtasks[-1].steps == 3
    assert run.num_errored == 3


def test_after_an_error_the_world_is_made_anew(fake_setup, tmp_path):
    made = []

    def make_world(settings, traits):
        made.append(settings.scene)
        return make_fake_world(settings, traits)

    evaluate(fake_setup("raises", make_world), tmp_path, chains=CHAINS)
    assert len(made) == 1 + 2  # the last chain's error leaves nothing to make a world for


@pytest.mark.parametrize("settings", [{"worlds": 1}, {"worlds": 2}, {"worlds": 2, "batch_size": 2}])
def test_a_chain_whose_world_raises_an_error_is_tried_once_more(run_fake, tmp_path, settings):
    policy = "crowded" if "batch_size" in settings else "solver"
    spec, marker = f"{policy}:{tmp_path / 'marker'}", tmp_path / "marker"
    run = run_fake(spec, directory=tmp_path / "run", make_world=make_faltering_world, **settings)
    assert marker.exists()
    assert run.num_errored == 0
    assert without_times(run) == without_times(run_fake("solver", directory=tmp_path / "sound"))


@pytest.mark.parametrize("settings", [{"worlds": 1}, {"worlds": 2}, {"worlds": 2, "batch_size": 2}])
def test_a_world_that_breaks_twice_makes_errored_chains_and_the_run_goes_on(run_fake, settings):
    policy = "crowded" if "batch_size" in settings else "solver"
    run = run_fake(policy, make_world=make_broken_world, **settings)
    assert [record.chain for record in run.records if record.outcome == "errored"] == [1, 2, 3, 5]
    assert [run.completed[chain] for chain in (0, 4)] == [5, 5]
    assert run.records[3].error == "RuntimeError: the table broke"
    assert "in step" in run.records[3].traceback


def test_what_a_policy_raises_is_not_tried_again(fake_setup, tmp_path):
    numbers = []

    class Raises(Idle):
        def act(self, observations, instructions, state, privileged=None):
            numbers.append(len(numbers))
            raise RuntimeError("never works")

    evaluate(replace(fake_setup(chains=2), make_policy=lambda spec, reset: Raises()), tmp_path, chains=CHAINS)
    assert numbers == [0, 1]


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ("joints", "gives actions as 'abs_joints', but the world accepts 'rel_actions'"),
        ("depth", "reads depth_static, but the world has only rgb_static, robot_obs"),
    ],
)
def test_a_policy_that_does_not_fit_the_world_is_refused_before_the_first_chain(run_fake, tmp_path, policy, words):
    with pytest.raises(ConventionMismatchError, match=words):
        run_fake(policy, directory=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_stopped_run_goes_on_and_equals_an_unbroken_one(run_fake, tmp_path):
    class Stop:
        count = 0

        def run_began(self, description, finished): ...

        def chain_finished(self, record):
            self.count += 1
            if self.count == 3:
                raise KeyboardInterrupt

        def run_ended(self): ...

    with pytest.raises(KeyboardInterrupt):
        run_fake("solver", directory=tmp_path / "broken", subscribers=[Stop()])
    assert len((tmp_path / "broken" / "chains.jsonl").read_text().splitlines()) == 3
    resumed = run_fake("solver", directory=tmp_path / "broken")
    unbroken = run_fake("solver", directory=tmp_path / "unbroken")
    assert without_times(resumed) == without_times(unbroken)
    assert len(resumed.description.sessions) == 2
    assert differences(resumed.description, unbroken.description) == ()


def test_a_complete_run_is_left_as_it_is(run_fake):
    first = run_fake("solver")
    before = (first.directory / "run.json").read_bytes()
    run_fake("solver")
    assert (first.directory / "run.json").read_bytes() == before


def test_more_chains_of_the_same_list_go_on_with_a_run(run_fake, tmp_path):
    run_fake("solver", directory=tmp_path / "run", chains=2)
    run = run_fake("solver", directory=tmp_path / "run", chains=6)
    assert run.completed.tolist() == SOLVER_COMPLETES
    assert run.description.chains == 6
    assert without_times(run) == without_times(run_fake("solver", directory=tmp_path / "whole"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"max_steps": 20}, "max_steps was 10 and is now 20"),
        ({"seed": 1}, "seed was 0 and is now 1"),
        ({"scene": "other"}, "scene was 'fake' and is now 'other'"),
        ({"policy": "idle"}, "policy was 'solver' and is now 'idle'"),
        ({"chains": 3}, "chains was 6 and is now 3"),
    ],
)
def test_a_folder_that_holds_another_run_is_refused_in_words(run_fake, tmp_path, change, words):
    first = run_fake("solver", directory=tmp_path / "run")
    before = (first.directory / "chains.jsonl").read_bytes()
    with pytest.raises(RunMismatchError, match=words) as caught:
        run_fake(**{"policy": "solver", "directory": tmp_path / "run"} | change)
    assert "--out" in str(caught.value)
    assert (first.directory / "chains.jsonl").read_bytes() == before


def test_another_list_of_chains_is_refused(fake_setup, tmp_path):
    evaluate(fake_setup("solver", chains=2), tmp_path, chains=CHAINS)
    with pytest.raises(RunMismatchError, match="chain_digest"):
        evaluate(fake_setup("solver", chains=2), tmp_path, chains=CHAINS[::-1])


def test_the_reference_frame_is_what_the_policy_s_cameras_show(run_fake, tmp_path):
    looks = run_fake("looks", directory=tmp_path / "looks", chains=1)
    state = initial_observation(published()[0].initial_state)
    shown, _ = FakePlayTable(("static",)).reset(options={"robot_obs": state.robot_obs, "scene_obs": state.scene_obs})
    assert looks.description.reference_frame == sha256(shown["rgb_static"].tobytes()).hexdigest()
    assert run_fake("idle", directory=tmp_path / "idle", chains=1).description.reference_frame is None


def test_memory_reset_reaches_the_policy_and_the_records(run_fake):
    run = run_fake("forgetful", memory_reset="chain")
    assert run.description.memory == Memory(span="unbounded", reset="chain")
    assert "memory is kept across subtasks" in run.description.official.because


def test_more_chains_than_there_are_is_refused(run_fake):
    with pytest.raises(ValueError, match="at most 6"):
        run_fake("solver", chains=7)


@pytest.mark.parametrize(
    ("suite", "words"),
    [
        ({"policy": ("exprt",)}, "Did you mean 'expert'"),
        ({"policy": ("untrained:kosmo2",)}, "Did you mean 'kosmos2'"),
        ({"policy": ("random",), "scene": "embeded"}, "Did you mean 'embedded'"),
        ({"policy": ("random",), "chains": 1001}, "at most 1000"),
    ],
)
def test_unknown_names_are_found_before_anything_heavy_is_made(suite, words):
    with pytest.raises(ValueError, match=words):
        require_known_names(Suite.of(**suite))


def test_any_vlm_of_the_hub_is_a_known_backbone_and_another_name_is_not():
    require_known_names(Suite.of(policy=("untrained:hf:ORG/NAME",)))
    with pytest.raises(UnknownNameError, match=r"Unknown backbone 'kosmos'\. Did you mean 'kosmos2'"):
        require_known_names(Suite.of(policy=("untrained:kosmos",)))


def test_tasks_are_run_each_alone_and_the_run_file_says_so(run_fake):
    run = run_fake("solver", chains=3, tasks=("open_drawer", "turn_on_led"))
    assert [record.subtasks[0].task for record in run.records] == ["open_drawer"] * 3 + ["turn_on_led"] * 3
    assert run.completed.tolist() == [1] * 6
    assert run.description.tasks == ("open_drawer", "turn_on_led")
    assert run.description.chains == 6
    assert "the chains are not the published ones" in run.description.official.because


def test_a_run_of_single_tasks_is_known_again_before_it_goes_on(fake_setup, tmp_path):
    setup = fake_setup("solver", chains=2, tasks=("open_drawer",))
    evaluate(setup, tmp_path)
    require_runnable(setup, tmp_path)
    with pytest.raises(RunMismatchError, match="tasks was"):
        require_runnable(fake_setup("solver", chains=2, tasks=("turn_on_led",)), tmp_path)


@pytest.fixture
def digest_of(run_fake, tmp_path):
    """The digest of what is said, with sentences of single chains alone, or beside those of tasks."""

    def digest(by_chain, tasks=None):
        path = tmp_path / "said.yaml"
        path.write_text(yaml.safe_dump((tasks or {}) | {"chains": by_chain}))
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        run = run_fake("idle", directory=folder, chains=1, max_steps=1, instructions=str(path))
        return run.description.instruction_digest

    return digest


@pytest.mark.parametrize("place", range(5))
def test_each_sentence_of_a_chain_changes_the_digest_of_what_is_said(digest_of, place):
    said = ["one", "two", "three", "four", "five"]
    other = [*said[:place], "another", *said[place + 1 :]]
    assert digest_of({0: said}) == digest_of({0: said})
    assert digest_of({0: said}) != digest_of({0: other})
    tasks = dict.fromkeys(TASKS, "do")
    assert digest_of({0: said}, tasks) != digest_of({0: other}, tasks)


def test_our_own_sentences_have_the_digest_that_shipped_runs_name(run_fake):
    run = run_fake("idle", chains=1, max_steps=1)
    ours = "a1c3f9bb374822259afbb536dd0458be1f41ea1b9cc4386b27a1378e60c44446"
    assert run.description.instruction_digest == ours


def test_sentences_for_fewer_chains_than_are_run_are_refused_before_the_run(run_fake, tmp_path):
    path = tmp_path / "said.yaml"
    path.write_text(yaml.safe_dump({"chains": {number: ["do"] * 5 for number in (0, 2)}}))
    words = r"each of the first 4 chains in 'said.yaml'.* found none for 2 of them: 1, 3\. Add them below 'chains'"
    with pytest.raises(ValueError, match=words):
        run_fake("idle", directory=tmp_path / "run", chains=4, instructions=str(path))
    assert not (tmp_path / "run").exists()
    with pytest.raises(ValueError, match=words):
        require_known_names(Suite.of(policy=("random",), chains=4, instructions=str(path)))
    path.write_text(yaml.safe_dump({"chains": {1: ["do"] * 5}}))
    with pytest.raises(ValueError, match="first 1 chains"):
        require_known_names(Suite.of(policy=("random",), chains=1, tasks=("open_drawer",), instructions=str(path)))


def test_a_world_that_is_not_that_of_training_is_told_in_words():
    here = {"scene": "D", "asset_digest": "abc", "renderer": "opengl-look", "depth_bits": 16, "reference_frame": None}
    assert unlike_training(None, **here) == ()
    assert unlike_training(TrainedOn(scene="D", asset_digest="abc", reference_frame="x"), **here) == ()
    assert unlike_training(TrainedOn(scene="embedded", depth_bits=24, renderer="opengl-look"), **here) == (
        "scene embedded in training, D here",
        "depth bits 24 in training, 16 here",
    )


def test_a_user_declares_what_a_policy_was_trained_on(run_fake, tmp_path):
    run = run_fake("idle", directory=tmp_path / "idle", train="ABC")
    assert run.description.train == "ABC"
    assert run_fake("idle", directory=tmp_path / "other").description.train is None


def test_what_a_policy_itself_says_of_its_training_is_not_contradicted(fake_setup, tmp_path):
    class Trained(Idle):
        traits = PolicyTraits(label="trained", trained_on=TrainedOn(scene="D"))

    for train, expected in ((None, "D"), ("D", "D")):
        setup = replace(fake_setup("idle", train=train), make_policy=lambda spec, reset: Trained())
        run = evaluate(setup, tmp_path / str(train), chains=CHAINS)
        assert run.description.train == expected
    setup = replace(fake_setup("idle", train="ABC"), make_policy=lambda spec, reset: Trained())
    with pytest.raises(ConventionMismatchError, match="says that it was trained on, got 'ABC'"):
        evaluate(setup, tmp_path / "abc", chains=CHAINS)
    with pytest.raises(ValueError, match="expected train to name what"):
        fake_setup("idle", train=" ")


def test_a_seed_and_a_recipe_are_declared_and_not_contradicted(fake_setup, run_fake, tmp_path):
    declared = {"train": "ABC", "training_seed": 1, "training_recipe": "plain"}
    said = run_fake("idle", directory=tmp_path / "idle", **declared).description
    assert (said.train, said.training_seed, said.training_recipe) == ("ABC", 1, "plain")

    class Trained(Idle):
        traits = PolicyTraits(label="trained", trained_on=TrainedOn(seed=0, recipe="abc"))

    for name, known, other in (("training_seed", 0, 1), ("training_recipe", "abc", "plain")):
        setup = replace(fake_setup("idle", **{name: other}), make_policy=lambda spec, reset: Trained())
        with pytest.raises(ConventionMismatchError, match=f"expected {name} to be '{known}', as 'trained' says"):
            evaluate(setup, tmp_path / name, chains=CHAINS)


def test_a_variants_name_stands_in_tables_and_may_change(fake_setup, run_fake, tmp_path):
    first = run_fake("idle", directory=tmp_path / "idle", variant="no history")
    assert labels([first]) == ("idle, no history",)
    assert (
        run_fake("idle", directory=tmp_path / "idle", variant="without history").description.name
        == "idle, without history"
    )
    again = run_fake("idle", directory=tmp_path / "idle")
    assert again.description.variant == "without history"
    assert len(again.records) == len(first.records)


def test_nothing_is_declared_of_policies_that_are_not_trained(fake_setup, run_fake, tmp_path):
    declared = {"train": "ABC", "training_seed": 1, "training_recipe": "plain"}
    privileged = run_fake("solver", directory=tmp_path / "solver", **declared)
    setup = replace(fake_setup("random", **declared), make_policy=lambda spec, reset: Idle())
    drawn = evaluate(setup, tmp_path / "random", chains=CHAINS)
    for said in (privileged.description, drawn.description):
        assert (said.train, said.training_seed, said.training_recipe) == (None, None, None)
