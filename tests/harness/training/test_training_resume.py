"""A training that goes on in another way: each change is equal, said, or refused, and the recipe shows it."""

import json
import shutil

import pytest

from calvinbench.harness.training.call import make_call
from calvinbench.harness.training.training import TrainingMismatchError, train
from calvinbench.policies.training.log import read_log
from support.small_training import forget_accelerator, separate_training, write_data

POLICY = "untrained:cnn,memory_span=window:3,chunk_length=4,hidden_dim=16"


def train_in(out, folder, policy=POLICY, size=None, **changes):
    """Trains in a folder, or resumes there; returns the messages after the table."""
    forget_accelerator()
    keys = {
        "policy": policy if policy != POLICY else f"{policy},size={size or folder / 'numbers.json'}",
        "data": str(folder / "data"),
        "out": str(out),
        "precision": "fp32",
        "learning_rate": 1e-3,
        "batch_size": 2,
        "gradient_accumulation_steps": 1,
        "window_size": 3,
        "max_steps": 4,
        "max_epochs": 100,
        "warmup_epochs": 0.0,
        "validate_every": 0,
        "log_every": 1,
        "device": "cpu",
    }
    told = []
    train(make_call(keys | changes), told.append)
    return told[1:]


@pytest.fixture
def go(folder, tmp_path):
    """Trains in `out`, or resumes there, see `train_in`."""

    def run(out="out", policy=POLICY, size=None, **changes):
        return train_in(tmp_path / out, folder, policy, size, **changes)

    return run


@pytest.fixture(scope="module")
def trained(folder, tmp_path_factory):
    """A training of four steps with the settings of `go`, made once."""
    out = tmp_path_factory.mktemp("trained") / "out"
    with separate_training():
        train_in(out, folder)
    return out


@pytest.fixture
def begun(trained, tmp_path):
    """A copy of it in `out`."""
    return shutil.copytree(trained, tmp_path / "out")


def notes(out, name="checkpoint"):
    return json.loads((out / name / "policy.json").read_text())["notes"]["training"]


def rates(out):
    return [line.learning_rate for line in read_log(out)]


def test_a_cosine_that_is_extended_says_so_has_no_step_at_rate_0_and_is_another_recipe(go, tmp_path):
    cosine = {"schedule": "cosine"}
    assert go(**cosine) == []
    (words,) = go(max_steps=8, **cosine)
    assert "cosine schedule ended at step 4 and now ends at step 8: at step 5 the learning rate is 0.0005" in words
    assert "instead of 0." in words
    assert "a different training recipe" in words
    go("straight", max_steps=8, **cosine)
    assert rates(tmp_path / "out")[4:] == rates(tmp_path / "straight")[4:]
    assert min(rates(tmp_path / "out")) > 0
    extended, straight = notes(tmp_path / "out"), notes(tmp_path / "straight")
    assert extended["recipe"] != straight["recipe"]
    assert "history" not in straight
    assert [(each["from_step"], each["schedule_steps"]) for each in extended["history"]] == [(0, 4), (4, 8)]
    assert go(max_steps=8, **cosine) == []
    assert notes(tmp_path / "out") == extended


def test_a_constant_rate_that_goes_on_is_the_training_that_was_not_broken(go, begun, tmp_path):
    assert go(max_steps=8) == []
    go("straight", max_steps=8)
    extended, straight = notes(tmp_path / "out"), notes(tmp_path / "straight")
    assert extended["recipe"] == straight["recipe"]
    weights = [(tmp_path / out / "checkpoint" / "model.safetensors").read_bytes() for out in ("out", "straight")]
    assert weights[0] == weights[1]


def test_a_cosine_that_is_extended_in_its_warm_up_took_no_other_step_and_is_the_same_recipe(go, tmp_path):
    warm = {"schedule": "cosine", "warmup_steps": 4}
    go(**warm)
    assert go(max_steps=8, **warm) == []
    go("straight", max_steps=8, **warm)
    assert notes(tmp_path / "out")["recipe"] == notes(tmp_path / "straight")["recipe"]
    assert rates(tmp_path / "out") == rates(tmp_path / "straight")


def test_a_training_of_an_older_version_whose_cosine_is_extended_is_said_to_be_another_recipe_too(go, tmp_path):
    go(schedule="cosine")
    as_of_an_older_version(tmp_path / "out")
    words = go(schedule="cosine", max_steps=8)
    assert any("ended at step 4 and now ends at step 8" in each for each in words)
    assert any("started by an older version" in each for each in words)
    assert "history" in notes(tmp_path / "out")
    assert go(schedule="cosine", max_steps=8) == []


def as_of_an_older_version(out):
    file = out / "training.json"
    older = json.loads(file.read_text())
    for key in ("history", "fingerprints", "origin", "knows_origin", "weights_digest", "windows", "processes"):
        del older[key]
    file.write_text(json.dumps(older))


def test_remedy_fewer_steps_than_are_done_are_refused(go, begun, tmp_path):
    before = (tmp_path / "out" / "training.json").read_text()
    with pytest.raises(TrainingMismatchError, match=r"at least the 4 steps .* got 2 steps\. Raise --max-steps, or"):
        go(max_steps=2)
    assert (tmp_path / "out" / "training.json").read_text() == before
    go(max_steps=5)
    go("another", max_steps=2)
    assert read_log(tmp_path / "another")[-1].step == 2


@pytest.fixture
def grown(tmp_path):
    """A data set that can be recorded further."""
    return write_data(tmp_path / "grown")


def grow(data):
    shutil.rmtree(data)
    write_data(data, lengths=(5, 9, 7, 4, 8, 6, 12, 6))


def test_remedy_data_that_changed_are_refused_or_make_another_recipe(go, tmp_path, grown):
    go(data=str(grown))
    grow(grown)
    with pytest.raises(TrainingMismatchError) as raised:
        go(data=str(grown), max_steps=8)
    words = str(raised.value)
    assert "6 annotations then, 8 now; 39 annotated frames then, 57 now; 2 episodes more; 15 windows then, 21" in words
    assert "--accept-changed-data true" in words
    said = go(data=str(grown), max_steps=8, accept_changed_data=True)
    assert any("Resuming with changed data" in each for each in said)
    go("another", data=str(grown), max_steps=8)  # the other way that the error names
    accepted, straight = notes(tmp_path / "out"), notes(tmp_path / "another")
    assert accepted["recipe"] != straight["recipe"]
    assert len(accepted["history"]) == 2
    assert go(data=str(grown), max_steps=8) == []


def test_validation_data_that_changed_are_refused_and_the_best_is_chosen_anew(go, tmp_path, grown):
    go(data=str(grown), validate_every=4)
    best = notes(tmp_path / "out", "best")
    shutil.rmtree(grown / "validation")
    write_data(tmp_path / "other", lengths=(5, 9, 7, 4, 8, 6, 12, 6))
    shutil.copytree(tmp_path / "other" / "validation", grown / "validation")
    with pytest.raises(TrainingMismatchError, match=r"the validation split changed \(6 annotations then, 8 now"):
        go(data=str(grown), validate_every=4, max_steps=8)
    go(data=str(grown), validate_every=4, max_steps=8, accept_changed_data=True, learning_rate=1e-3)
    assert best["step"] == 4
    assert notes(tmp_path / "out", "best")["step"] == 8
    assert "history" not in notes(tmp_path / "out")  # no weight depends on it


def test_data_of_the_same_size_with_other_sentences_are_noticed(go, folder, begun, tmp_path):
    shutil.copytree(folder / "data", tmp_path / "same")
    assert go(data=str(tmp_path / "same"), max_steps=5) == []  # moved, and the same
    for file in (tmp_path / "same" / "training").iterdir():
        file.write_bytes(file.read_bytes().replace(b"push the button", b"push the BUTTON"))
    with pytest.raises(TrainingMismatchError, match="as many episodes and annotations as before, with other content"):
        go(data=str(tmp_path / "same"), max_steps=6)


def test_a_policys_files_may_move_and_may_not_change(go, folder, begun, tmp_path):
    moved = tmp_path / "moved.json"
    shutil.copy(folder / "numbers.json", moved)
    (words,) = go(size=moved, max_steps=5)
    assert "the content is the same" in words
    recipe = notes(tmp_path / "out")["recipe"]
    go("straight", max_steps=5)
    assert notes(tmp_path / "straight")["recipe"] == recipe
    numbers = json.loads(moved.read_text())
    numbers["text"]["hidden_dropout_prob"] = 0.5
    moved.write_text(json.dumps(numbers))
    with pytest.raises(TrainingMismatchError, match="what the policy's spec names holds something else"):
        go(size=moved, max_steps=6)


def test_a_checkpoint_that_training_began_with_may_move_and_another_is_refused(go, trained, tmp_path):
    shutil.copytree(trained, tmp_path / "first")
    go("second", learning_rate=2e-3)
    for name in ("first", "second"):
        shutil.copytree(tmp_path / name / "checkpoint", tmp_path / f"{name}_kept")

    def go_from(place, **changes):
        return go("third", policy=f"checkpoint:{place}", **changes)

    go_from(tmp_path / "first" / "checkpoint")
    shutil.rmtree(tmp_path / "first")
    (words,) = go_from(tmp_path / "first_kept", max_steps=5)
    assert "the content is the same" in words
    with pytest.raises(TrainingMismatchError, match="holds something else"):
        go_from(tmp_path / "second_kept", max_steps=6)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed": 1}, "settings.optimization.seed was 0 and is now 1"),
        ({"static_shift": 3}, "static_shift was 10 and is now 3"),
        ({"precision": "bf16"}, 'precision was "fp32" and is now "bf16"'),
        ({"paraphrases": False}, "settings.paraphrases was true and is now false"),
        ({"warmup_steps": 1}, "warmup_steps was 0 and is now 1"),
        ({"schedule": "cosine"}, 'schedule was "constant" and is now "cosine"'),
    ],
)
@pytest.mark.usefixtures("begun")
def test_what_is_part_of_the_recipe_is_refused(go, change, words):
    with pytest.raises(TrainingMismatchError, match=words):
        go(**change)


def test_steps_that_are_split_up_in_another_way_and_other_code_are_said(go, begun, tmp_path):
    file = tmp_path / "out" / "training.json"
    content = json.loads(file.read_text())
    content["sessions"][-1]["commit"] = "abc"
    content["sessions"][-1]["versions"]["torch"] = "1.0"
    file.write_text(json.dumps(content))
    split, code = go(batch_size=1, gradient_accumulation_steps=2, max_steps=5)
    assert "were 2 x 1 x 1 and are now 1 x 2 x 1" in split
    assert "torch 1.0 then, " in code
    assert "commit abc then, " in code
