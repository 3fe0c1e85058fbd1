"""Every head keeps to the interface: windows and steps agree, and its state is a value."""

from dataclasses import replace

import pytest
import torch

from calvinbench.policies.heads.config import HEADS, HeadConfig
from calvinbench.policies.heads.head import Head
from calvinbench.policies.heads.registry import make_head

NUM_FRAMES = 6
CONFIG = HeadConfig(hidden_dim=16, chunk_length=3, mlp_widths=(8, 8), num_heads=2, max_window=NUM_FRAMES)


@pytest.fixture(params=[(kind, decoder) for kind in HEADS for decoder in ("linear", "mlp")], ids="-".join)
def head(request) -> Head:
    kind, decoder = request.param
    torch.manual_seed(0)
    return make_head(8, replace(CONFIG, type=kind, decoder=decoder)).eval()


@pytest.fixture
def features():
    return torch.randn(2, NUM_FRAMES, 8, generator=torch.Generator().manual_seed(1))


def stepped(head, features, state=None):
    """Chunks of one step after the other, and the last state."""
    chunks = []
    for frame in features.unbind(1):
        output = head.step(frame, state)
        chunks.append(output.chunks)
        state = output.state
    return torch.stack(chunks, dim=1), state


def test_steps_with_carried_state_equal_the_window(head, features):
    window = head(features)
    chunks, state = stepped(head, features)
    assert window.chunks.shape == (2, NUM_FRAMES, 3, 7)
    torch.testing.assert_close(chunks, window.chunks, atol=1e-6, rtol=0)
    assert state.batch_size == window.state.batch_size == 2


def test_without_gradients_it_gives_the_same(head, features):
    # torch has faster code for attention where no gradient is wanted.
    state = head(features[:, :3]).state.forget(torch.tensor([True, False]))
    wanted = head.step(features[:, 3], state).chunks
    with torch.inference_mode():
        torch.testing.assert_close(head(features).chunks, stepped(head, features)[0], atol=1e-6, rtol=0)
        state = head(features[:, :3]).state
    state = state.forget(torch.tensor([True, False]))
    state = state.put(torch.tensor([False, True]), state.take(torch.tensor([False, True])))
    with torch.inference_mode():
        torch.testing.assert_close(head.step(features[:, 3], state).chunks, wanted, atol=1e-6, rtol=0)


def test_a_window_can_be_cut_in_two(head, features):
    first = head(features[:, :2])
    second = head(features[:, 2:], first.state)
    torch.testing.assert_close(second.chunks, head(features).chunks[:, 2:], atol=1e-6, rtol=0)


def test_the_initial_state_is_that_of_nothing_seen(head, features):
    torch.testing.assert_close(head(features, head.initial_state(2)).chunks, head(features).chunks)


def test_a_frame_does_not_know_of_later_ones(head, features):
    changed = features.clone()
    changed[:, 4:] += 1.0
    before, after = head(features).chunks, head(changed).chunks
    torch.testing.assert_close(after[:, :4], before[:, :4], atol=1e-6, rtol=0)
    assert (after[:, 4:] - before[:, 4:]).abs().amax() > 1e-3


def test_only_heads_with_a_history_know_of_earlier_frames(head, features):
    changed = features.clone()
    changed[:, 0] += 1.0
    difference = (head(changed).chunks - head(features).chunks)[:, -1].abs().max()
    assert (difference == 0) == (head.config.type == "feedforward")


def test_forgotten_rows_begin_anew_and_the_others_go_on(head, features):
    state = head(features[:, :3]).state
    forgot = state.forget(torch.tensor([True, False]))
    fresh = head.step(features[:, 3]).chunks
    onward = head.step(features[:, 3], state).chunks
    mixed = head.step(features[:, 3], forgot).chunks
    torch.testing.assert_close(mixed[0], fresh[0], atol=1e-6, rtol=0)
    torch.testing.assert_close(mixed[1], onward[1], atol=1e-6, rtol=0)
    torch.testing.assert_close(head.step(features[:, 3], state).chunks, onward)
    if head.config.type != "feedforward":
        assert not torch.allclose(fresh[0], onward[0], atol=1e-4)


def test_some_rows_can_step_without_the_others(head, features):
    state = head(features[:, :3]).state
    together, _ = stepped(head, features[:, 3:5], state)
    rows = torch.tensor([False, True])
    alone = head.step(features[1:, 3], state.take(rows))
    torch.testing.assert_close(alone.chunks[0], together[1, 0], atol=1e-6, rtol=0)
    state = state.put(rows, alone.state)
    both = head.step(torch.stack([features[0, 3], features[1, 4]]), state).chunks
    torch.testing.assert_close(both, torch.stack([together[0, 0], together[1, 1]]), atol=1e-6, rtol=0)


def test_putting_rows_back_leaves_the_old_state_as_it_is(head, features):
    state = head(features[:, :3]).state
    onward = head.step(features[:, 3], state).chunks
    rows = torch.tensor([True, True])
    other = head(features[:, 1:5].flip(0)).state
    replaced = state.put(rows, other)
    torch.testing.assert_close(head.step(features[:, 3], replaced).chunks, head.step(features[:, 3], other).chunks)
    assert torch.equal(head.step(features[:, 3], state).chunks, onward)


def test_rows_and_states_of_another_number_of_worlds_are_refused(head, features):
    state = head(features[:, :3]).state
    for change in (state.forget, state.take):
        with pytest.raises(ValueError, match=r"expected rows for 2 worlds, got shape \(1,\)"):
            change(torch.tensor([True]))
    with pytest.raises(ValueError, match="expected a state for 1 worlds, got 2"):
        state.put(torch.tensor([True, False]), state)
    with pytest.raises(ValueError, match="expected a state for 2 worlds, got 1"):
        head.step(features[:, 3], head.initial_state(1))
    with pytest.raises(ValueError, match="expected a state for 2 worlds, got 1"):
        head(features, head.initial_state(1))


def test_a_state_of_another_kind_of_head_is_refused(head, features):
    other = "lstm" if head.config.type != "lstm" else "feedforward"
    state = make_head(8, replace(CONFIG, type=other)).initial_state(2)
    with pytest.raises(TypeError, match=rf"expected a state of kind \w+, got {type(state).__name__}"):
        head.step(features[:, 0], state)


def test_the_pose_is_bounded_by_tanh_and_the_gripper_is_not(head, features):
    for parameter in head.decoder.parameters():
        torch.nn.init.constant_(parameter, 5.0)
    chunks = head(10 * features).chunks
    assert chunks[..., :6].abs().max() <= 1.0
    assert chunks[..., 6].abs().max() > 4.0


def test_without_an_activation_the_pose_is_the_number_before_tanh(head, features):
    torch.manual_seed(0)
    raw = make_head(8, replace(head.config, pose_activation="none")).eval()
    raw.load_state_dict(head.state_dict())
    with torch.no_grad():
        for weight in (*raw.decoder.parameters(), *head.decoder.parameters()):
            weight.mul_(2.0).add_(0.1)
    chunks, bounded = raw(features).chunks, head(features).chunks
    torch.testing.assert_close(chunks[..., :6].tanh(), bounded[..., :6])
    assert (chunks[..., :6] - bounded[..., :6]).abs().max() > 1e-3
    torch.testing.assert_close(chunks[..., 6], bounded[..., 6])


def test_dropout_acts_in_train_mode_alone(head, features):
    dropping = make_head(8, replace(head.config, dropout=0.5)).train()
    assert not torch.equal(dropping(features).chunks, dropping(features).chunks)
    dropping.eval()
    assert torch.equal(dropping(features).chunks, dropping(features).chunks)


def test_every_weight_learns(head, features):
    head(features).chunks.square().sum().backward()
    assert [name for name, weight in head.named_parameters() if weight.grad is None or not weight.grad.any()] == []
