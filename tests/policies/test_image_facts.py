"""What a checkpoint keeps of the images it was trained on, and which differences are worth a word."""

import numpy as np
import pytest

from calvinbench.policies.demonstrations.opening import TRAINING, open_data
from calvinbench.policies.image_facts import ImageFacts, facts_of_data, facts_of_images, unlike_images, written
from support.small_training import GRIPPER, STATIC, write_data


def facts(width, height, low=0, high=255, input_size=None):
    return [ImageFacts("static", height, width, low, high, input_size)]


def test_the_facts_of_data_are_those_of_its_frames(tmp_path):
    data = open_data(write_data(tmp_path / "data"), TRAINING)
    found = facts_of_data(data, data.annotations, {"static": 48, "gripper": 24}, ["static", "gripper"])
    assert found == (
        ImageFacts("static", STATIC, STATIC, 0, 255, 48),
        ImageFacts("gripper", GRIPPER, GRIPPER, 0, 255, 24),
    )
    assert [one.camera for one in facts_of_data(data, data.annotations, {}, ["gripper"])] == ["gripper"]


def test_the_facts_of_images_are_their_size_and_range():
    image = np.full((60, 80, 3), 7, np.uint8)
    image[0, 0, 0] = 200
    found = facts_of_images({"rgb_static": image, "gripper": image[:40, :40], "depth_static": image[..., 0]})
    assert found == (ImageFacts("static", 60, 80, 7, 200), ImageFacts("gripper", 40, 40, 7, 200))
    assert found == facts_of_images({"rgb_static": image[None], "gripper": image[None, None, :40, :40]})


def test_facts_are_written_and_read_as_they_are():
    found = (ImageFacts("gripper", 84, 84, 3, 250), ImageFacts("static", 60, 80, 0, 1, 224))
    assert ImageFacts.read(written(found)) == found


@pytest.mark.parametrize("said", [None, [], "x", {"static": 3}, {"static": {"height": 1.5}}, {"static": {}}])
def test_a_checkpoint_without_facts_says_nothing(said):
    assert ImageFacts.read(said) == ()


@pytest.mark.parametrize(
    ("trained", "here"),
    [
        (facts(200, 200), facts(200, 200)),
        (facts(400, 400, input_size=224), facts(200, 200)),  # hardly less than the backbone takes
        (facts(64, 64, input_size=64), facts(200, 200)),  # both are resized to the same
        (facts(80, 60), facts(160, 120)[:0]),  # a camera that is not known here
        (facts(200, 201), facts(200, 200)),
        (facts(200, 200, 3, 180), facts(200, 200, 0, 255)),
        (facts(200, 200), facts(160, 160)),
    ],
)
def test_what_makes_no_difference_is_not_said(trained, here):
    assert unlike_images(trained, here) == ()


@pytest.mark.parametrize(
    ("trained", "here", "words"),
    [
        (
            facts(80, 60),
            facts(200, 200),
            "static images of 80 x 60 pixels in training, 200 x 200 here, which are squeezed otherwise",
        ),
        (
            facts(64, 64, input_size=224),
            facts(200, 200),
            "static images of 64 x 64 pixels in training, 200 x 200 here, which show more detail "
            "(the backbone takes 224 x 224)",
        ),
        (
            facts(200, 200),
            facts(64, 64),
            "static images of 200 x 200 pixels in training, 64 x 64 here, which show less detail",
        ),
        (
            facts(200, 200, 0, 1),
            facts(200, 200, 12, 251),
            "values of static images from 0 to 1 in training, from 12 to 251 here",
        ),
    ],
)
def test_what_makes_a_difference_is_said(trained, here, words):
    assert unlike_images(trained, here) == (words,)
