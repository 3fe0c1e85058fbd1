"""Images at the backbone's door: uint8, channels last, of the same worlds, or refused in words."""

import pytest
import torch

from calvinbench.policies.backbones.images.preprocessing import CameraImages


def noise(*shape):
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_leading_axes_are_kept_and_made_one():
    images = CameraImages(noise(2, 3, 20, 20, 3), noise(2, 3, 8, 8, 3))
    assert images.batch_shape == (2, 3)
    flat = images.flattened()
    assert flat.static.shape == (6, 20, 20, 3)
    assert torch.equal(flat.of("gripper")[4], images.gripper[1, 1])


def test_the_gripper_camera_may_be_left_out_but_not_asked_for():
    images = CameraImages(noise(1, 20, 20, 3))
    assert images.flattened().gripper is None
    with pytest.raises(ValueError, match=r"got none of 'gripper'. Render it, or make the policy with cameras=static"):
        images.of("gripper")


def test_images_that_are_not_uint8_are_refused():
    with pytest.raises(TypeError, match=r"expected uint8 images \(0\.\.255\) of camera 'static', got torch.float32"):
        CameraImages(torch.rand(1, 200, 200, 3), noise(1, 84, 84, 3))


@pytest.mark.parametrize("shape", [(1, 3, 84, 84), (84, 84, 3), (1, 84, 84, 4), (1, 0, 84, 3)])
def test_images_of_a_wrong_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"\(batch, height, width, 3\) of camera 'gripper'"):
        CameraImages(noise(1, 200, 200, 3), noise(*shape))


def test_cameras_of_different_worlds_are_refused():
    with pytest.raises(ValueError, match=r"got leading axes \(2,\) \(static\) and \(1,\) \(gripper\)"):
        CameraImages(noise(2, 200, 200, 3), noise(1, 84, 84, 3))
