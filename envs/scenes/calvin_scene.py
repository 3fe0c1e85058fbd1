"""CALVIN's scenes A to D, read from the configuration files of a checkout of calvin_env (mees/calvin_env, 797142c)."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import yaml

from calvinbench.envs.scenes.calvin_checkout import INSTALL, CalvinEnv, CheckoutError
from calvinbench.envs.scenes.panda import BASE_POSITION, INITIAL_JOINTS
from calvinbench.envs.scenes.scene import Pose, Scene, Surface
from calvinbench.envs.scenes.scene_files import material_files, mesh_names, require_whole
from calvinbench.envs.world_info import BLOCKS

_ROBOT = "panda_longer_finger"
"""The arm of CALVIN's evaluation and data; `panda.yaml` alone puts the tool point 4 cm off."""
_UPSTREAM_SEED = 0
"""The random seed of calvin_env (`conf/env/play_table_env.yaml`)."""
_SURFACES = ("table", "slider_left", "slider_right")
ASSET_DIGESTS: Mapping[str, str] = MappingProxyType(
    {
        "A": "94c930c9b26ba3feb65aa6e8af3a33292f77e741c20b0da2763787a692f28964",
        "B": "2e25e53aec3f21f8ae0e48842f2883e2fbb50145f40af68949e8f0801f3fa9c3",
        "C": "1ffd3ace282115ddc64a5410e4f16bbf92bf60ae5fa4b4ced1932481262a027f",
        "D": "9429b3d06289d207e24816849de3de7e29352510a766721a9358163bc5853dc4",
    }
)
"""`Scene.digest` of each scene of calvin_env, at 797142c and at 1431a46."""


def load_calvin_scene(name: str, checkout: CalvinEnv) -> Scene:
    """One of CALVIN's scenes. Each of its files is checked.

    Args:
        name: One of `scene.CALVIN_SCENES`.
        checkout: The checkout with its files.

    Raises:
        CheckoutError: A file is missing or damaged, or a configuration asks for something that our world cannot do.
    """
    file = checkout.root / "conf" / "scene" / f"calvin_scene_{name}.yaml"
    config = _read(file)
    try:
        fixed, movable = config["objects"]["fixed_objects"]["table"], config["objects"]["movable_objects"]
        surfaces = {
            surface: Surface(*(tuple(corner) for corner in config["surfaces"][surface])) for surface in _SURFACES
        }
        scene = Scene(
            name=name,
            robot_urdf=_robot_urdf(checkout),
            table_urdf=checkout.data / fixed["file"],
            block_urdfs={block: checkout.data / body["file"] for block, body in movable.items()},
            global_scaling=float(config["global_scaling"]),
            surfaces=surfaces,
            floor_urdf=checkout.data / "plane" / "plane.urdf",
            load_poses=_load_poses(movable, surfaces),
            calvin_env=checkout,
        )
        facts = {
            "robot_base_position": (tuple(config["robot_base_position"]), BASE_POSITION),
            "robot_initial_joint_positions": (tuple(config["robot_initial_joint_positions"]), INITIAL_JOINTS),
            "objects.movable_objects": (tuple(sorted(movable)), tuple(sorted(BLOCKS))),
            "objects.fixed_objects.table.initial_pos": (tuple(fixed["initial_pos"]), (0, 0, 0)),
            "objects.fixed_objects.table.initial_orn": (tuple(fixed["initial_orn"]), (0, 0, 0)),
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, CheckoutError):
            raise
        raise CheckoutError(
            f"expected '{file}' to describe a scene as calvin_env does, but reading it failed: "
            f"{type(error).__name__}: {error}. Run `git checkout -- conf` in the checkout, or: {INSTALL}."
        ) from error
    for key, (found, expected) in facts.items():
        _require_same(file, key, found, expected)
    _require_whole_scene(scene)
    return scene


def _read(file: Path) -> Any:
    try:
        config = yaml.safe_load(require_whole(file))
    except yaml.YAMLError as error:
        raise CheckoutError(
            f"expected YAML in '{file}', got: {error}. Run `git checkout -- conf` in the checkout, or: {INSTALL}."
        ) from error
    return config


def _require_same(file: Path, key: str, found: Any, expected: Any) -> None:
    if found != expected:
        raise CheckoutError(
            f"expected {key} to be {expected} in '{file}', as at calvin_env 797142c, got {found}: our world cannot do "
            f"that. Undo the change, or check out a known revision: {INSTALL}."
        )


def _robot_urdf(checkout: CalvinEnv) -> str:
    """The URDF of the arm, with absolute paths of its meshes."""
    config = checkout.root / "conf" / "robot" / f"{_ROBOT}.yaml"
    named = _read(config)
    urdf = f"franka_panda/{_ROBOT}.urdf"
    _require_same(config, "filename", named.get("filename") if isinstance(named, dict) else named, urdf)
    file = checkout.data / urdf
    text = require_whole(file).decode("utf-8")
    return text.replace("package://", f"{file.absolute().parent.as_posix()}/")


def _load_poses(movable: Mapping[str, Any], surfaces: Mapping[str, Surface]) -> dict[str, Pose]:
    """The pose in which calvin_env loads each block, before a reset moves it.

    It draws them at random: for each block in turn a surface, a point on it and a yaw. The last bits of later contacts
    depend on where blocks were loaded. So the draws are repeated here, with calvin_env's seed and order.
    """
    generator = np.random.default_rng(_UPSTREAM_SEED)
    poses = {}
    for block, body in movable.items():
        position, euler = body["initial_pos"], body["initial_orn"]
        if isinstance(position, str):
            surface = generator.choice(list(surfaces)) if position == "any" else position
            position = surfaces[surface].draw(generator).tolist()
        if isinstance(euler, str):
            euler = generator.uniform([0, 0, -np.pi], [0, 0, np.pi]).tolist()
        poses[block] = Pose(tuple(position), tuple(euler))
    return poses


def _require_whole_scene(scene: Scene) -> None:
    """Checks every file that Bullet will load."""
    assert scene.floor_urdf is not None  # noqa: S101  (for the type checker)
    texts = [(Path(), scene.robot_urdf)]
    for file in (scene.table_urdf, *scene.block_urdfs.values(), scene.floor_urdf):
        texts.append((file.parent, require_whole(file).decode("utf-8")))
    for mesh in dict.fromkeys(folder / name for folder, text in texts for name in mesh_names(text)):
        require_whole(mesh)
        for material in material_files(mesh):
            require_whole(material)
