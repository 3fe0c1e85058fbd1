"""Chunk rules, with numbers that a person can check."""

import math

import pytest
import torch

from calvinbench.envs.names import UnknownNameError
from calvinbench.policies.chunk_rule import ChunkRule
from calvinbench.policies.learned.chunks import ChunkExecutor


def chunk(*poses: float, logits: float | list[float] = 1.0) -> torch.Tensor:
    """One row's chunk. Each action has the same number in all six places of the pose."""
    values = torch.tensor(poses)[:, None].expand(-1, 6)
    logit = torch.tensor(logits).expand(len(poses))[:, None]
    return torch.cat([values, logit], dim=1)[None]


def run(executor, chunks_of_steps, state=None):
    """Actions' first number and gripper of one row, over steps that each ask the model."""
    state = state or executor.initial_state(1)
    executed = []
    for predicted in chunks_of_steps:
        assert executor.needs_prediction(state).tolist() == [True]
        actions, state = executor.advance(state, predicted)
        executed.append((round(actions[0, 0].item(), 6), actions[0, 6].item()))
    return executed


@pytest.mark.parametrize(
    ("text", "rule", "canonical"),
    [
        ("first", ChunkRule("first", 1), "first"),
        ("first:1", ChunkRule("first", 1), "first"),
        ("first:10", ChunkRule("first", 10), "first:10"),
        ("ensemble", ChunkRule("ensemble", decay=0.01), "ensemble:0.01"),
        ("ensemble:0", ChunkRule("ensemble", decay=0.0), "ensemble:0.0"),
        ("ensemble:-0.01", ChunkRule("ensemble", decay=-0.01), "ensemble:-0.01"),
    ],
)
def test_rules_are_read_and_written(text, rule, canonical):
    assert ChunkRule.parse(text) == rule
    assert str(rule) == canonical
    assert ChunkRule.parse(str(rule)) == rule


@pytest.mark.parametrize("text", ["first:0", "first:-1", "first:1.5", "first:", "first:x", "first:²"])
def test_a_number_of_actions_that_cannot_be_is_refused(text):
    with pytest.raises(ValueError, match=f"'first:K' with a whole K above 0, got '{text}'"):
        ChunkRule.parse(text)


@pytest.mark.parametrize("text", ["ensemble:", "ensemble:fast", "ensemble:nan", "ensemble:inf"])
def test_a_decay_that_is_no_number_is_refused(text):
    with pytest.raises(ValueError, match=f"'ensemble:M' with a finite number M, got '{text}'"):
        ChunkRule.parse(text)


def test_unknown_rules_are_refused_with_a_guess():
    with pytest.raises(UnknownNameError, match="Did you mean 'ensemble'"):
        ChunkRule.parse("ensembel:0.1")


def test_a_rule_made_by_hand_cannot_contradict_itself():
    with pytest.raises(ValueError, match="expected num_executed of at least 1, and of 1 for 'ensemble', got 2"):
        ChunkRule("ensemble", num_executed=2)
    with pytest.raises(ValueError, match="expected num_executed of at least 1"):
        ChunkRule("first", num_executed=0)
    with pytest.raises(ValueError, match="expected a decay from -100 to 100, and 0 for 'first'"):
        ChunkRule("first", decay=0.5)
    with pytest.raises(ValueError, match="expected a decay from -100 to 100"):
        ChunkRule.parse("ensemble:-1e308")


def test_more_actions_than_a_chunk_has_are_refused():
    assert ChunkExecutor(ChunkRule.parse("first:3"), 3).chunk_length == 3
    with pytest.raises(ValueError, match=r"at most the 3 actions of a chunk, got 'first:4'. Write 'first:3' or less"):
        ChunkExecutor(ChunkRule.parse("first:4"), 3)


def test_first_executes_the_first_action_of_every_chunk():
    executor = ChunkExecutor(ChunkRule.parse("first"), 3)
    steps = [chunk(0.1, 0.2, 0.3), chunk(0.4, 0.5, 0.6, logits=-1.0), chunk(-7.0, 0.0, 0.0, logits=0.0)]
    assert run(executor, steps) == [(0.1, 1.0), (0.4, -1.0), (-1.0, -1.0)]


def test_actions_have_64_bits_and_are_the_heads_numbers():
    executor = ChunkExecutor(ChunkRule.parse("first"), 2)
    predicted = torch.rand(1, 2, 7)
    actions, _ = executor.advance(executor.initial_state(1), predicted)
    assert actions.dtype == torch.float64
    assert torch.equal(actions[0, :6], predicted[0, 0, :6].double())


def test_first_k_asks_again_after_k_actions():
    executor = ChunkExecutor(ChunkRule.parse("first:2"), 3)
    state, executed, asked = executor.initial_state(1), [], []
    chunks = iter([chunk(0.1, 0.2, 0.3, logits=[1.0, -1.0, 1.0]), chunk(0.4, 0.5, 0.6), chunk(0.7, 0.8, 0.9)])
    for _ in range(5):
        asked.append(executor.needs_prediction(state).item())
        actions, state = executor.advance(state, next(chunks) if asked[-1] else torch.zeros(0, 3, 7))
        executed.append((round(actions[0, 0].item(), 6), actions[0, 6].item()))
    assert asked == [True, False, True, False, True]
    assert executed == [(0.1, 1.0), (0.2, -1.0), (0.4, 1.0), (0.5, 1.0), (0.7, 1.0)]


def test_rows_of_one_batch_stand_at_different_places_of_their_chunks():
    executor = ChunkExecutor(ChunkRule.parse("first:3"), 3)
    state = executor.initial_state(2)
    actions, state = executor.advance(state, torch.cat([chunk(0.1, 0.2, 0.3), chunk(-0.1, -0.2, -0.3)]))
    assert actions[:, 0].tolist() == pytest.approx([0.1, -0.1])
    state = executor.forget(state, torch.tensor([False, True]))
    assert executor.needs_prediction(state).tolist() == [False, True]
    actions, state = executor.advance(state, chunk(-0.4, -0.5, -0.6))
    assert actions[:, 0].tolist() == pytest.approx([0.2, -0.4])
    assert executor.needs_prediction(state).tolist() == [False, False]
    actions, state = executor.advance(state, torch.zeros(0, 3, 7))
    assert actions[:, 0].tolist() == pytest.approx([0.3, -0.5])
    assert executor.needs_prediction(state).tolist() == [True, False]
    actions, _ = executor.advance(state, chunk(0.7, 0.8, 0.9))
    assert actions[:, 0].tolist() == pytest.approx([0.7, -0.6])


def test_a_plain_ensemble_is_the_mean_of_all_predictions_for_now():
    executor = ChunkExecutor(ChunkRule.parse("ensemble:0"), 3)
    steps = [chunk(0.0, 0.2, 0.6), chunk(0.1, 0.3, 0.6), chunk(0.3, 0.0, 0.0), chunk(0.6, 0.0, 0.0)]
    # 0; (0.1 + 0.2) / 2; (0.3 + 0.3 + 0.6) / 3; (0.6 + 0.0 + 0.6) / 3, for the first chunk is used up.
    assert [pose for pose, _ in run(executor, steps)] == [0.0, 0.15, 0.4, 0.4]


def test_weights_fall_with_age():
    executor = ChunkExecutor(ChunkRule.parse(f"ensemble:{math.log(2)}"), 3)
    steps = [chunk(0.0, 0.0, 0.7), chunk(0.0, 0.7, 0.0), chunk(0.14, 0.0, 0.0)]
    # Weights 1, 1/2, 1/4 of ages 0, 1, 2: (0.14 + 0.35 + 0.175) / 1.75.
    assert run(executor, steps)[-1][0] == pytest.approx(0.38)


def test_below_zero_the_oldest_counts_most_as_in_act():
    executor = ChunkExecutor(ChunkRule.parse(f"ensemble:{-math.log(2)}"), 2)
    # Weights 1 and 2 of ages 0 and 1: (0.3 + 2 x 0.6) / 3.
    assert run(executor, [chunk(0.0, 0.6), chunk(0.3, 0.0)])[-1][0] == pytest.approx(0.5)


@pytest.mark.parametrize("decay", ["100", "-100"])
def test_steep_weights_leave_one_prediction(decay):
    executor = ChunkExecutor(ChunkRule.parse(f"ensemble:{decay}"), 2)
    pose = run(executor, [chunk(0.0, 0.6), chunk(0.3, 0.0)])[-1][0]
    assert pose == (0.3 if decay == "100" else 0.6)


def test_the_grippers_probabilities_are_averaged_not_its_logits():
    executor = ChunkExecutor(ChunkRule.parse("ensemble:0"), 3)
    # Probabilities 1.000, 0.378 and 0.378: mean 0.585, though two of three would close.
    opens = [chunk(0, 0, 0, logits=logit) for logit in (10.0, -0.5, -0.5)]
    assert run(executor, opens)[-1][1] == 1.0
    # Probabilities 1.000, 0.119 and 0.119: mean 0.413, though the mean logit is 2.
    closes = [chunk(0, 0, 0, logits=logit) for logit in (10.0, -2.0, -2.0)]
    assert run(executor, closes)[-1][1] == -1.0


def test_a_row_that_forgets_drops_what_was_predicted_for_it():
    executor = ChunkExecutor(ChunkRule.parse("ensemble:0"), 2)
    state = executor.initial_state(2)
    _, state = executor.advance(state, torch.cat([chunk(0.0, 0.6), chunk(0.0, 0.6)]))
    forgot = executor.forget(state, torch.tensor([True, False]))
    fresh = torch.cat([chunk(0.2, 0.0), chunk(0.2, 0.0)])
    assert executor.advance(forgot, fresh).actions[:, 0].tolist() == pytest.approx([0.2, 0.4])
    assert executor.advance(state, fresh).actions[:, 0].tolist() == pytest.approx([0.4, 0.4])


def test_a_state_is_a_value_and_gradients_do_not_live_on_in_it():
    executor = ChunkExecutor(ChunkRule.parse("ensemble:0"), 2)
    with torch.inference_mode():
        _, state = executor.advance(executor.initial_state(1), chunk(0.0, 0.6))
    first, later = executor.advance(state, chunk(0.2, 0.0).requires_grad_(True))
    executor.forget(state, torch.tensor([True]))
    again, _ = executor.advance(state, chunk(0.2, 0.0))
    assert first[0, 0].item() == again[0, 0].item() == pytest.approx(0.4)
    assert not later.chunks.requires_grad


def test_a_prediction_that_is_not_a_number_is_not_executed_as_one_and_passes():
    executor = ChunkExecutor(ChunkRule.parse("ensemble:0"), 2)
    state = executor.initial_state(2)
    bad = torch.cat([chunk(math.nan, 0.0, logits=[math.nan, 1.0]), chunk(0.5, 0.5)])
    actions, state = executor.advance(state, bad)
    assert actions[0].isnan().all()
    assert actions[1].tolist() == [0.5] * 6 + [1.0]
    good = torch.cat([chunk(0.2, 0.0), chunk(0.5, 0.5)])
    worse = torch.cat([chunk(math.nan, math.nan), chunk(0.5, 0.5)])
    fresh = executor.forget(executor.advance(state, worse).state, torch.tensor([True, False]))
    assert executor.advance(fresh, good).actions[:, 0].tolist() == pytest.approx([0.2, 0.5])
    actions, _ = executor.advance(state, good)
    assert actions[:, 0].tolist() == pytest.approx([0.1, 0.5])


def test_chunks_for_other_rows_or_of_another_length_are_refused():
    executor = ChunkExecutor(ChunkRule.parse("first:2"), 2)
    state = executor.initial_state(2)
    with pytest.raises(ValueError, match=r"expected chunks of shape \(2, 2, 7\), got \(1, 2, 7\)"):
        executor.advance(state, torch.zeros(1, 2, 7))
    with pytest.raises(ValueError, match=r"expected chunks of shape \(2, 2, 7\), got \(2, 3, 7\)"):
        executor.advance(state, torch.zeros(2, 3, 7))
    with pytest.raises(ValueError, match=r"expected rows for 2 worlds, got shape \(1,\)"):
        executor.forget(state, torch.tensor([True]))
    assert state.batch_size == 2
