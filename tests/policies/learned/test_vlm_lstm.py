"""The architecture whole: windows and steps agree, and gradients reach every part."""

import pytest
import torch

from calvinbench.policies.backbones.images.preprocessing import CameraImages
from calvinbench.policies.backbones.kosmos2 import Kosmos2Backbone
from calvinbench.policies.heads.config import HEAD_PRESETS, HeadConfig
from calvinbench.policies.learned.vlm_lstm import VLMLSTM
from support.model_step import model_step

SENTENCES = ["open the drawer", "take the blue block and rotate it to the right"]
SMALL = HeadConfig(hidden_dim=32)


def tiny(head=SMALL):
    torch.manual_seed(0)
    return VLMLSTM(Kosmos2Backbone.tiny(torch.Generator().manual_seed(0)), head)


@pytest.fixture(scope="module")
def model():
    return tiny().eval()


def window(num_frames=4):
    generator = torch.Generator().manual_seed(1)
    static = torch.randint(0, 256, (2, num_frames, 200, 200, 3), dtype=torch.uint8, generator=generator)
    gripper = torch.randint(0, 256, (2, num_frames, 84, 84, 3), dtype=torch.uint8, generator=generator)
    return CameraImages(static, gripper)


def frame(pictures, time):
    return CameraImages(pictures.static[:, time], pictures.gripper[:, time])


@torch.inference_mode()
def test_stepwise_forward_with_carried_state_equals_the_whole_window(model):
    pictures = window()
    chunks, state = model(pictures, SENTENCES)
    assert chunks.shape == (2, 4, 10, 7)
    carried = None
    for time in range(4):
        step_chunks, carried = model_step(model, frame(pictures, time), SENTENCES, carried)
        torch.testing.assert_close(step_chunks, chunks[:, time], atol=1e-5, rtol=0)
    torch.testing.assert_close(carried.hidden, state.hidden, atol=1e-5, rtol=0)


@torch.inference_mode()
def test_the_past_matters_and_only_through_the_state(model):
    pictures = window(2)
    with_past = model(pictures, SENTENCES).chunks[:, 1]
    _, state = model_step(model, frame(pictures, 0), SENTENCES)
    model_step(model, frame(window(3), 2), SENTENCES[::-1])  # another world in between, whose state is dropped
    by_state = model_step(model, frame(pictures, 1), SENTENCES, state).chunks
    torch.testing.assert_close(by_state, with_past, atol=1e-5, rtol=0)
    without = model_step(model, frame(pictures, 1), SENTENCES).chunks
    assert (with_past - without).abs().max() > 1e-4


def test_lrn_begins_at_zero_and_gradients_reach_it_vision_language_and_head():
    model = tiny().train()
    assert torch.equal(model.lrn(), torch.zeros(128))
    model(window(2), SENTENCES).chunks.square().mean().backward()
    kosmos = model.backbone.model
    parts = {
        "lrn": model.lrn,
        "vision": kosmos.vision_model,
        "connector": kosmos.image_to_text_projection,
        "language": kosmos.text_model,
        "lstm": model.head.lstm,
        "decoder": model.head.decoder,
    }
    for name, part in parts.items():
        gradients = [parameter.grad for parameter in part.parameters()]
        assert all(gradient is not None for gradient in gradients), name
        assert sum(float(gradient.abs().sum()) for gradient in gradients) > 0, name
    assert float(kosmos.vision_model.model.embeddings.patch_embedding.weight.grad.abs().sum()) > 0
    assert float(kosmos.get_input_embeddings().weight.grad.abs().sum()) > 0


def test_a_step_too_little_or_too_many_axes_is_refused(model):
    with pytest.raises(ValueError, match=r"leading axes \(worlds, time\), got \(2,\). For a single frame call encode"):
        model(frame(window(1), 0), SENTENCES)
    with pytest.raises(ValueError, match="one instruction for each of 2 rows, got 1"):
        model(window(1), SENTENCES[:1])


def test_the_vlm_takes_the_precision_and_lrn_and_head_keep_theirs():
    model = tiny().eval().place("cpu", torch.bfloat16)
    assert {parameter.dtype for parameter in model.backbone.parameters()} == {torch.bfloat16}
    assert {parameter.dtype for part in (model.lrn, model.head) for parameter in part.parameters()} == {torch.float32}
    with torch.inference_mode():
        exact = tiny().eval()(window(1), SENTENCES).chunks
        assert 0 < (model(window(1), SENTENCES).chunks - exact).abs().max() < 0.05


def test_the_seeds_head_has_its_numbers_of_parameters():
    head = VLMLSTM(Kosmos2Backbone.tiny(torch.Generator()), HEAD_PRESETS["seed"]).head
    # 4 gates x 1024 x (inputs + 1024 + two biases), twice; then one linear layer to 10 actions of 7.
    lstm = 4 * 1024 * (128 + 1024 + 2) + 4 * 1024 * (1024 + 1024 + 2)
    assert sum(parameter.numel() for parameter in head.parameters()) == lstm + 1024 * 70 + 70
    assert head.lstm.dropout == 0.1


@torch.inference_mode()
def test_frames_that_are_none_do_not_pass_the_vlm_and_those_before_them_are_as_alone(model, monkeypatch):
    pictures, rows = window(3), []
    alone = model(CameraImages(pictures.static[:, :2], pictures.gripper[:, :2]), SENTENCES).chunks
    encode = model.encode
    monkeypatch.setattr(model, "encode", lambda *seen: rows.append(list(seen[1])) or encode(*seen))
    is_frame = torch.tensor([[True, True, False], [True, True, True]])
    chunks = model(pictures, SENTENCES, is_frame=is_frame).chunks
    assert rows == [[SENTENCES[0]] * 2 + [SENTENCES[1]] * 3]
    torch.testing.assert_close(chunks[:, :2], alone, atol=1e-5, rtol=0)


def test_the_robots_state_is_refused_or_asked_for_as_the_model_was_made(model):
    frames = frame(window(1), 0)
    with pytest.raises(ValueError, match="expected a call without robot_obs"):
        model.encode(frames, SENTENCES, torch.zeros(2, 15))
    told = VLMLSTM(model.backbone, SMALL, proprioception=True)
    with pytest.raises(ValueError, match="expected a call with robot_obs"):
        told.encode(frames, SENTENCES)
