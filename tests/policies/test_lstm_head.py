"""The head: windows and steps agree, and its state is a value."""

import pytest
import torch

from calvinbench.policies.lstm_head import SEED_HEAD, LSTMHead, LSTMHeadConfig, to_actions

CONFIG = LSTMHeadConfig(hidden_dim=16, num_layers=2, chunk_length=3)


@pytest.fixture
def head():
    torch.manual_seed(0)
    return LSTMHead(8, CONFIG).eval()


@pytest.fixture
def features():
    return torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(1))


def test_the_seeds_preset_has_its_numbers_of_parameters():
    head = LSTMHead(2048, SEED_HEAD)
    # 4 gates x 1024 x (inputs + 1024 + two biases), twice; then one linear layer to 10 actions of 7.
    lstm = 4 * 1024 * (2048 + 1024 + 2) + 4 * 1024 * (1024 + 1024 + 2)
    assert sum(parameter.numel() for parameter in head.lstm.parameters()) == lstm
    assert sum(parameter.numel() for parameter in head.linear.parameters()) == 1024 * 70 + 70
    assert head.lstm.dropout == 0.1


def test_steps_with_carried_state_equal_the_window(head, features):
    window = head(features)
    state, steps = None, []
    for time in range(6):
        chunks, state = head.step(features[:, time], state)
        steps.append(chunks)
    assert window.chunks.shape == (2, 6, 3, 7)
    torch.testing.assert_close(torch.stack(steps, dim=1), window.chunks, atol=1e-6, rtol=0)
    torch.testing.assert_close(state.cell, window.state.cell, atol=1e-6, rtol=0)


def test_a_window_can_be_cut_in_two(head, features):
    first = head(features[:, :2])
    second = head(features[:, 2:], first.state)
    torch.testing.assert_close(second.chunks, head(features).chunks[:, 2:], atol=1e-6, rtol=0)


def test_forgotten_rows_begin_anew_and_the_others_go_on(head, features):
    state = head(features[:, :3]).state
    forgot = state.forget(torch.tensor([True, False]))
    fresh, _ = head.step(features[:, 3])
    onward, _ = head.step(features[:, 3], state)
    mixed, _ = head.step(features[:, 3], forgot)
    torch.testing.assert_close(mixed[0], fresh[0])
    torch.testing.assert_close(mixed[1], onward[1])
    assert not torch.allclose(fresh[0], onward[0])
    assert state.hidden[:, 0].abs().min() > 0


def test_rows_and_states_of_another_number_of_worlds_are_refused(head, features):
    state = head(features[:, :3]).state
    assert state.batch_size == 2
    with pytest.raises(ValueError, match=r"expected rows for 2 worlds, got shape \(1,\)"):
        state.forget(torch.tensor([True]))
    with pytest.raises(ValueError, match="expected a state for 2 worlds, got 1"):
        head.step(features[:, 3], head.initial_state(1))


def test_actions_are_tanh_of_the_pose_and_the_sign_of_the_gripper():
    raw = torch.tensor([[0.0, 1.0, -1.0, 100.0, -100.0, 0.5, 0.001], [0.0] * 7, [0.0] * 6 + [-3.0]])
    actions = to_actions(raw)
    torch.testing.assert_close(actions[0, :6], torch.tensor([0.0, 0.761594, -0.761594, 1.0, -1.0, 0.462117]))
    assert actions[:, 6].tolist() == [1.0, -1.0, -1.0]


@pytest.mark.parametrize(
    "wrong", [{"hidden_dim": 0}, {"num_layers": 0}, {"chunk_length": 0}, {"dropout": 1.0}, {"dropout": -0.1}]
)
def test_sizes_that_cannot_be_are_refused(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=f"expected {name} of at least"):
        LSTMHeadConfig(**wrong)
