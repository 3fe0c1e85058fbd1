"""Textures: their smaller copies, and what is said of damaged files."""

import io
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from calvinbench.envs.rendering.shapes.textures import mip_maps, pack_textures, read_texture


def picture(width: int, height: int) -> np.ndarray:
    return np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)


def kept(folder: Path, pixels: np.ndarray, name: str = "wood.png") -> Path:
    Image.fromarray(pixels).save(folder / name)
    return folder / name


def test_rows_run_from_the_bottom_to_the_top(tmp_path: Path):
    pixels = picture(5, 3)
    np.testing.assert_array_equal(read_texture(kept(tmp_path, pixels)), pixels[::-1])


def test_pictures_of_other_kinds_become_red_green_and_blue(tmp_path: Path):
    grey = Image.fromarray(np.full((2, 2), 77, np.uint8))
    grey.save(tmp_path / "grey.png")
    assert (read_texture(tmp_path / "grey.png") == 77).all()
    Image.fromarray(np.full((2, 2, 4), (1, 2, 3, 0), np.uint8)).save(tmp_path / "clear.png")
    assert (read_texture(tmp_path / "clear.png") == (1, 2, 3)).all()


@pytest.mark.parametrize(
    ("width", "height", "sizes"),
    [
        (8, 8, [(8, 8), (4, 4), (2, 2), (1, 1)]),
        (8, 2, [(2, 8), (1, 4), (1, 2), (1, 1)]),
        (5, 3, [(3, 5), (1, 2), (1, 1)]),
        (1, 1, [(1, 1)]),
    ],
)
def test_each_copy_has_half_the_size_rounded_down(width, height, sizes):
    assert [level.shape[:2] for level in mip_maps(picture(width, height))] == sizes


def test_a_copy_of_an_even_size_is_the_mean_of_four():
    levels = mip_maps(picture(16, 8))
    for larger, smaller in pairwise(levels[:4]):
        means = larger.astype(float).reshape(smaller.shape[0], 2, smaller.shape[1], 2, 3).mean(axis=(1, 3))
        np.testing.assert_allclose(smaller, means, atol=0.5)


def test_a_copy_of_an_odd_size_keeps_a_slope():
    slope = np.repeat(np.arange(0, 250, 10, dtype=np.uint8)[None, :, None], 3, axis=2)
    smaller = mip_maps(slope)[1]
    # 25 pixels become 12: the middle of each stands 25/12 pixels after the one before.
    np.testing.assert_allclose(smaller[0, :, 0], ((np.arange(12) + 0.5) * 25 / 12 - 0.5) * 10, atol=0.5)


def test_texels_of_all_levels_are_found_where_the_table_says(tmp_path: Path):
    wood, steel = kept(tmp_path, picture(4, 2)), kept(tmp_path, picture(3, 3), "steel.png")
    textures = pack_textures([None, wood, steel, wood])
    assert textures.levels[0, 0] == 0
    np.testing.assert_array_equal(textures.levels[1], textures.levels[3])
    for shape, file in ((1, wood), (2, steel)):
        maps = mip_maps(read_texture(file))
        assert textures.levels[shape, 0] == len(maps)
        for number, level in enumerate(maps):
            offset, width, height = textures.levels[shape, 1 + 3 * number : 4 + 3 * number]
            packed = textures.texels[offset : offset + width * height]
            unpacked = np.stack([packed >> np.uint64(shift) & np.uint64(255) for shift in (0, 21, 42)], axis=-1)
            np.testing.assert_array_equal(unpacked.reshape(height, width, 3), level)


def test_a_texture_cut_or_scrambled_anywhere_is_named_with_a_remedy_or_read(tmp_path: Path):
    stream = io.BytesIO()
    Image.fromarray(picture(12, 12)).save(stream, "png")
    whole, generator = stream.getvalue(), np.random.default_rng(0)
    damaged = [whole[:length] for length in range(0, len(whole), 7)]
    for place in range(0, len(whole), 3):
        damaged.append(whole[:place] + bytes([whole[place] ^ int(generator.integers(1, 256))]) + whole[place + 1 :])
    file, refusals = tmp_path / "wood.png", []
    for content in damaged:
        file.write_bytes(content)
        try:
            read_texture(file)
        except ValueError as error:
            refusals.append(str(error))
    assert len(refusals) > len(damaged) / 2
    assert all(str(file) in refusal and "Get it again" in refusal for refusal in refusals)


def test_a_missing_texture_and_a_pointer_to_one_are_named(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"gone.png.*Get the assets again"):
        read_texture(tmp_path / "gone.png")
    (tmp_path / "wood.png").write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(ValueError, match=r"wood.png.*git lfs pull"):
        read_texture(tmp_path / "wood.png")


def test_a_texture_of_more_pixels_than_opengl_takes_is_refused(tmp_path: Path):
    file = kept(tmp_path, np.zeros((1, 8192, 3), np.uint8))
    with pytest.raises(ValueError, match=r"at most 4096 pixels.*wood.png"):
        pack_textures([file])
