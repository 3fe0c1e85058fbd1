"""CALVIN's scenes as read from a checkout: what they are made of, and what is said of a checkout that will not do."""

from pathlib import Path

import numpy as np
import pytest

from calvinbench.envs.scenes.calvin_checkout import CheckoutError
from calvinbench.envs.scenes.calvin_scene import ASSET_DIGESTS
from calvinbench.envs.scenes.loading import load_scene
from calvinbench.envs.scenes.scene import CALVIN_SCENES
from support.checkouts import linked_calvin_env, replace_file

pytestmark = pytest.mark.recorded


@pytest.fixture
def checkout(recordings: Path, tmp_path: Path) -> Path:
    """A checkout whose files may be replaced."""
    return linked_calvin_env(recordings / "calvin_env", tmp_path / "calvin_env")


@pytest.mark.parametrize(
    ("name", "order", "slider_m"),
    [
        ("A", ["block_pink", "block_blue", "block_red"], 0.28),
        ("B", ["block_red", "block_blue", "block_pink"], 0.304),
        ("C", ["block_blue", "block_red", "block_pink"], 0.24),
        ("D", ["block_red", "block_blue", "block_pink"], 0.28),
    ],
)
def test_a_scene_is_what_its_configuration_says(recordings: Path, name: str, order: list[str], slider_m: float):
    scene = load_scene(name, recordings / "calvin_env")
    assert list(scene.block_urdfs) == order
    assert scene.global_scaling == 0.8
    assert scene.table_urdf.name == f"calvin_table_{name}.urdf"
    assert scene.joint_range("base__slide") == pytest.approx((0.0, slider_m))
    assert scene.joint_range("base__drawer") == pytest.approx((0.0, 0.22))
    assert scene.joint_range("base__switch") == pytest.approx((0.0, 0.088))


@pytest.mark.parametrize(
    ("name", "small", "middle", "big"),
    [
        ("A", "pink", "red", "blue"),
        ("B", "red", "pink", "blue"),
        ("C", "blue", "pink", "red"),
        ("D", "blue", "red", "pink"),
    ],
)
def test_which_block_is_big_differs_by_scene(recordings: Path, name: str, small: str, middle: str, big: str):
    sizes = load_scene(name, recordings / "calvin_env").block_sizes()
    for colour, length_m in ((small, 0.04), (middle, 0.056), (big, 0.08)):
        np.testing.assert_allclose(sizes[f"block_{colour}"], (length_m, 0.04, 0.04))


@pytest.mark.parametrize("name", CALVIN_SCENES)
def test_the_digest_is_the_known_one_wherever_the_checkout_lies(recordings: Path, checkout: Path, name: str):
    assert load_scene(name, recordings / "calvin_env").digest() == ASSET_DIGESTS[name]
    assert load_scene(name, checkout).digest() == ASSET_DIGESTS[name]


@pytest.mark.parametrize(
    "name",
    [
        "calvin_table_D/textures/dark_wood.png",
        "calvin_table_D/meshes/base_link.mtl",
        "calvin_table_D/meshes/button_link.STL",
        "plane/plane.obj",
        "plane/checker_blue.png",
        "franka_panda/meshes/visual/colors.png",
        "franka_panda/panda_longer_finger.urdf",
        "blocks/block_pink_big.urdf",
    ],
)
def test_the_digest_changes_with_every_file_that_is_loaded(checkout: Path, name: str):
    content = (checkout / "data" / name).read_bytes()
    changed = content.replace(b"1", b"2", 1) if b"\0" not in content else content[:200] + b"!" + content[201:]
    replace_file(checkout / "data" / name, changed)
    assert load_scene("D", checkout).digest() != ASSET_DIGESTS["D"]


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        (name, damage)
        for name in (
            "conf/scene/calvin_scene_D.yaml",
            "conf/robot/panda_longer_finger.yaml",
            "data/calvin_table_D/urdf/calvin_table_D.urdf",
            "data/calvin_table_D/meshes/light_link.STL",
            "data/calvin_table_D/textures/dark_wood__gray_handle.png",
            "data/franka_panda/meshes/visual/link6.obj",
            "data/plane/plane.mtl",
        )
        for damage in ("missing", "empty", "pointer", "cut")
        # Text without an end of its own may be cut off and still be whole.
        if not (damage == "cut" and name.endswith((".mtl", ".yaml")))
    ],
)
def test_a_missing_or_damaged_file_is_named(checkout: Path, name: str, damage: str):
    file = checkout / name
    content = file.read_bytes()
    file.unlink()
    if damage != "missing":
        pointer = b"version https://git-lfs.github.com/spec/v1\n"
        file.write_bytes({"empty": b"", "pointer": pointer, "cut": content[: len(content) // 2 - 1]}[damage])
    with pytest.raises(CheckoutError) as told:
        load_scene("D", checkout)
    assert file.name in str(told.value)
    assert "install-calvin" in str(told.value)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b"[-0.34, -0.46, 0.24]", b"[0, 0, 0]", r"robot_base_position to be \(-0.34, -0.46, 0.24\)"),
        (b"block_pink:", b"block_green:", r"objects.movable_objects to be"),
        (b"global_scaling: 0.8", b"", r"KeyError: 'global_scaling'"),
        (b"surfaces:", b"surfaces: [", r"expected YAML"),
    ],
)
def test_a_configuration_that_our_world_does_not_do_is_refused(checkout: Path, old: bytes, new: bytes, words: str):
    file = checkout / "conf" / "scene" / "calvin_scene_D.yaml"
    replace_file(file, file.read_bytes().replace(old, new))
    with pytest.raises(CheckoutError, match=words) as told:
        load_scene("D", checkout)
    assert "calvin_scene_D.yaml" in str(told.value)


def test_blocks_are_loaded_where_calvin_env_draws_them(recordings: Path):
    poses = load_scene("D", recordings / "calvin_env").load_poses
    # As the first two draws of calvin_env with its seed 0 fall.
    np.testing.assert_allclose(poses["block_red"].position, (-0.0014384, 0.0528681, 0.46), atol=1e-6)
    np.testing.assert_allclose(poses["block_blue"].euler, (0, 0, 2.2456374), atol=1e-6)
