"""The architecture whole: windows and steps agree, and gradients reach every part."""

import pytest
import torch

from calvinbench.policies.backbones.backbone import Pictures
from calvinbench.policies.lstm_head import LSTMHeadConfig
from calvinbench.policies.vlm_lstm import VLMLSTM

SENTENCES = ["open the drawer", "take the blue block and rotate it to the right"]


@pytest.fixture(scope="module")
def model():
    return VLMLSTM.tiny("kosmos2", torch.Generator().manual_seed(0), LSTMHeadConfig(hidden_dim=32)).eval()


def window(num_frames=4):
    generator = torch.Generator().manual_seed(1)
    static = torch.randint(0, 256, (2, num_frames, 200, 200, 3), dtype=torch.uint8, generator=generator)
    gripper = torch.randint(0, 256, (2, num_frames, 84, 84, 3), dtype=torch.uint8, generator=generator)
    return Pictures(static, gripper)


def frame(pictures, time):
    return Pictures(pictures.static[:, time], pictures.gripper[:, time])


@torch.inference_mode()
def test_stepwise_forward_with_carried_state_equals_the_whole_window(model):
    pictures = window()
    chunks, state = model(pictures, SENTENCES)
    assert chunks.shape == (2, 4, 10, 7)
    carried = None
    for time in range(4):
        step_chunks, carried = model.step(frame(pictures, time), SENTENCES, carried)
        torch.testing.assert_close(step_chunks, chunks[:, time], atol=1e-5, rtol=0)
    torch.testing.assert_close(carried.hidden, state.hidden, atol=1e-5, rtol=0)


@torch.inference_mode()
def test_the_past_matters_and_only_through_the_state(model):
    pictures = window(2)
    with_past = model(pictures, SENTENCES).chunks[:, 1]
    _, state = model.step(frame(pictures, 0), SENTENCES)
    model.step(frame(window(3), 2), SENTENCES[::-1])  # another world in between, whose state is dropped
    by_state = model.step(frame(pictures, 1), SENTENCES, state).chunks
    torch.testing.assert_close(by_state, with_past, atol=1e-5, rtol=0)
    without = model.step(frame(pictures, 1), SENTENCES).chunks
    assert (with_past - without).abs().max() > 1e-3


def test_gradients_reach_lrn_vision_language_and_head():
    model = VLMLSTM.tiny("kosmos2", torch.Generator().manual_seed(0), LSTMHeadConfig(hidden_dim=32)).train()
    model(window(2), SENTENCES).chunks.square().mean().backward()
    kosmos = model.backbone.model
    parts = {
        "lrn": model.lrn,
        "vision": kosmos.vision_model,
        "connector": kosmos.image_to_text_projection,
        "language": kosmos.text_model,
        "lstm": model.head.lstm,
        "linear": model.head.linear,
    }
    for name, part in parts.items():
        gradients = [parameter.grad for parameter in part.parameters()]
        assert all(gradient is not None for gradient in gradients), name
        assert sum(float(gradient.abs().sum()) for gradient in gradients) > 0, name
    assert float(kosmos.vision_model.model.embeddings.patch_embedding.weight.grad.abs().sum()) > 0
    assert float(kosmos.get_input_embeddings().weight.grad.abs().sum()) > 0


def test_a_step_too_little_or_too_many_axes_is_refused(model):
    with pytest.raises(ValueError, match=r"leading axes \(worlds, time\), got \(2,\). For a single step call step"):
        model(frame(window(1), 0), SENTENCES)
    with pytest.raises(ValueError, match="one instruction for each of 2 rows, got 1"):
        model(window(1), SENTENCES[:1])


def test_the_same_generator_makes_the_same_model():
    first, again = (VLMLSTM.tiny("kosmos2", torch.Generator().manual_seed(7)) for _ in range(2))
    for (name, weight), (_, other) in zip(first.named_parameters(), again.named_parameters(), strict=True):
        assert torch.equal(weight, other), name
