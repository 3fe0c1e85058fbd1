"""Fixtures: joints, the button and its led, the switch and its bulb."""

from collections.abc import Iterator

import numpy as np
import pytest

from calvinbench.envs.bodies.bullet import BulletClient
from calvinbench.envs.bodies.table import Table
from calvinbench.envs.scenes.loading import load_scene


class Workbench:
    """A table alone, whose joints can be set as if something pushed them."""

    def __init__(self) -> None:
        self.client = BulletClient()
        self.table = Table(self.client, load_scene("embedded"))
        self.joints = {
            self.client.getJointInfo(self.table.uid, index)[1].decode(): index
            for index in range(self.client.getNumJoints(self.table.uid))
        }

    def push(self, joint: str, position: float) -> None:
        self.client.resetJointState(self.table.uid, self.joints[joint], position)
        self.table.update_lights()


@pytest.fixture
def bench() -> Iterator[Workbench]:
    made = Workbench()
    yield made
    made.client.close()


@pytest.mark.parametrize(
    ("joint", "upper"), [("base__slide", 0.28), ("base__drawer", 0.22), ("base__button", 0.02), ("base__switch", 0.088)]
)
def test_joints_have_calvins_ranges(bench: Workbench, joint: str, upper: float):
    low, high = bench.client.getJointInfo(bench.table.uid, bench.joints[joint])[8:10]
    assert (low, high) == (0.0, pytest.approx(upper))


def test_links_are_those_that_the_oracle_names(bench: Workbench):
    assert set(bench.table.link_names.values()) == {
        *("base_link", "button_link", "switch_link", "slide_link", "drawer_link", "led_link", "light_link"),
        "plank_link",
    }


def test_each_new_press_of_the_button_toggles_the_led(bench: Workbench):
    bench.table.reset(np.zeros(6))
    lit = []
    for position in (0.0, 0.011, 0.02, 0.011, 0.009, 0.011, 0.0):
        bench.push("base__button", position)
        lit.append(bench.table.lights["led"])
    assert lit == [0, 1, 1, 1, 1, 0, 0]


def test_with_the_led_on_at_reset_the_first_press_turns_it_off(bench: Workbench):
    bench.table.reset(np.array([0.0, 0.0, 0.0, 0.0, 0.0, 1.0]))
    assert bench.table.lights["led"] == 1
    bench.push("base__button", 0.02)
    assert bench.table.lights["led"] == 0


def test_the_switch_lights_the_bulb_past_its_middle(bench: Workbench):
    bench.table.reset(np.zeros(6))
    lit = []
    for position in (0.043, 0.045, 0.088, 0.045, 0.043):
        bench.push("base__switch", position)
        lit.append(bench.table.lights["lightbulb"])
    assert lit == [0, 1, 1, 1, 0]


def test_observing_gives_back_what_was_set(bench: Workbench):
    state = np.array([0.1, 0.2, 0.0, 0.088, 1.0, 0.0])
    bench.table.reset(state)
    np.testing.assert_allclose(bench.table.observe(), state)


def test_the_button_springs_back_and_a_door_stays(bench: Workbench):
    bench.client.setTimeStep(1 / 240)
    bench.table.reset(np.array([0.14, 0.1, 0.02, 0.0, 0.0, 0.0]))
    for _ in range(240):
        bench.client.stepSimulation()
    joints = bench.table.joints
    assert joints["base__button"] < 0.002
    assert joints["base__slide"] == pytest.approx(0.14, abs=1e-3)
    assert joints["base__drawer"] == pytest.approx(0.1, abs=1e-3)


def test_a_button_that_is_down_at_reset_is_a_new_press_only_where_nobody_knows_of_it(bench: Workbench):
    down = np.array([0.0, 0.0, 0.02, 0.0, 0.0, 0.0])
    for knows_press, led in ((True, 0), (False, 1)):
        bench.table.reset(down, knows_press=knows_press)
        bench.push("base__button", 0.02)
        assert bench.table.lights["led"] == led
