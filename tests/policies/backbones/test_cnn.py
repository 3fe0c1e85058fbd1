"""The plain convolutional reference: cameras of their own size, a sentence that acts, and refusals in words."""

import json

import pytest
import torch
from torch import nn
from torch.nn import functional

from calvinbench.policies.backbones.cnn.cnn import CNNBackbone
from calvinbench.policies.backbones.cnn.modules import ExpectedPlaces, ReadoutLayer
from calvinbench.policies.backbones.images.preprocessing import CameraImages
from calvinbench.policies.backbones.images.resize import resize
from calvinbench.policies.backbones.prompts.prompt import Kind, Layout, collate
from calvinbench.policies.backbones.prompts.tiny_tokenizer import tiny_tokenizer
from calvinbench.policies.backbones.settings import MAX_POOLING, BackboneSettings
from calvinbench.policies.backbones.weights.sources import BackboneSourceError

SHORT, LONG = "open the drawer", "take the blue block and rotate it to the right until it lies across"
BOTH = ("static", "gripper")


def noise(batch_size, size, seed):
    shape = (batch_size, size, size, 3)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def pictures_of(batch_size=1):
    return CameraImages(noise(batch_size, 200, 1), noise(batch_size, 84, 2))


def an_lrn(backbone):
    return 0.1 * torch.randn(backbone.width, generator=torch.Generator().manual_seed(5))


def tiny(**settings):
    return CNNBackbone.tiny(torch.Generator().manual_seed(0), BackboneSettings(**settings)).eval()


@pytest.fixture(scope="module")
def backbone():
    return tiny()


# --- images ---------------------------------------------------------------------------------------------------------


def test_each_camera_has_its_own_size(backbone):
    images = pictures_of()
    assert backbone.preprocess(images.static).shape == (1, 3, 100, 100)
    assert backbone.preprocess(images.of("gripper"), "gripper").shape == (1, 3, 84, 84)
    assert backbone.vision_tokens(images, BOTH).shape == (1, 2 * 36, 128)
    assert (backbone.image_size, backbone.num_image_tokens) == (100, 36)


@torch.inference_mode()
def test_images_that_were_resized_before_give_the_same_feature(backbone):
    images, lrn = pictures_of(), an_lrn(backbone)
    smaller = CameraImages(resize(images.static, 100, backbone.resample), images.gripper)
    assert torch.equal(backbone(smaller, [SHORT], lrn), backbone(images, [SHORT], lrn))


def test_levels_are_centred(backbone):
    levels = torch.tensor([0, 255], dtype=torch.uint8)[:, None, None, None]
    pixels = backbone.preprocess(levels.repeat(1, 100, 100, 3))
    assert (pixels.amin(), pixels.amax()) == (-2, 2)
    assert pixels.is_contiguous(memory_format=torch.channels_last)  # which the convolutions want


def test_hot_places_are_told_as_columns_and_rows():
    expected = ExpectedPlaces(width=2, num_maps=1)
    tokens = torch.zeros(1, 36, 2)
    tokens[0, 6 * 1 + 4, 0] = 1  # second row, fifth column
    with torch.no_grad():
        expected.heat.weight.zero_()[1, 0] = 100  # the upper right of its four subcells
    column, row = expected(tokens)[0].tolist()
    assert column == pytest.approx(9.5 / 12 * 2 - 1, abs=1e-5)
    assert row == pytest.approx(2.5 / 12 * 2 - 1, abs=1e-5)


# --- sequences --------------------------------------------------------------------------------------------------------


def test_the_sequence_is_begin_sentence_static_gripper_lrn(backbone):
    prompt = backbone.prompt(SHORT)
    num_text = 1 + len(backbone.text_ids(SHORT))
    assert prompt.ids[0] == backbone.bos_id
    assert prompt.kinds == (Kind.TEXT,) * num_text + (Kind.STATIC,) * 36 + (Kind.GRIPPER,) * 36 + (Kind.LRN,)


@torch.inference_mode()
def test_only_lrns_row_depends_on_lrn_and_every_row_on_the_sentence(backbone):
    vision = backbone.vision_tokens(pictures_of(), BOTH)
    cpu = torch.device("cpu")

    def hidden(sentence, lrn):
        return backbone.decode(collate([backbone.prompt(sentence)], backbone.pad_id, cpu), vision, lrn)[0]

    first, other = hidden(SHORT, an_lrn(backbone)), hidden(SHORT, -an_lrn(backbone))
    assert torch.equal(first[:-1], other[:-1])
    assert not torch.allclose(first[-1], other[-1], atol=0.01)
    closing = hidden("close the drawer", an_lrn(backbone))
    assert ((first[-73:] - closing[-73:]).abs().amax(1) > 1e-3).all()


@torch.inference_mode()
def test_equal_sentences_are_read_once(backbone):
    rows = []
    handle = backbone.text_encoder.register_forward_pre_hook(
        lambda _, __, given: rows.append(len(given["input_ids"])), with_kwargs=True
    )
    backbone(pictures_of(5), [SHORT, LONG, SHORT, SHORT, LONG], an_lrn(backbone))
    handle.remove()
    assert rows == [2]


def test_attention_of_one_token_is_multi_head_attention():
    torch.manual_seed(0)
    layer = ReadoutLayer(width=16, num_heads=4, intermediate_size=8)
    one, many = torch.randn(3, 16), torch.randn(3, 7, 16)
    attended = torch.arange(7) < torch.tensor([[7], [4], [1]])
    usual = nn.MultiheadAttention(16, 4, batch_first=True)
    with torch.no_grad():
        usual.in_proj_weight.copy_(torch.cat([layer.query.weight, layer.key.weight, layer.value.weight]))
        usual.in_proj_bias.copy_(torch.cat([layer.query.bias, torch.zeros(16), layer.value.bias]))
        usual.out_proj.load_state_dict(layer.out.state_dict())
        seen, _ = usual(layer.attention_norm(one)[:, None], many, many, key_padding_mask=~attended)
    after = one + seen[:, 0]
    torch.testing.assert_close(layer(one, many, attended), after + layer.feed_forward(after))


@torch.inference_mode()
def test_the_fused_feature_is_lrns_row(backbone):
    prompts = [backbone.prompt(SHORT), backbone.prompt(LONG)]
    vision, lrn = backbone.vision_tokens(pictures_of(2), BOTH), an_lrn(backbone)
    hidden = backbone.decode(collate(prompts, backbone.pad_id, torch.device("cpu")), vision, lrn)
    assert torch.equal(backbone.fuse(prompts, vision, lrn), hidden[:, -1])


def test_pooling_reads_every_token_but_padding():
    backbone = tiny(readout=MAX_POOLING)
    prompts = [backbone.prompt(SHORT), backbone.prompt(LONG)]
    vision, lrn = backbone.vision_tokens(pictures_of(2), BOTH), an_lrn(backbone)
    hidden = backbone.decode(collate(prompts, backbone.pad_id, torch.device("cpu")), vision, lrn)
    pooled = backbone.fuse(prompts, vision, lrn)
    assert torch.equal(pooled[0], hidden[0, -len(prompts[0]) :].amax(0))


# --- training ---------------------------------------------------------------------------------------------------------


def test_train_mode_is_eval_mode():
    backbone = tiny()
    lrn = an_lrn(backbone)
    clean = backbone(pictures_of(2), [SHORT, LONG], lrn)
    assert torch.equal(backbone.train()(pictures_of(2), [SHORT, LONG], lrn), clean)


def test_gradient_reaches_lrn_and_every_weight():
    backbone = tiny()
    lrn = an_lrn(backbone).requires_grad_()
    backbone(pictures_of(2), [SHORT, LONG], lrn).pow(3).sum().backward()
    assert lrn.grad.norm() > 0
    for name, weight in backbone.named_parameters():
        assert weight.grad is not None, name
        assert torch.isfinite(weight.grad).all(), name


def test_gradient_checkpointing_reaches_text_and_both_towers():
    backbone = tiny().train()
    backbone.enable_gradient_checkpointing()
    calls = []
    towers = [tower.layers[0] for tower in backbone.towers.values()]
    for module in (backbone.text_encoder.encoder.layer[0].intermediate, *towers):
        module.register_forward_pre_hook(lambda *_: calls.append(1))
    backbone(pictures_of(), [SHORT], an_lrn(backbone)).pow(3).sum().backward()
    assert len(calls) == 6  # each of the three once more, in the backward pass


def a_square(batch_size, generator):
    """A red square of 12 pixels on noise, and where its middle is."""
    static = torch.randint(80, 140, (batch_size, 100, 100, 3), dtype=torch.uint8, generator=generator)
    corners = torch.randint(0, 89, (batch_size, 2), generator=generator)
    for image, (column, row) in zip(static, corners.tolist(), strict=True):
        image[row : row + 12, column : column + 12] = torch.tensor([220, 40, 40], dtype=torch.uint8)
    return CameraImages(static), corners + 6.0


@pytest.fixture
def one_thread():
    """So small a network is quickest so, above all beside other processes."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(num_threads)


@pytest.mark.usefixtures("one_thread")
def test_it_learns_where_a_square_is():
    generator = torch.Generator().manual_seed(0)
    backbone = CNNBackbone.tiny(generator, BackboneSettings(cameras=("static",)))
    head, lrn = nn.Linear(backbone.width, 2), torch.zeros(backbone.width)
    nn.init.zeros_(head.bias)
    nn.init.normal_(head.weight, std=0.05, generator=generator)
    weights = [*backbone.parameters(), *head.parameters()]
    optimiser = torch.optim.Adam(weights, lr=2e-3)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.02, total_iters=120)

    def places(images):
        return 50 + 50 * head(backbone(images, ["push the red block"] * len(images.static), lrn))

    for _ in range(120):
        images, middles = a_square(32, generator)
        loss = functional.smooth_l1_loss(places(images) / 50, middles / 50, beta=0.1)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        images, middles = a_square(128, generator)
        assert (places(images) - middles).norm(dim=1).mean() < 5  # pixels; 1 to 2 here, and 34 by guessing


# --- sizes and refusals -----------------------------------------------------------------------------------------------


def test_parts_are_about_a_million_parameters(backbone):
    sizes = {name: sum(weight.numel() for weight in part.parameters()) for name, part in backbone.named_children()}
    assert sizes == {"text_encoder": 214_912, "towers": 189_568, "projections": 42_752, "readout": 882_240}


def test_one_camera_needs_no_parts_of_the_other():
    backbone = tiny(cameras=("static",))
    assert list(backbone.towers) == list(backbone.projections) == ["static"]
    assert len(backbone.readout.blocks) == 1


def test_the_tiny_configuration_is_the_full_one_in_other_numbers_and_is_kept(backbone):
    tiny_config, full_config = CNNBackbone.tiny_config(tiny_tokenizer()), CNNBackbone.full_config()
    assert tiny_config.keys() == full_config.keys()
    assert all(tiny_config[part].keys() == full_config[part].keys() for part in full_config)
    assert json.loads(json.dumps(backbone.config)) == tiny_config


def test_the_full_size_is_made_too():
    full = CNNBackbone.from_config(CNNBackbone.full_config(), tiny_tokenizer(), BackboneSettings())
    assert full(pictures_of(), [SHORT], an_lrn(full)).shape == (1, 256)


@pytest.mark.parametrize("broken", [{"static": {}}, {"text": {"hidden_size": "wide"}}, {"readout": None}])
def test_other_sizes_are_refused(broken):
    config = CNNBackbone.tiny_config(tiny_tokenizer()) | broken
    with pytest.raises(ValueError, match="expected the sizes of cnn"):
        CNNBackbone.from_config(config, tiny_tokenizer(), BackboneSettings())


def test_grids_that_differ_are_refused():
    config = CNNBackbone.tiny_config(tiny_tokenizer())
    config["gripper"]["image_size"] = 100
    with pytest.raises(ValueError, match=r"the same grid of tokens for both cameras, got sides .* 'gripper': 7"):
        CNNBackbone.from_config(config, tiny_tokenizer(), BackboneSettings())


def test_one_size_for_both_cameras_is_refused():
    with pytest.raises(ValueError, match=r"expected no image_size for cnn, got 64: each camera has its own size"):
        tiny(image_size=64)


@pytest.mark.parametrize("layout", [Layout.NATIVE, Layout.ROBOVLMS])
def test_no_other_layout_is_there_and_the_reason_is_told(layout):
    with pytest.raises(ValueError, match="not a pretrained VLM, so that it has no other order"):
        tiny(layout=layout).prompt(SHORT)


def test_a_sentence_longer_than_the_encoder_knows_is_refused(backbone):
    with pytest.raises(ValueError, match=r"at most 128 tokens .* got"):
        backbone.prompt("go " * 128)


def test_there_are_no_published_weights():
    with pytest.raises(
        BackboneSourceError, match="no source of weights for cnn, got 'wheels': there are no published weights"
    ):
        CNNBackbone.pretrained("wheels", BackboneSettings(), torch.float32)


def feature(backbone, sentences, remembered):
    """One frame's feature for each sentence: as a policy computes it, or with gradients, where nothing is cached."""
    with torch.inference_mode() if remembered else torch.enable_grad():
        return backbone(pictures_of(len(sentences)), sentences, an_lrn(backbone)).detach().clone()


@pytest.mark.parametrize("expected", [(), (SHORT, LONG)])
def test_cached_text_gives_the_same_bits_for_every_batch_of_sentences(expected):
    backbone = tiny()
    backbone.expect(expected)
    batches = [[SHORT], [LONG], [SHORT, LONG], [LONG, SHORT], [LONG, LONG]]
    for sentences in batches + batches:
        torch.testing.assert_close(
            feature(backbone, sentences, True), feature(backbone, sentences, False), rtol=0, atol=0
        )


def test_an_equal_sentence_is_encoded_once_until_the_weights_change():
    backbone, calls = tiny(), []
    backbone.text_encoder.register_forward_hook(lambda *_: calls.append(1))
    first = feature(backbone, [SHORT], True)
    feature(backbone, [SHORT], True)
    assert len(calls) == 1
    with torch.no_grad():
        backbone.parts.text_embedding.weight.mul_(-1)
    changed = feature(backbone, [SHORT], True)
    assert len(calls) == 2
    assert (changed - first).abs().max() > 1e-3
    torch.testing.assert_close(changed, feature(backbone, [SHORT], False), rtol=0, atol=0)
    backbone.cast(torch.bfloat16)
    assert feature(backbone, [SHORT], True).dtype == torch.bfloat16


def test_a_backbone_trains_after_it_was_used_in_inference():
    backbone = tiny()
    feature(backbone, [SHORT], True)
    backbone.train()
    backbone(pictures_of(), [SHORT], an_lrn(backbone))[0, 0].backward()
    assert backbone.parts.text_embedding.weight.grad.abs().sum() > 0
