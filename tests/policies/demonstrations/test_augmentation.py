"""Shifts by hand, resizing by the backbones' own code."""

from collections import Counter

import numpy as np
import pytest
import torch

from calvinbench.policies.backbones.images.pil_resize import FILTERS, resize_with_pil
from calvinbench.policies.backbones.images.resize import FILTERS as BACKBONE_FILTERS
from calvinbench.policies.backbones.images.resize import resize_in_torch
from calvinbench.policies.demonstrations.augmentation import draw_shifts, shift_images

ROWS = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]], np.uint8)
PICTURE = ROWS[None, :, :, None].repeat(3, axis=3)


@pytest.mark.parametrize(
    ("down", "right", "expected"),
    [
        (0, 0, [[1, 2, 3], [4, 5, 6], [7, 8, 9]]),
        (1, 0, [[1, 2, 3], [1, 2, 3], [4, 5, 6]]),
        (-1, 0, [[4, 5, 6], [7, 8, 9], [7, 8, 9]]),
        (0, 1, [[1, 1, 2], [4, 4, 5], [7, 7, 8]]),
        (-1, -1, [[5, 6, 6], [8, 9, 9], [8, 9, 9]]),
        (2, 2, [[1, 1, 1], [1, 1, 1], [1, 1, 1]]),
    ],
)
def test_pictures_move_and_their_edges_are_repeated(down, right, expected):
    moved = shift_images(PICTURE, np.array([[down, right]]))
    assert moved.dtype == np.uint8
    for colour in range(3):
        assert moved[0, :, :, colour].tolist() == expected


def test_each_picture_moves_by_its_own_shift_and_the_original_stays():
    pictures = PICTURE.repeat(2, axis=0)
    before = pictures.copy()
    moved = shift_images(pictures, np.array([[0, 0], [1, 0]]))
    assert np.array_equal(moved[0], pictures[0])
    assert moved[1, :, :, 0].tolist() == [[1, 2, 3], [1, 2, 3], [4, 5, 6]]
    assert np.array_equal(pictures, before)


def test_all_frames_of_a_window_move_alike_when_asked():
    generator = np.random.default_rng(0)
    seen = {tuple(map(tuple, draw_shifts(generator, 5, 4, same_in_window=True))) for _ in range(50)}
    assert all(len(set(shifts)) == 1 and len(shifts) == 5 for shifts in seen)
    assert len(seen) > 30
    assert any(len(np.unique(draw_shifts(generator, 5, 4, same_in_window=False), axis=0)) > 1 for _ in range(3))


@pytest.mark.parametrize("same_in_window", [True, False])
def test_shifts_are_uniform_up_to_the_largest_in_both_directions(same_in_window):
    generator = np.random.default_rng(0)
    drawn = np.concatenate([draw_shifts(generator, 1, 2, same_in_window=same_in_window) for _ in range(5000)])
    for axis in (0, 1):
        counts = Counter(drawn[:, axis].tolist())
        assert sorted(counts) == [-2, -1, 0, 1, 2]
        assert all(count == pytest.approx(1000, rel=0.15) for count in counts.values())
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 0.06


def test_no_shift_leaves_pictures_alone():
    assert draw_shifts(np.random.default_rng(0), 3, 0, same_in_window=False).tolist() == [[0, 0]] * 3


@pytest.mark.parametrize("filter_name", sorted(BACKBONE_FILTERS))
@pytest.mark.parametrize(("old", "new"), [(200, 100), (84, 64), (20, 50), (84, 84), (31, 7)])
def test_resized_pictures_are_those_of_the_backbones(filter_name, old, new):
    pictures = np.random.default_rng(old).integers(0, 256, (2, old, old, 3), dtype=np.uint8)
    pictures[1, : old // 2] = 255  # an edge, at which bicubic and lanczos overshoot
    resized = resize_with_pil(pictures, new, filter_name)
    assert resized.shape == (2, new, new, 3)
    assert np.array_equal(resized, resize_in_torch(torch.from_numpy(pictures), new, filter_name).numpy())


def test_there_are_as_many_filters_as_backbones_know():
    assert set(FILTERS) == set(BACKBONE_FILTERS)


def test_halving_by_hand():
    """Bilinear halves by weights 1, 3, 3, 1 of 8 in each direction; in the middle of a ramp that is the mean."""
    ramp = np.tile(np.arange(0, 80, 10, dtype=np.uint8)[None, None, :, None], (1, 8, 1, 3))
    assert resize_with_pil(ramp, 4, "bilinear")[0, 0, 1:3, 0].tolist() == [25, 45]
