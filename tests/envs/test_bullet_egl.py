"""PyBullet's own OpenGL pictures, drawn live, beside ours; skipped where its EGL plugin does not work."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from calvinbench.envs.cameras.renderers import BULLET_EGL, RendererError, require_works
from calvinbench.envs.chains import initial_observation, published
from calvinbench.envs.play_table import PlayTableEnv
from support import REPOSITORY

_ACTIONS = [np.array([0.3, 0.5, -0.8, 0.0, 0.1, 0.2, gripper]) for gripper in (1.0,) * 8 + (-1.0,) * 4]


def drawn(scene: str, calvin_env: str | None, **settings) -> dict[str, np.ndarray]:
    """Colours and depths of both cameras at three moments of an episode."""
    env = PlayTableEnv(scene, cameras=(), calvin_env=calvin_env, **settings)
    robot_obs, scene_obs = initial_observation(published()[3].initial_state)
    env.reset(options={"robot_obs": robot_obs, "scene_obs": scene_obs})
    arrays = {}
    for step, action in enumerate(_ACTIONS):
        if step % 4 == 0:
            for camera, picture in env.images().items():
                arrays[f"rgb_{camera}_{step}"] = picture.rgb
                arrays[f"depth_{camera}_{step}"] = picture.depth
        env.step(action)
    env.close()
    return arrays


def drawn_by_egl(scene: str, calvin_env: str | None, folder: Path) -> dict[str, np.ndarray]:
    """The same from a process of its own: the plugin prints, and a driver may end the process that loads it."""
    try:
        require_works(BULLET_EGL)
    except RendererError as error:
        pytest.skip(str(error))
    file = folder / "egl.npz"
    script = (
        "import sys\nimport numpy as np\nsys.path.insert(0, 'tests')\n"
        "from tests.envs.test_bullet_egl import drawn\n"
        f"np.savez({str(file)!r}, **drawn({scene!r}, {calvin_env!r}, renderer='bullet-egl'))"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, cwd=REPOSITORY)
    return dict(np.load(file))


def require_alike(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray], most_off: float) -> None:
    """Asks for the issue's mean difference of each picture, and for depths within three steps of 16 bits."""
    for name, picture in ours.items():
        kind = name.partition("_")[0]
        if kind == "rgb":
            difference = np.abs(picture.astype(int) - theirs[name])
            assert difference.mean() <= 0.8, name
            assert (difference.max(axis=-1) > 10).mean() <= most_off, name
        else:
            steps_m = picture.astype(float) ** 2 / 0.01 / 65535
            off = np.abs(picture.astype(float) - theirs[name]) > 3 * steps_m
            assert off.mean() <= 0.002, name


@pytest.mark.recorded
def test_scene_d_looks_as_the_egl_plugin_draws_it(recordings: Path, tmp_path: Path):
    checkout = str(recordings / "calvin_env")
    require_alike(drawn("D", checkout), drawn_by_egl("D", checkout, tmp_path), most_off=0.002)


def test_the_embedded_scene_looks_as_the_egl_plugin_draws_it(tmp_path: Path):
    """Many of its boxes hang on one link and are equally near where the buffer is coarse (2.4 cm a step at 4 m).

    Which of them OpenGL shows is chance: Bullet's sort of equals is not stable. Measured: 1.9% of pixels.
    """
    ours = drawn("embedded", None, depth_bits=16)
    require_alike(ours, drawn_by_egl("embedded", None, tmp_path), most_off=0.025)
