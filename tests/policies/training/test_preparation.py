"""What is trained is made ready as the policy's memory and the settings want it, or refused."""

from dataclasses import replace

import pytest
import torch

from calvinbench.policies.demonstrations.opening import TRAINING, open_data
from calvinbench.policies.learned.trainable import TrainableParts
from calvinbench.policies.training.preparation import prepare
from support import small_training
from support.small_training import make_training


def test_a_memory_of_a_window_is_trained_on_windows_of_its_size_that_begin_anywhere(data, tmp_path):
    training = make_training(data, tmp_path)
    assert len(training.windows) == 2 + 3 + 3 + 2 + 3 + 2
    with pytest.raises(ValueError, match="expected window_size to be that of the memory, window:3, got 4"):
        make_training(data, tmp_path, window_size=4)


def test_a_memory_that_is_never_cut_is_trained_on_windows_that_begin_where_the_subtask_does(data, tmp_path):
    training = make_training(data, tmp_path, spec={"memory_span": "unbounded"}, window_size=6)
    assert len(training.windows) == 6  # one of each annotation
    windows = [training.windows[key] for key in training.windows.order(3)]
    assert sorted(int(window.is_frame.sum()) for window in windows) == [4, 5, 6, 6, 6, 6]
    longest = next(key for key in training.windows.order(3) if key.annotation == 1)
    first_action = training.windows._demonstrations.read(1, 0, 1, ("rel_actions",)).rel_actions[0]
    assert training.windows[longest].actions[0, 0].tolist() == first_action.tolist()


def test_windows_from_the_start_that_most_of_the_data_lies_behind_are_refused(data, tmp_path):
    """39 frames in six annotations: windows of 3 reach 18 of them, windows of 4 reach 24."""
    unbounded = {"memory_span": "unbounded"}
    with pytest.raises(ValueError, match=r"at least half of the annotated frames, got 46%.* first 3 frames.*Raise"):
        make_training(data, tmp_path, spec=unbounded)
    assert make_training(data, tmp_path, spec=unbounded, window_size=4).windows.reach == pytest.approx(24 / 39)


def test_a_memory_that_is_kept_across_subtasks_is_refused_in_training(data, tmp_path):
    with pytest.raises(ValueError, match="expected memory_reset=subtask for training, got chain"):
        make_training(data, tmp_path, spec={"memory_reset": "chain"})


def test_a_stride_says_how_many_windows_an_epoch_has(data, tmp_path):
    """Annotations of 5, 9, 7, 4, 8 and 6 frames, windows of 3."""
    training = make_training(data, tmp_path, window_stride=1, max_epochs=2, max_steps=None)
    assert len(training.windows) == 3 + 7 + 5 + 2 + 6 + 4
    assert (training.plan.steps_per_epoch, training.num_steps) == (13, 26)


def test_a_head_without_memory_is_trained_on_windows_of_any_size(data, tmp_path):
    training = make_training(data, tmp_path, spec={"head": "feedforward", "memory_span": "none"}, window_size=2)
    assert len(training.windows) == 3 + 5 + 4 + 2 + 4 + 3


def test_tasks_are_left_out(data, tmp_path):
    training = make_training(data, tmp_path, tasks=("turn_on_led",))
    assert {annotation.task for annotation in training.windows.annotations} == {"turn_on_led"}


def test_steps_end_with_the_epochs_or_the_number_whichever_comes_first(data, tmp_path):
    training = make_training(data, tmp_path, batch_size=2, gradient_accumulation_steps=2, max_epochs=2, max_steps=None)
    assert (training.plan.effective_batch_size, training.plan.steps_per_epoch, training.num_steps) == (4, 3, 6)
    assert make_training(data, tmp_path, max_epochs=2, max_steps=5).num_steps == 5
    assert make_training(data, tmp_path, max_epochs=2, max_steps=50).num_steps == 14


def test_a_recipe_is_all_that_weights_depend_on_but_seeds(data, tmp_path):
    recipe = make_training(data, tmp_path).recipe(5)
    assert make_training(data, tmp_path, seed=7, num_workers=1).recipe(5) == recipe
    assert make_training(data, tmp_path / "elsewhere").recipe(5) == recipe
    same_batch = {"batch_size": 1, "gradient_accumulation_steps": 2}
    assert make_training(data, tmp_path, **same_batch).recipe(5) == recipe
    others = [
        make_training(data, tmp_path).recipe(6),
        make_training(data, tmp_path, learning_rate=1.5e-3).recipe(5),
        make_training(data, tmp_path, batch_size=3).recipe(5),
        make_training(data, tmp_path, tasks=("turn_on_led",)).recipe(5),
        make_training(data, tmp_path, trainable=TrainableParts(train_vision=False)).recipe(5),
    ]
    assert len({recipe, *others}) == 6


def test_recipes_that_are_older_than_the_stride_stay_what_they_were(data, tmp_path):
    recipe = make_training(data, tmp_path, same_shift_in_window=False).recipe(5)
    assert recipe == "f0330d9328e937bce0f0e9da210741db3adb3b8231ec9c2086cd6b0959410528"
    assert make_training(data, tmp_path, same_shift_in_window=False, window_stride=1).recipe(5) != recipe


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("untrained", "trained here"),
        ("untrained, seed 3", "trained here"),
        ("pretrained VLM, untrained head", "pretrained VLM, trained here"),
        ("pretrained VLM, trained here", "pretrained VLM, trained here"),
        ("shipped with calvinbench", "trained here"),
    ],
)
def test_the_label_says_where_training_began(data, tmp_path, before, after):
    begun = make_training(data, tmp_path)
    config = replace(begun.config, origin=before)
    made = prepare(begun.settings, begun.model, config, open_data(data, TRAINING))
    assert made.config.origin == after


def test_pictures_come_in_the_backbones_sizes(data, tmp_path):
    windows = make_training(data, tmp_path).windows
    window = windows[windows.order(0)[0]]
    assert {camera: pictures.shape[1] for camera, pictures in window.images.items()} == {"static": 20, "gripper": 12}


def test_weights_of_16_bits_are_trained_nowhere(data, tmp_path):
    with pytest.raises(ValueError, match=r"expected weights of 32 bits to train, got torch.bfloat16 in 'backbone"):
        make_training(data, tmp_path, spec={"dtype": "bfloat16"})
    frozen = make_training(data, tmp_path, spec={"dtype": "bfloat16"}, trainable=TrainableParts(freeze_backbone=True))
    assert frozen.model.backbone.dtype == torch.bfloat16


@pytest.mark.parametrize(("parts", "name"), [({}, "lora_enable"), ({"lora_enable": True, "lora_r": 4}, "lora_r")])
def test_adapters_that_a_policy_has_stay_as_they_are(data, tmp_path, monkeypatch, parts, name):
    make = small_training.make_untrained_policy

    def with_adapters(*arguments, **settings):
        policy = make(*arguments, **settings)
        object.__setattr__(policy.config, "trainable", TrainableParts(lora_enable=True, lora_r=2))
        return policy

    monkeypatch.setattr(small_training, "make_untrained_policy", with_adapters)
    with pytest.raises(ValueError, match=f"expected {name} (True|2), as in the adapters that this policy already has"):
        make_training(data, tmp_path, trainable=TrainableParts(**parts))
    same = TrainableParts(lora_enable=True, lora_r=2)
    assert make_training(data, tmp_path, trainable=same).config.trainable == same
