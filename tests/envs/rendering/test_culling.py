"""Culling saves time and nothing else: pictures of chosen blocks are those of all blocks."""

import numpy as np
import pytest

from calvinbench.envs.cameras.opengl_look import OpenGLLook, geometry_of
from calvinbench.envs.chains import initial_observation, published
from calvinbench.envs.play_table import PlayTableEnv
from calvinbench.envs.rendering import renderer as renderer_module
from calvinbench.envs.rendering.renderer import Renderer
from support.small_worlds import view_from

VIEWS = {
    "static": view_from((2.87, -2.17, 2.56), (-0.03, -0.03, 0.39), size=120, fov_degrees=10, up=(0, 0, 1)),
    "above": view_from((0.0, 0.0, 3.0), (0.0, 0.0, 0.0)),
    "behind": view_from((-0.5, 2.0, 0.9), (0.0, 0.0, 0.4), up=(0, 0, 1)),
    "below": view_from((0.2, -0.3, 0.05), (0.0, 0.0, 0.6), fov_degrees=100),
    "inside the cabinet": view_from((0.1, 0.1, 0.5), (-0.3, 0.09, 0.5), fov_degrees=90, up=(0, 0, 1)),
    "inside the arm": view_from((-0.34, -0.46, 0.5), (0.0, 0.0, 0.4), fov_degrees=110, up=(0, 0, 1)),
    "away": view_from((2.0, 2.0, 1.0), (4.0, 4.0, 1.0), up=(0, 0, 1)),
}


class Posed:
    """A scene's geometry and how it stands."""

    def __init__(self, env: PlayTableEnv) -> None:
        robot_obs, scene_obs = initial_observation(published()[4].initial_state)
        env.reset(options={"robot_obs": robot_obs, "scene_obs": scene_obs})
        look = env._renderer
        assert isinstance(look, OpenGLLook)
        self.geometry = geometry_of(env.scene)
        updates: list[tuple[np.ndarray, np.ndarray]] = []
        drawing = look._prepared()
        drawing.renderer.update = lambda *stands: updates.append(stands)  # type: ignore[method-assign]
        drawing.look(env._client, look._bodies, env._table)
        ((frames, colours),) = updates
        self.frames, self.colours = frames.copy(), colours.copy()


@pytest.fixture(scope="module", params=["embedded", pytest.param("D", marks=pytest.mark.recorded)])
def posed(request: pytest.FixtureRequest) -> Posed:
    checkout = None if request.param == "embedded" else request.getfixturevalue("recordings") / "calvin_env"
    env = PlayTableEnv(request.param, cameras=(), calvin_env=checkout)
    made = Posed(env)
    env.close()
    return made


def every_block(shapes: np.ndarray, first_blocks: np.ndarray, *rest: np.ndarray) -> int:
    """Chooses all blocks of the shapes, into the last argument, as culling does."""
    if not len(shapes):
        return 0
    blocks = np.concatenate([np.arange(first_blocks[shape], first_blocks[shape + 1]) for shape in shapes])
    rest[-1][: len(blocks)] = blocks
    return len(blocks)


def test_pictures_of_chosen_blocks_are_those_of_all(posed: Posed, monkeypatch: pytest.MonkeyPatch):
    culling, drawing_all = Renderer(posed.geometry, 24), Renderer(posed.geometry, 24)
    culling.update(posed.frames, posed.colours)
    culled = {name: culling.render(view, fixed=False) for name, view in VIEWS.items()}
    monkeypatch.setattr(renderer_module, "blocks_in_view", every_block)
    monkeypatch.setattr(renderer_module, "blocks_facing_away", every_block)
    drawing_all.update(posed.frames, posed.colours)
    np.testing.assert_array_equal(culling._shadow_map.depths, drawing_all._shadow_map.depths)
    for name, view in VIEWS.items():
        whole = drawing_all.render(view, fixed=False)
        np.testing.assert_array_equal(culled[name].rgb, whole.rgb, name)
        np.testing.assert_array_equal(culled[name].z_buffer, whole.z_buffer, name)
    num_shades = [len(np.unique(picture.rgb.reshape(-1, 3), axis=0)) for picture in culled.values()]
    assert sum(number > 20 for number in num_shades) >= len(VIEWS) - 2


def test_blocks_beside_the_picture_and_turned_away_are_left_out(posed: Posed):
    renderer = Renderer(posed.geometry)
    renderer.update(posed.frames, posed.colours)
    chosen = {}
    for name, view in VIEWS.items():
        renderer._chosen[:] = -1
        renderer.render(view, fixed=False)
        chosen[name] = (renderer._chosen >= 0).mean()
    assert chosen["static"] < 0.8
    assert chosen["away"] < 0.05
