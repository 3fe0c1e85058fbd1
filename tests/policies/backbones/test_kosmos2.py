"""Kosmos-2: our sequence is the model's own, [LRN] sees everything, padding and company change nothing."""

import pytest
import torch

from calvinbench.policies.backbones.backbone import Pictures
from calvinbench.policies.backbones.kosmos2 import Kosmos2Backbone
from calvinbench.policies.backbones.tiny_tokenizer import embedded_tokenizer

BOS_ID = 0  # `<s>`, as in the published vocabulary
SHORT, LONG = "open the drawer", "take the blue block and rotate it to the right until it lies across"


@pytest.fixture(scope="module")
def backbone():
    return Kosmos2Backbone.tiny(torch.Generator().manual_seed(0)).eval()


@pytest.fixture(scope="module")
def lrn(backbone):
    return 0.1 * torch.randn(backbone.width, generator=torch.Generator().manual_seed(5))


def noise(batch_size, size, seed):
    shape = (batch_size, size, size, 3)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def pictures_of(batch_size=1):
    return Pictures(noise(batch_size, 200, 1), noise(batch_size, 84, 2))


def relative_difference(first, second):
    return float((first - second).norm() / second.norm())


def test_a_sentence_begins_with_one_bos(backbone):
    assert embedded_tokenizer().token_to_id("<s>") == BOS_ID
    first, *words = backbone.encode(SHORT)
    assert first == BOS_ID
    assert words == embedded_tokenizer().encode(SHORT).ids


@torch.inference_mode()
def test_the_fused_feature_is_what_the_model_itself_makes_of_ids_and_pixels(backbone, lrn):
    pictures = pictures_of()
    ours = backbone(pictures, [SHORT], lrn)
    # The model's own path: pixels in, token ids in, no embeddings of ours; [LRN] takes the place of an unused token.
    reference = Kosmos2Backbone.tiny(torch.Generator().manual_seed(0)).eval()
    unused_id, vision_id = 3, 2  # none of the sentence's tokens
    reference.model.get_input_embeddings().weight[unused_id] = lrn
    ids = [BOS_ID, *embedded_tokenizer().encode(SHORT).ids, *[vision_id] * 32, unused_id]
    is_vision = torch.tensor([[int(token == vision_id) for token in ids]])
    pixels = torch.cat([backbone.preprocess(pictures.static), backbone.preprocess(pictures.gripper)])
    theirs = reference.model(
        pixel_values=pixels, input_ids=torch.tensor([ids]), image_embeds_position_mask=is_vision
    ).last_hidden_state[:, -1]
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


@torch.inference_mode()
def test_a_sample_alone_equals_itself_in_a_padded_batch(backbone, lrn):
    pictures = pictures_of(3)
    batch = backbone(pictures, [SHORT, LONG, SHORT], lrn)
    for row, sentence in enumerate([SHORT, LONG, SHORT]):
        one = Pictures(pictures.static[row : row + 1], pictures.gripper[row : row + 1])
        torch.testing.assert_close(backbone(one, [sentence], lrn)[0], batch[row], atol=1e-5, rtol=0)


@torch.inference_mode()
def test_each_camera_the_instruction_and_lrn_matter(backbone, lrn):
    static, gripper, other = noise(1, 84, 1), noise(1, 84, 2), torch.zeros(1, 84, 84, 3, dtype=torch.uint8)
    feature = backbone(Pictures(static, gripper), [SHORT], lrn)
    assert relative_difference(backbone(Pictures(other, gripper), [SHORT], lrn), feature) > 0.05
    assert relative_difference(backbone(Pictures(static, other), [SHORT], lrn), feature) > 0.05
    assert relative_difference(backbone(Pictures(static, gripper), [LONG], lrn), feature) > 0.05
    assert relative_difference(backbone(Pictures(static, gripper), [SHORT], lrn * 0), feature) > 0.05


@torch.inference_mode()
def test_swapped_cameras_change_the_feature(backbone, lrn):
    static, gripper = noise(1, 84, 1), torch.zeros(1, 84, 84, 3, dtype=torch.uint8)
    feature = backbone(Pictures(static, gripper), [SHORT], lrn)
    assert relative_difference(backbone(Pictures(gripper, static), [SHORT], lrn), feature) > 0.01


@torch.inference_mode()
def test_two_steps_of_eval_mode_agree_and_train_mode_drops_out(backbone, lrn):
    feature = backbone(pictures_of(), [SHORT], lrn)
    assert torch.equal(backbone(pictures_of(), [SHORT], lrn), feature)
    training = Kosmos2Backbone.tiny(torch.Generator().manual_seed(0)).train()
    assert relative_difference(training(pictures_of(), [SHORT], lrn), feature) > 0.01


def test_weights_come_from_the_generator_and_leave_the_global_stream_alone():
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first, again, other = (Kosmos2Backbone.tiny(torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), before)
    weights = [next(model.parameters()) for model in (first, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
