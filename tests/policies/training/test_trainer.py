"""The loop: a step is that of the large batch, each setting changes what its name says, and what it saw is learned."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from safetensors.torch import load_file

from calvinbench.envs.observation import Observation
from calvinbench.policies.factories.checkpoint import make_checkpoint_policy
from calvinbench.policies.factories.checkpoint_settings import CheckpointSettings
from calvinbench.policies.image_facts import ImageFacts
from calvinbench.policies.learned.checkpoint import load_checkpoint
from calvinbench.policies.learned.trainable import TrainableParts, grouped_parameters
from calvinbench.policies.training.acceleration import make_accelerator
from calvinbench.policies.training.log import read_log
from calvinbench.policies.training.saved_state import find_checkpoint
from calvinbench.policies.training.trainer import Trainer
from support.small_training import GRIPPER, STATIC, make_training, write_data

ONE_LAYER = {"num_layers": "1"}
"""No dropout: it acts between layers."""


def gradients_seen(trainer):
    """What each step gives the optimiser, by the parameters' names; filled while it runs."""
    steps = []

    def look(*_):
        named = trainer.training.model.named_parameters()
        steps.append({name: weight.grad.clone() for name, weight in named if weight.grad is not None})

    trainer._optimizer.optimizer.register_step_pre_hook(look)
    return steps


def norm(gradients):
    return math.sqrt(sum(float(gradient.double().square().sum()) for gradient in gradients.values()))


def weights_of(trainer):
    return {name: weight.detach().clone() for name, weight in trainer.training.model.named_parameters()}


def changed_groups(trainer, before):
    groups = {name: group for group, names in grouped_parameters(trainer.training.model).items() for name in names}
    return {groups[name] for name, weight in weights_of(trainer).items() if not weight.equal(before[name])}


def lines_of(trainer):
    return read_log(trainer.training.settings.out)


@pytest.mark.parametrize(("batch_size", "accumulated"), [(2, 3), (1, 6), (3, 2)])
def test_micro_batches_give_the_step_of_the_large_batch(trainer, batch_size, accumulated):
    runs = {}
    for sizes in ((6, 1), (batch_size, accumulated)):
        made = trainer(
            spec=ONE_LAYER,
            batch_size=sizes[0],
            gradient_accumulation_steps=sizes[1],
            max_steps=2,
            learning_rate=1e-4,
            max_gradient_norm=0.05,
            gripper_loss_ratio=1.0,
            log_every=1,
        )
        gradients = gradients_seen(made)
        made.run()
        runs[sizes] = (gradients, weights_of(made), lines_of(made))
    (large, large_weights, large_lines), (small, small_weights, small_lines) = runs.values()
    assert len(large) == len(small) == 2
    for first, second in zip(large, small, strict=True):
        assert first.keys() == second.keys()
        for name, gradient in first.items():
            torch.testing.assert_close(second[name], gradient, atol=1e-7, rtol=1e-4, msg=name)
    for name, weight in large_weights.items():
        torch.testing.assert_close(small_weights[name], weight, atol=1e-6, rtol=0, msg=name)
    for first, second in zip(large_lines, small_lines, strict=True):
        for name in ("loss", "pose_loss", "gripper_loss", "gripper_accuracy", "gradient_norm"):
            assert getattr(second, name) == pytest.approx(getattr(first, name), rel=1e-5)
        assert (second.windows, second.frames) == (first.windows, first.frames)


def test_two_windows_are_learned_by_heart(tmp_path, trainer):
    data = write_data(tmp_path / "two", lengths=(3, 3))
    made = trainer(
        data=data,
        batch_size=2,
        max_epochs=100,
        max_steps=100,
        learning_rate=5e-3,
        gripper_loss_ratio=0.1,
        static_shift=0,
        gripper_shift=0,
        log_every=1,
    )
    made.run()
    lines = lines_of(made)
    assert lines[-1].loss < lines[0].loss / 10
    assert lines[-1].gripper_accuracy == 1.0
    assert [line.step for line in lines] == list(range(1, 101))
    assert (lines[-1].windows, lines[-1].frames, lines[-1].epoch) == (200, 600, 100.0)


def test_the_norm_is_clipped_and_told_as_it_was(trainer):
    free, held = (trainer(spec=ONE_LAYER, max_gradient_norm=limit, log_every=1) for limit in (None, 1e-3))
    for made in (free, held):
        made.gradients = gradients_seen(made)
        made.run()
    whole = norm(free.gradients[0])
    assert whole > 1e-2
    assert norm(held.gradients[0]) == pytest.approx(1e-3, rel=1e-3)
    assert lines_of(free)[0].gradient_norm == pytest.approx(whole, rel=1e-5)
    assert lines_of(held)[0].gradient_norm == pytest.approx(whole, rel=1e-5)


def test_the_rate_warms_up_and_falls_as_the_settings_say(trainer):
    made = trainer(
        learning_rate=1.0e-3,
        warmup_steps=2,
        schedule="cosine",
        min_learning_rate_scale=0.5,
        max_steps=7,
        log_every=1,
    )
    made.run()
    rates = [line.learning_rate for line in lines_of(made)]
    falling = [0.5 + 0.25 * (1 + math.cos(math.pi * done / 5)) for done in range(5)]
    assert rates == pytest.approx([0.0, 0.5e-3, *(1e-3 * scale for scale in falling)])


def test_a_step_at_the_rate_zero_changes_nothing_and_the_next_one_does(trainer):
    made = trainer(warmup_steps=1, max_steps=1)
    before = weights_of(made)
    made.run()
    assert changed_groups(made, before) == set()
    made = trainer(out=made.training.settings.out, warmup_steps=1, max_steps=2)
    made.run()
    assert "head" in changed_groups(made, before)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({}, {"text embedding", "connector", "vision", "language", "[LRN]", "head"}),
        ({"freeze_backbone": True}, {"[LRN]", "head"}),
        ({"freeze_backbone": True, "train_vision": True}, {"[LRN]", "head", "vision"}),
        ({"train_connector": False}, {"text embedding", "vision", "language", "[LRN]", "head"}),
    ],
)
def test_a_step_changes_the_parts_that_are_trained_and_no_other(trainer, parts, expected):
    made = trainer(trainable=TrainableParts(**parts), weight_decay=0.1)
    before = weights_of(made)
    made.run()
    assert changed_groups(made, before) == expected


def test_adapters_are_trained_saved_and_read_back(trainer):
    made = trainer(trainable=TrainableParts(lora_enable=True, lora_r=2), weight_decay=0.1, max_steps=2)
    before = weights_of(made)
    made.run()
    after = weights_of(made)
    changed = {name for name, weight in after.items() if not weight.equal(before[name])}
    assert {name for name in after if "lora_" in name} <= changed
    assert not [name for name in changed if name.startswith("backbone.") and "lora_" not in name]
    read = load_checkpoint(find_checkpoint(made.training.settings.out))
    assert read.config.trainable.lora_r == 2
    assert all(torch.equal(weight, after[name]) for name, weight in read.model.named_parameters())


def test_new_adapters_come_from_the_seed(trainer):
    adapters = []
    for seed in (0, 0, 1):
        torch.manual_seed(len(adapters))  # whatever was drawn before
        made = trainer(trainable=TrainableParts(lora_enable=True, lora_r=2), seed=seed)
        adapters.append({name: weight for name, weight in weights_of(made).items() if "lora_A" in name})
    first, again, other = adapters
    assert all(torch.equal(weight, again[name]) for name, weight in first.items())
    assert not any(torch.equal(weight, other[name]) for name, weight in first.items())


def test_checkpointing_computes_layers_again_and_gives_the_same_gradients(trainer):
    found = {}
    for checkpoints in (False, True):
        made = trainer(spec=ONE_LAYER, trainable=TrainableParts(gradient_checkpointing=checkpoints))
        calls = []
        made.training.model.backbone.towers["static"].layers[0].register_forward_hook(
            lambda *_, calls=calls: calls.append(1)
        )
        gradients = gradients_seen(made)
        made.run()
        found[checkpoints] = (len(calls), gradients[0])
    assert (found[False][0], found[True][0]) == (1, 2)
    for name, gradient in found[False][1].items():
        torch.testing.assert_close(found[True][1][name], gradient, atol=1e-7, rtol=1e-4, msg=name)


@pytest.mark.parametrize("ratio", [0.0, 0.01, 2.0])
def test_the_loss_is_the_poses_and_the_ratio_times_the_grippers(trainer, ratio):
    made = trainer(gripper_loss_ratio=ratio, log_every=1)
    gradients = gradients_seen(made)
    made.run()
    (line,) = lines_of(made)
    assert line.loss == pytest.approx(line.pose_loss + ratio * line.gripper_loss)
    gripper_bias = gradients[0]["head.decoder.linear.bias"].unflatten(0, (-1, 7))[:, 6]
    assert bool(gripper_bias.any()) == (ratio > 0)


def test_steps_at_which_the_gripper_changes_weigh_more(trainer):
    losses = {}
    for weight in (1.0, 2.0, 3.0):
        made = trainer(spec=ONE_LAYER, gripper_change_weight=weight, batch_size=15, log_every=1)
        made.run()
        losses[weight] = lines_of(made)[0]
    first, second = (b.gripper_loss - a.gripper_loss for a, b in pairwise(losses.values()))
    assert first == pytest.approx(second, rel=1e-4)  # the loss at changes, once and twice more
    assert 0.1 < first / losses[1.0].gripper_loss < 0.9  # some actions are, others not
    assert losses[3.0].pose_loss == pytest.approx(losses[1.0].pose_loss)


def test_the_robots_state_is_read_where_proprioception_is_on_and_comes_back_with_the_checkpoint(trainer):
    made = trainer(spec={"proprioception": "true"})
    before = weights_of(made)
    made.run()
    assert "proprioception" in changed_groups(made, before)
    folder = find_checkpoint(made.training.settings.out)
    policy = make_checkpoint_policy(str(folder), CheckpointSettings(device="cpu"))
    assert policy.traits.observation_keys == ("rgb_static", "rgb_gripper", "robot_obs")
    assert {"robot_encoder.layers.0.weight", "robot_encoder.layers.2.bias"} <= set(
        load_file(folder / "model.safetensors")
    )
    window = made.training.windows[made.training.windows.order(0)[0]]
    seen = Observation(
        rgb_static=window.images["static"][:1],
        rgb_gripper=window.images["gripper"][:1],
        robot_obs=window.robot_obs[:1].astype(float),
    )
    start = policy.initial_state(1)
    actions = [
        policy.act(replace(seen, robot_obs=robot_obs), ["open the drawer"], start).actions
        for robot_obs in (seen.robot_obs, seen.robot_obs + 1)
    ]
    assert (actions[0] != actions[1]).any()
    with pytest.raises(ValueError, match=r"got none of \['robot_obs'\]"):
        policy.act(replace(seen, robot_obs=None), ["open the drawer"], start)


def test_without_proprioception_nothing_of_the_state_is_read(trainer):
    made = trainer()
    made.run()
    window = made.training.windows[made.training.windows.order(0)[0]]
    assert window.robot_obs is None
    assert make_checkpoint_policy(str(find_checkpoint(made.training.settings.out))).traits.observation_keys == (
        "rgb_static",
        "rgb_gripper",
    )


def test_bf16_computes_in_16_bits_and_keeps_weights_of_32(trainer):
    made = trainer(precision="bf16", max_steps=2, log_every=1)
    dtypes = set()
    made.training.model.head.decoder.linear.register_forward_hook(lambda *call: dtypes.add(call[2].dtype))
    made.run()
    assert dtypes == {torch.bfloat16}
    assert {weight.dtype for weight in weights_of(made).values()} == {torch.float32}
    assert all(math.isfinite(line.loss) for line in lines_of(made))


def test_a_checkpoint_says_what_it_was_trained_on_and_remembers_as_it_was_trained(trainer):
    made = trainer(spec={"memory_span": "window:3"}, max_steps=3)
    made.run()
    read = load_checkpoint(find_checkpoint(made.training.settings.out))
    assert (read.config.memory.span, read.config.origin) == ("window:3", "trained here")
    assert read.notes["data"]["scene"] == "embedded"
    seen = {"low": 0, "high": 255}
    sizes = made.training.model.backbone.input_sizes
    assert read.notes["images"] == {
        "gripper": {"height": GRIPPER, "width": GRIPPER, **seen, "input_size": sizes["gripper"]},
        "static": {"height": STATIC, "width": STATIC, **seen, "input_size": sizes["static"]},
    }
    policy = make_checkpoint_policy(str(find_checkpoint(made.training.settings.out)))
    assert policy.traits.trained_on.images == ImageFacts.read(read.notes["images"])
    assert read.notes["training"] == {
        "step": 3,
        "windows": 6,
        "frames": 18,
        "seconds": read.notes["training"]["seconds"],
        "effective_batch_size": 2,
        "validation_loss": None,
        "seed": made.training.settings.optimization.seed,
        "recipe": made.training.recipe(3),
    }


def test_the_validation_loss_is_the_same_each_time_and_disturbs_nothing(trainer):
    quiet = trainer(max_steps=4, log_every=2)
    quiet.run()
    validated = trainer(max_steps=4, log_every=2, validate_every=2)
    assert validated.validation_loss() == validated.validation_loss()
    validated.run()
    losses = [line.validation_loss for line in lines_of(validated)]
    assert None not in losses
    assert losses[-1] == validated.validation_loss()
    assert [line.loss for line in lines_of(validated)] == [line.loss for line in lines_of(quiet)]
    assert all(torch.equal(weight, weights_of(quiet)[name]) for name, weight in weights_of(validated).items())


def test_the_validation_loss_counts_each_action_once_whatever_the_batches(trainer):
    losses = [trainer(validate_every=1, batch_size=size).validation_loss() for size in (1, 4, 15)]
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-5)


def test_the_best_checkpoint_is_that_of_the_lowest_validation_loss(trainer, monkeypatch):
    made = trainer(max_steps=4, validate_every=1, save_every=1)
    losses = iter([2.0, 1.0, math.nan, 3.0])
    monkeypatch.setattr(made, "validation_loss", lambda: next(losses))
    made.run()
    out = made.training.settings.out
    assert load_checkpoint(out / "best").notes["training"]["step"] == 2
    assert load_checkpoint(out / "checkpoint").notes["training"]["step"] == 4
    assert made.progress.best_validation_loss == 1.0


def test_the_best_checkpoint_is_saved_between_saves_too(trainer, monkeypatch):
    made = trainer(max_steps=6, validate_every=1, save_every=4)
    losses = iter([3.0, 1.0, 2.0, 1.5, 4.0, 5.0])
    monkeypatch.setattr(made, "validation_loss", lambda: next(losses))
    saved = []
    monkeypatch.setattr(
        "calvinbench.policies.training.trainer.save_checkpoint",
        lambda folder, *_: saved.append((made.progress.step, folder.name)),
    )
    made.run()
    assert saved == [(1, "best"), (2, "best"), (4, "checkpoint"), (6, "checkpoint")]
    assert made.progress.best_validation_loss == 1.0


def test_steps_that_the_scaler_skips_leave_weights_and_schedule_and_are_told(data, tmp_path, monkeypatch):
    """Scaled by 2^127, gradients are infinite for a step; then the scale falls to 2^7."""
    training = make_training(
        data, tmp_path, max_steps=3, log_every=1, schedule="cosine", min_learning_rate_scale=0.5, learning_rate=1e-3
    )
    accelerator = make_accelerator("fp32", "cpu")
    accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127, backoff_factor=2.0**-120)
    made = Trainer(training, accelerator, lambda: 0.0)
    weights = [weights_of(made)]
    step = made._optimizer.step
    monkeypatch.setattr(made._optimizer, "step", lambda: (step(), weights.append(weights_of(made))))
    made.run()
    lines = read_log(tmp_path)
    assert [line.skipped_steps for line in lines] == [1, 0, 0]
    assert lines[0].gradient_norm is None
    assert all(math.isfinite(line.gradient_norm) and line.gradient_norm > 0 for line in lines[1:])
    assert [line.learning_rate for line in lines] == pytest.approx([1e-3, 1e-3, 1e-3 * (0.5 + 0.25 * 1.5)])
    assert [line.windows for line in lines] == [2, 4, 6]
    assert all(torch.equal(weight, weights[1][name]) for name, weight in weights[0].items())
    assert not all(torch.equal(weight, weights[2][name]) for name, weight in weights[0].items())


def test_the_same_settings_train_the_same_weights_and_another_seed_others(trainer):
    runs = []
    for seed in (0, 0, 1):
        made = trainer(spec={"num_layers": "2"}, max_steps=3, seed=seed)
        made.run()
        runs.append(weights_of(made))
    assert all(torch.equal(weight, runs[1][name]) for name, weight in runs[0].items())
    assert not all(torch.equal(weight, runs[2][name]) for name, weight in runs[0].items())


def test_windows_by_a_stride_go_on_where_they_were_stopped(trainer):
    """27 windows in steps of 2: 13 an epoch, so that the second sitting goes over into the next one."""
    whole = trainer(max_steps=15, window_stride=1)
    whole.run()
    stopped = trainer(max_steps=11, window_stride=1)
    stopped.run()
    going_on = trainer(out=stopped.training.settings.out, max_steps=15, window_stride=1)
    assert going_on.progress.step == 11
    going_on.run()
    assert all(torch.equal(weight, weights_of(going_on)[name]) for name, weight in weights_of(whole).items())


def test_nothing_to_train_is_refused(data, tmp_path, trainer):
    training = make_training(data, tmp_path)
    training.model.requires_grad_(False)
    with pytest.raises(ValueError, match="but all parameters of the model are frozen"):
        type(trainer())(training, trainer()._accelerator, lambda: 0.0)


def test_a_vlm_is_trained_in_16_bits_with_accumulation_and_layers_computed_again(trainer):
    runs = []
    for is_checkpointed, max_steps in ((False, 2), (True, 6)):
        made = trainer(
            backbone="kosmos2",
            spec=ONE_LAYER,
            trainable=TrainableParts(gradient_checkpointing=is_checkpointed),
            precision="bf16",
            batch_size=2,
            gradient_accumulation_steps=2,
            learning_rate=3e-3,
            max_steps=max_steps,
            log_every=1,
            max_epochs=9,
        )
        before = weights_of(made)
        made.run()
        assert changed_groups(made, before) == {"vision", "connector", "language", "text embedding", "[LRN]", "head"}
        assert all(weight.dtype == torch.float32 for weight in made.training.model.parameters())
        runs.append([line.loss for line in lines_of(made)])
    kept, again = runs
    assert again[:2] == pytest.approx(kept, rel=1e-3)  # what is computed again is what was kept
    assert sum(again[-2:]) < sum(again[:2])
    loaded = load_checkpoint(find_checkpoint(made.training.settings.out))
    assert loaded.config.backbone == "kosmos2"
