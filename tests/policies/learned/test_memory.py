"""Spans of memory: a window counts exactly its last frames, row by row; unbounded carries the head's state."""

import pytest
import torch

from calvinbench.policies.heads.config import HeadConfig
from calvinbench.policies.heads.registry import make_head
from calvinbench.policies.learned.memory import make_memory

WINDOW = 3
NUM_STEPS = 10


def small_head(kind: str, **settings):
    torch.manual_seed(0)
    sizes = {"hidden_dim": 16, "chunk_length": 2, "num_heads": 2, "max_window": 4, "mlp_widths": (8,)}
    return make_head(8, HeadConfig(type=kind, **sizes, **settings)).eval()


@pytest.fixture(params=["lstm", "transformer"])
def head(request):
    return small_head(request.param, decoder="mlp" if request.param == "lstm" else "linear")


@pytest.fixture
def features():
    return torch.randn(2, NUM_STEPS, 8, generator=torch.Generator().manual_seed(1))


def test_a_window_equals_a_fresh_run_over_the_last_frames_of_each_row(head, features):
    memory = make_memory(f"window:{WINDOW}", head)
    state, begins = memory.initial_state(2), [0, 0]
    for time in range(NUM_STEPS):
        # The first row forgets before steps 2 and 8, the second before step 5: three phases in one batch.
        marks = [time in (2, 8), time == 5]
        state = memory.forget(state, torch.tensor(marks))
        begins = [time if mark else begin for mark, begin in zip(marks, begins, strict=True)]
        chunks, state = memory.step(features[:, time], state)
        for row, begin in enumerate(begins):
            frames = features[row, max(begin, time - WINDOW + 1) : time + 1]
            fresh = head(frames[None]).chunks[0, -1]
            torch.testing.assert_close(chunks[row], fresh, atol=1e-6, rtol=0)


def test_until_it_is_full_a_window_is_an_unbounded_memory(features):
    head = small_head("lstm")
    window, unbounded = make_memory(f"window:{WINDOW}", head), make_memory("unbounded", head)
    states = [window.initial_state(2), unbounded.initial_state(2)]
    differences = []
    for time in range(5):
        of_window, of_unbounded = (
            memory.step(features[:, time], state) for memory, state in zip((window, unbounded), states, strict=True)
        )
        differences.append((of_window.chunks - of_unbounded.chunks).abs().max().item())
        states = [of_window.state, of_unbounded.state]
    assert max(differences[:WINDOW]) < 1e-6
    assert min(differences[WINDOW:]) > 1e-5


def test_unbounded_equals_a_run_over_all_frames(features):
    head = small_head("lstm")
    memory = make_memory("unbounded", head)
    state = memory.initial_state(2)
    for frame in features.unbind(1):
        chunks, state = memory.step(frame, state)
    torch.testing.assert_close(chunks, head(features).chunks[:, -1], atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("span", "kind"),
    [("window:3", "lstm"), ("window:3", "transformer"), ("unbounded", "lstm"), ("none", "feedforward")],
)
def test_a_state_is_a_value(span, kind, features):
    memory = make_memory(span, small_head(kind))
    state = memory.initial_state(2)
    for time in range(5):
        state = memory.step(features[:, time], state).state
    first = memory.step(features[:, 5], state)
    memory.forget(state, torch.tensor([True, True]))
    memory.step(features[:, 6], state)
    again = memory.step(features[:, 5], state)
    assert torch.equal(first.chunks, again.chunks)
    assert first.state.batch_size == 2


def test_some_rows_can_step_without_the_others(head, features):
    memory = make_memory(f"window:{WINDOW}", head)
    state = memory.initial_state(2)
    for time in range(2):
        state = memory.step(features[:, time], state).state
    rows = torch.tensor([False, True])
    part = memory.step(features[1:, 2], state.take(rows)).state
    chunks = memory.step(features[:, 3], state.put(rows, part)).chunks
    # The first row has not seen frame 2.
    for row, times in enumerate(([0, 1, 3], [1, 2, 3])):
        fresh = head(features[row : row + 1, times]).chunks[0, -1]
        torch.testing.assert_close(chunks[row], fresh, atol=1e-6, rtol=0)


def test_the_head_runs_over_as_many_frames_at_every_step(head, features):
    seen = []
    head.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].shape[1]))
    memory = make_memory(f"window:{WINDOW}", head)
    state = memory.initial_state(2)
    for frame in features.unbind(1):
        state = memory.step(frame, state).state
    assert seen == [WINDOW] * NUM_STEPS
    assert state.frames.shape == (2, WINDOW, 8)
    carried = make_memory("unbounded", small_head("lstm"))
    later = carried.step(features[:, 0], carried.initial_state(2)).state
    assert later.hidden.shape == (2, 2, 16)


def test_the_state_has_the_features_kind_of_float(head, features):
    memory = make_memory(f"window:{WINDOW}", head)
    assert memory.initial_state(2).frames.dtype == torch.float32
    doubles = make_memory(f"window:{WINDOW}", head.double())
    output = doubles.step(features[:, 0].double(), memory.initial_state(2))
    assert output.state.frames.dtype == output.chunks.dtype == torch.float64


@pytest.mark.parametrize(
    ("span", "kind", "message"),
    [
        ("unbounded", "transformer", "expected memory span 'window:N' with N up to 4 for a head of type 'transformer'"),
        ("window:5", "transformer", "N up to 4 .* got 'window:5'. Its own is 'window:4'"),
        ("window:2", "feedforward", "expected memory span 'none' for a head of type 'feedforward', got 'window:2'"),
        ("none", "lstm", "expected memory span 'unbounded' or 'window:N' for a head of type 'lstm', got 'none'"),
        ("window:0", "lstm", "expected memory span 'none', 'unbounded' or 'window:N' with N > 0, got 'window:0'"),
    ],
)
def test_spans_that_a_head_cannot_have_are_refused(span, kind, message):
    with pytest.raises(ValueError, match=message):
        make_memory(span, small_head(kind))


def test_every_heads_own_span_is_one_that_it_can_have():
    spans = {
        kind: make_memory(small_head(kind).default_span, small_head(kind)).span for kind in ("lstm", "transformer")
    }
    assert spans == {"lstm": "unbounded", "transformer": "window:4"}


def test_a_state_of_another_memory_is_refused(features):
    head = small_head("lstm")
    window, unbounded = make_memory("window:3", head), make_memory("unbounded", head)
    with pytest.raises(TypeError, match="expected a state of kind FrameBuffer, got LSTMState"):
        window.step(features[:, 0], unbounded.initial_state(2))
    with pytest.raises(TypeError, match="expected a state of kind LSTMState, got FrameBuffer"):
        unbounded.step(features[:, 0], window.initial_state(2))


def test_other_numbers_of_worlds_are_refused(head, features):
    memory = make_memory(f"window:{WINDOW}", head)
    with pytest.raises(ValueError, match="expected a state for 2 worlds, got 1"):
        memory.step(features[:, 0], memory.initial_state(1))
    with pytest.raises(ValueError, match=r"expected rows for 2 worlds, got shape \(3,\)"):
        memory.forget(memory.initial_state(2), torch.tensor([True, False, True]))
