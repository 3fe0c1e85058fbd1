"""Pictures at the backbone's door: uint8, channels last, of the same worlds, or refused in words."""

import pytest
import torch

from calvinbench.policies.backbones.images.preprocessing import Pictures


def noise(*shape):
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_leading_axes_are_kept_and_made_one():
    pictures = Pictures(noise(2, 3, 20, 20, 3), noise(2, 3, 8, 8, 3))
    assert pictures.batch_shape == (2, 3)
    flat = pictures.flattened()
    assert flat.static.shape == (6, 20, 20, 3)
    assert torch.equal(flat.of("gripper")[4], pictures.gripper[1, 1])


def test_the_gripper_camera_may_be_left_out_but_not_asked_for():
    pictures = Pictures(noise(1, 20, 20, 3))
    assert pictures.flattened().gripper is None
    with pytest.raises(ValueError, match=r"got none of 'gripper'. Render it, or make the policy with cameras=static"):
        pictures.of("gripper")


def test_pictures_that_are_not_uint8_are_refused():
    with pytest.raises(TypeError, match=r"expected uint8 pictures \(0\.\.255\) of camera 'static', got torch.float32"):
        Pictures(torch.rand(1, 200, 200, 3), noise(1, 84, 84, 3))


@pytest.mark.parametrize("shape", [(1, 3, 84, 84), (84, 84, 3), (1, 84, 84, 4), (1, 0, 84, 3)])
def test_pictures_of_a_wrong_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"\(batch, height, width, 3\) of camera 'gripper'"):
        Pictures(noise(1, 200, 200, 3), noise(*shape))


def test_cameras_of_different_worlds_are_refused():
    with pytest.raises(ValueError, match=r"got leading axes \(2,\) \(static\) and \(1,\) \(gripper\)"):
        Pictures(noise(2, 200, 200, 3), noise(1, 84, 84, 3))
