"""The still layer: what belongs to it, and that pictures with and without it are the same, number for number."""

from collections.abc import Iterator

import numpy as np
import pytest

from calvinbench.envs.cameras.opengl_look import OpenGLLook, geometry_of
from calvinbench.envs.chains import initial_observation, published
from calvinbench.envs.play_table import PlayTableEnv
from calvinbench.envs.rendering.rendered import View
from calvinbench.envs.rendering.renderer import Renderer
from calvinbench.envs.rendering.shapes.primitives import box, sphere
from calvinbench.envs.rendering.still_layer import StillLayer
from support.small_worlds import Thing, frames_at, geometry_of_things, square, view_from

_VIEWS = (
    view_from((0.5, -1.5, 1.2), (0.0, 0.0, 0.2), size=90, up=(0, 0, 1)),
    view_from((0.0, 0.0, 2.0), (0.0, 0.0, 0.0), size=64),
)
PATIENCE = 24


def test_a_shape_leaves_when_it_changes_and_joins_after_a_while_at_rest():
    layer, appearances = StillLayer(3), np.zeros((3, 19))
    assert layer.update(appearances)
    assert layer.still.tolist() == [0, 1, 2]
    version = layer.version
    assert not layer.update(appearances)
    appearances[1, 4] += 1e-12
    assert layer.update(appearances)
    assert (layer.still.tolist(), layer.moving.tolist()) == ([0, 2], [1])
    assert layer.version > version
    version = layer.version
    for _ in range(PATIENCE - 1):
        assert not layer.update(appearances)
    assert layer.update(appearances)
    assert layer.still.tolist() == [0, 1, 2]
    assert layer.version > version


def test_a_shape_that_changes_now_and_then_stays_out():
    layer, appearances = StillLayer(2), np.zeros((2, 3))
    layer.update(appearances)
    for step in range(100):
        appearances[0, 0] += step % 10 == 0
        layer.update(appearances)
        assert layer.moving.tolist() == [0]


def story() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Places and colours of four things: they move, rest, change colour, pass before and shade each other."""
    places = np.array([(0, 0, 0), (-0.4, 0, 0.2), (0.3, 0.1, 0.6), (0.0, 0.3, 0.15)], dtype=float)
    colours = np.array([(0.7, 0.7, 0.7), (0.9, 0.1, 0.1), (0.1, 0.9, 0.1), (1.0, 1.0, 1.0)])
    for step in range(120):
        places, colours = places.copy(), colours.copy()
        if step < 12 or 70 < step < 80:
            places[1, 0] += 0.06
        if step in (20, 60, 61):
            colours[3] = (1.0, 1.0, 0.0) if colours[3, 2] else (1.0, 1.0, 1.0)
        if step in (50, 51, 95):
            places[2] = places[2, [1, 0, 2]] - (0, 0, 0.1)
        yield frames_at(*places), colours


def test_pictures_with_the_layer_equal_those_without_through_moves_rests_and_lights():
    meshes = (square(1.5), box(np.array([0.2, 0.2, 0.3])), sphere(0.15), box(np.array([0.3, 0.05, 0.3])))
    things = [Thing(mesh, casts_shadow=number > 0) for number, mesh in enumerate(meshes)]
    layered, plain = Renderer(geometry_of_things(things)), Renderer(geometry_of_things(things))
    sizes = set()
    for frames, colours in story():
        layered.update(frames, colours)
        plain.update(frames, colours)
        require_same(layered, plain, _VIEWS)
        sizes.add(len(layered._layer.still))
    # The story has moments in which nothing moves, and moments in which all but the floor does.
    assert sizes == {1, 2, 3, 4}


def require_same(layered: Renderer, plain: Renderer, views: tuple[View, ...]) -> None:
    for view in views:
        with_layer, without = layered.render(view, fixed=True), plain.render(view, fixed=False)
        np.testing.assert_array_equal(with_layer.rgb, without.rgb)
        np.testing.assert_array_equal(with_layer.z_buffer, without.z_buffer)


@pytest.mark.parametrize("scene", ["embedded", pytest.param("D", marks=pytest.mark.recorded)])
def test_an_episode_s_pictures_with_the_layer_equal_those_without(scene: str, request: pytest.FixtureRequest):
    checkout = None if scene == "embedded" else request.getfixturevalue("recordings") / "calvin_env"
    env = PlayTableEnv(scene, cameras=(), calvin_env=checkout)
    look = env._renderer
    assert isinstance(look, OpenGLLook)
    layered, plain = look._prepared().renderer, Renderer(geometry_of(env.scene), look.depth_bits)
    take = layered.update

    def take_both(frames: np.ndarray, colours: np.ndarray) -> None:
        take(frames, colours)
        plain.update(frames, colours)

    layered.update = take_both  # type: ignore[method-assign]
    camera = env._cameras["static"]
    view = View(camera._static_view, camera._projection, 200)
    robot_obs, scene_obs = initial_observation(published()[7].initial_state)
    drawer, shown = env._table._joints["base__drawer"], []
    for _ in range(2):
        env.reset(options={"robot_obs": robot_obs, "scene_obs": scene_obs})
        for step in range(70):
            action = np.array([0.4, 0.4, -0.9, 0, 0, 0.2, 1.0]) if step < 25 else np.array([0.0] * 6 + [-1.0])
            if 5 <= step < 12:
                env._client.resetJointState(env._table.uid, drawer, 0.03 * (step - 5))
            if step in (15, 50):
                env._table._set_light("led", step == 15)
            env.step(action)
            look.render(view, fixed=True)
            require_same(layered, plain, (view,))
            shown.append(len(layered._layer.still))
    assert len(set(shown)) >= 3
    env.close()
