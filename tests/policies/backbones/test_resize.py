"""Images are resized to the last bit as PIL does it."""

import numpy as np
import pytest
import torch
from PIL import Image

from calvinbench.policies.backbones.images.resize import FILTERS, resize, resize_in_torch


def images(height, width):
    return np.random.default_rng(height).integers(0, 256, (2, height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("filter_name", list(FILTERS))
@pytest.mark.parametrize("size", [56, 112, 224, 378])
@pytest.mark.parametrize("shape", [(200, 200), (84, 84), (97, 131)])
def test_it_is_what_pil_makes_of_an_image(shape, size, filter_name):
    given = images(*shape)
    resample = getattr(Image.Resampling, filter_name.upper())
    expected = np.stack([np.asarray(Image.fromarray(one).resize((size, size), resample)) for one in given])
    for way in (resize, resize_in_torch):
        np.testing.assert_array_equal(way(torch.tensor(given), size, filter_name).numpy(), expected)


def test_hard_edges_overshoot_and_are_cut_at_black_and_white():
    edge = np.zeros((1, 16, 16, 3), dtype=np.uint8)
    edge[:, :, 8:] = 255
    expected = np.asarray(Image.fromarray(edge[0]).resize((40, 40), Image.Resampling.BICUBIC))
    assert (expected == 0).any()
    assert (expected == 255).any()
    np.testing.assert_array_equal(resize_in_torch(torch.tensor(edge), 40)[0].numpy(), expected)


def test_an_image_of_the_right_size_stays_as_it_is():
    given = torch.tensor(images(84, 84))
    assert torch.equal(resize(given, 84), given)
