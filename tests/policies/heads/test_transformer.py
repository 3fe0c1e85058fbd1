"""The transformer head: what it remembers when more frames come than it attends to."""

import pytest
import torch

from calvinbench.policies.heads.config import HEAD_PRESETS, HeadConfig
from calvinbench.policies.heads.registry import make_head

CONFIG = HeadConfig(type="transformer", hidden_dim=16, chunk_length=3, num_heads=2, max_window=4)


@pytest.fixture
def head():
    torch.manual_seed(0)
    return make_head(8, CONFIG).eval()


@pytest.fixture
def features():
    return torch.randn(2, 7, 8, generator=torch.Generator().manual_seed(1))


def test_past_its_window_it_equals_a_fresh_run_over_the_last_frames(head, features):
    state = None
    for time in range(7):
        chunks, state = head.step(features[:, time], state)
        fresh = head(features[:, max(0, time - 3) : time + 1]).chunks[:, -1]
        torch.testing.assert_close(chunks, fresh, atol=1e-6, rtol=0)
    assert state.lengths.tolist() == [4, 4]
    assert torch.equal(state.frames, features[:, 3:])


@pytest.mark.parametrize(("num_seen", "num_new"), [(0, 4), (0, 5), (0, 7), (2, 2), (2, 3), (4, 1), (4, 3)])
def test_windows_of_any_length_equal_the_steps(head, features, num_seen, num_new):
    state = head.initial_state(2)
    for frame in features[:, :num_seen].unbind(1):
        state = head.step(frame, state).state
    window = head(features[:, num_seen : num_seen + num_new], state)
    chunks = []
    for frame in features[:, num_seen : num_seen + num_new].unbind(1):
        output = head.step(frame, state)
        chunks.append(output.chunks)
        state = output.state
    torch.testing.assert_close(window.chunks, torch.stack(chunks, dim=1), atol=1e-6, rtol=0)
    assert torch.equal(window.state.frames, state.frames)
    assert torch.equal(window.state.lengths, state.lengths)


def test_order_and_place_matter(head, features):
    chunks = head(features[:, :3]).chunks[:, -1]
    swapped = head(features[:, [1, 0, 2]]).chunks[:, -1]
    assert (chunks - swapped).abs().max() > 1e-4
    same_frame_twice = head(features[:, [0, 0]]).chunks
    assert (same_frame_twice[:, 0] - same_frame_twice[:, 1]).abs().max() > 1e-4


def test_rows_of_different_lengths_run_together(head, features):
    state = head(features[:, :3]).state.forget(torch.tensor([True, False]))
    output = head(features[:, 3:4], state)
    assert output.state.lengths.tolist() == [1, 4]
    torch.testing.assert_close(output.chunks[0], head(features[:, 3:4]).chunks[0], atol=1e-6, rtol=0)
    torch.testing.assert_close(output.chunks[1], head(features[:, :4]).chunks[1, 3:], atol=1e-6, rtol=0)


def test_its_layers_begin_with_weights_of_their_own(head):
    first, second = (layer.linear1.weight for layer in head.layers)
    assert not torch.equal(first, second)


def test_the_preset_has_its_numbers_of_parameters():
    head = make_head(2048, HEAD_PRESETS["transformer"])
    attention = 4 * (1024 * 1024 + 1024)
    between = 1024 * 4096 + 4096 + 4096 * 1024 + 1024
    norm = 2 * 1024
    layers = 2 * (attention + between + 2 * norm)
    whole = (2048 * 1024 + 1024) + 16 * 1024 + layers + norm + (1024 * 70 + 70)
    assert sum(weight.numel() for weight in head.parameters()) == whole == 27_380_806
