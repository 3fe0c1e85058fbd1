"""Colours that a person can reckon: light, highlights and textures, from the formulas of Bullet's shader."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from calvinbench.envs.rendering.shading import BACKGROUND
from support.small_worlds import Thing, mesh_of, renderer_of, square, view_from

TO_LIGHT = np.array([-5.0, -40.0, 200.0]) / np.linalg.norm([-5.0, -40.0, 200.0])
_COLOUR = (0.8, 0.5, 0.2)


def seen(thing: Thing, eye=(0.0, 0.0, 2.0), at=(0.0, 0.0, 0.0), **lens) -> np.ndarray:
    return renderer_of([thing]).render(view_from(eye, at, **lens), fixed=False).rgb


def test_where_nothing_is_the_background_is_seen():
    rgb = seen(Thing(square(0.2)))
    assert (rgb[0, 0] == BACKGROUND).all()
    assert BACKGROUND == (179, 179, 204)


@pytest.mark.parametrize(
    "normal", [(0, 0, 1), (0, -0.6, 0.8), (-0.6, 0, 0.8), (0.7, 0, 0.2), (0, 0.5, 0.5), (0, 0, 5)], ids=str
)
def test_a_lit_surface_is_half_ambient_and_half_by_its_angle_to_the_light(normal):
    # The square's own normal lets shadows be; the one that is given shades it.
    rgb = seen(Thing(square(3.0, normal=normal), _COLOUR))
    facing = np.array(normal) @ TO_LIGHT / np.linalg.norm(normal)
    intensity = 0.5 + 0.5 * facing
    expected = 255 * np.array(_COLOUR) * (0.5 + 0.5 * intensity)
    assert facing >= 0
    np.testing.assert_allclose(np.median(rgb.reshape(-1, 3), axis=0), expected, atol=1.5)


@pytest.mark.parametrize("normal", [(0, 0, -1), (0, 0.6, -0.8), (0.5, 0.5, -0.1)], ids=str)
def test_a_surface_turned_from_the_light_counts_as_in_shadow(normal):
    rgb = seen(Thing(square(3.0, normal=normal), _COLOUR))
    intensity = 0.7 * (0.5 + 0.5 * np.array(normal) @ TO_LIGHT / np.linalg.norm(normal))
    np.testing.assert_allclose(rgb[32, 32], 255 * np.array(_COLOUR) * (0.5 + 0.5 * intensity), atol=1)
    assert np.ptp(rgb.reshape(-1, 3), axis=0).max() == 0


def test_a_highlight_is_where_the_light_is_mirrored_to_bullet_s_first_camera():
    # Bullet's plugin takes the camera of its `resetCamera`: 1.5 m from the origin, yaw -80, pitch -10 degrees.
    yaw, pitch = np.radians(-80), np.radians(-10)
    eye = 1.5 * np.array([np.cos(pitch) * np.sin(yaw), -np.cos(pitch) * np.cos(yaw), -np.sin(pitch)])
    halfway = TO_LIGHT + eye / np.linalg.norm(eye)
    for tilt, is_bright in ((0.0, True), (0.35, False)):
        normal = halfway / np.linalg.norm(halfway) + np.array([tilt, tilt, 0.0])
        normal /= np.linalg.norm(normal)
        rgb = seen(Thing(square(0.05, normal=normal), (0.2, 0.2, 0.2)), eye=(0, 0, 0.3), fov_degrees=10)
        mirrored = 2 * (TO_LIGHT @ normal) * normal - TO_LIGHT
        power = max(0.0, mirrored @ eye / np.linalg.norm(eye)) ** 41
        factor = 0.5 + 0.5 * (0.5 + 0.5 * normal @ TO_LIGHT) + 0.5 * power
        np.testing.assert_allclose(rgb[32, 32], 255 * 0.2 * factor, atol=1.5)
        assert (power > 0.9) == is_bright


def test_normals_are_mixed_between_corners_and_made_one_long():
    normals = np.array([(0, 0, 1), (0, -0.6, 0.8), (0, -0.6, 0.8)], dtype=float) * [[2.0], [1.0], [1.0]]
    triangle = [(-1, -1, 0), (1, -1, 0), (0, 2, 0)]
    rgb = seen(Thing(mesh_of([triangle], normals[None]), _COLOUR))
    # The picture's centre is the triangle's: a third of each corner's normal.
    mixed = normals.mean(axis=0)
    intensity = 0.5 + 0.5 * mixed @ TO_LIGHT / np.linalg.norm(mixed)
    np.testing.assert_allclose(rgb[32, 32], 255 * np.array(_COLOUR) * (0.5 + 0.5 * intensity), atol=2)


def textured(tmp_path: Path, texels: np.ndarray, **shape) -> Thing:
    Image.fromarray(texels).save(tmp_path / "texels.png")
    # Turned from the light: half of the texel's colour and no highlight.
    return Thing(square(1.0, normal=tuple(-TO_LIGHT), texture=tmp_path / "texels.png", **shape))


def test_a_textured_square_shows_its_texels_the_right_way_up(tmp_path: Path):
    texels = np.array([[(250, 0, 0), (0, 250, 0)], [(0, 0, 250), (250, 250, 0)]], dtype=np.uint8)
    rgb = seen(textured(tmp_path, texels), eye=(0, 0, 1), fov_degrees=90, size=128)
    # Seen from above with y upwards, the picture stands as it does in its file; centres of its texels are pure.
    for row in (0, 1):
        for column in (0, 1):
            np.testing.assert_allclose(rgb[32 + 64 * row, 32 + 64 * column], texels[row, column] / 2, atol=3)


def test_between_texels_colours_are_mixed_and_a_texture_repeats(tmp_path: Path):
    texels = np.array([[(0, 0, 0), (240, 120, 60)]], dtype=np.uint8)
    rgb = seen(textured(tmp_path, texels), eye=(0, 0, 1), fov_degrees=90, size=128)
    middle = texels[0].astype(float).mean(axis=0) / 2
    for column in (0, 64, 127):  # the border of the picture lies between its last and its first texel
        np.testing.assert_allclose(rgb[64, column], middle, atol=2)
    np.testing.assert_allclose(rgb[64, 48], texels[0, 1] / 2 * 0.25, atol=2)
    far = textured(tmp_path, texels, coordinates=[(3, -2), (4, -2), (4, -1), (3, -1)])
    np.testing.assert_allclose(seen(far, eye=(0, 0, 1), fov_degrees=90, size=128).astype(int), rgb, atol=1)


def test_from_afar_a_texture_shows_its_mean(tmp_path: Path):
    board = np.zeros((256, 256, 3), np.uint8)
    board[(np.add.outer(np.arange(256), np.arange(256)) % 2) == 0] = (200, 100, 40)
    near = seen(textured(tmp_path, board), eye=(0, 0, 0.05), fov_degrees=60, size=64)
    assert np.ptp(near[:, :, 0]) > 90
    far = seen(textured(tmp_path, board), eye=(0, 0, 1), fov_degrees=90, size=64)
    np.testing.assert_allclose(far.reshape(-1, 3), np.broadcast_to([50, 25, 10], (64 * 64, 3)), atol=2)


@pytest.mark.parametrize(("stripe_texels", "is_grey"), [(2, False), (1, True)])
def test_where_a_pixel_spans_two_texels_the_copy_of_half_the_size_is_shown(tmp_path: Path, stripe_texels, is_grey):
    # 128 texels over 2 m, which 64 pixels show: each pixel is a texel of the second level.
    stripes = np.zeros((128, 128, 3), np.uint8)
    stripes[:, np.arange(128) // stripe_texels % 2 == 1] = 200
    rgb = seen(textured(tmp_path, stripes), eye=(0, 0, 1), fov_degrees=90, size=64)
    expected = np.full(64, 50) if is_grey else np.arange(64) % 2 * 100
    np.testing.assert_allclose(rgb[32, :, 0], expected, atol=2)


def test_a_shape_s_colour_multiplies_its_texture(tmp_path: Path):
    texels = np.full((4, 4, 3), (200, 100, 40), np.uint8)
    thing = textured(tmp_path, texels)
    rgb = seen(Thing(thing.mesh, (0.5, 1.0, 0.25)), eye=(0, 0, 1), fov_degrees=90)
    np.testing.assert_allclose(rgb[32, 32], [50, 50, 5], atol=1)
