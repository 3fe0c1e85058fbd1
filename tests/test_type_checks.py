"""What the tests' import hook checks: types, shapes, axes that two arguments share, results, and fields."""

import inspect
from dataclasses import dataclass
from typing import Any

import jaxtyping
import numpy as np
import pytest
from jaxtyping import Float64, UInt8

from calvinbench.envs.cameras.cameras import CameraImage
from calvinbench.policies.batch import put_rows
from support.type_checks import checked


@checked
def scaled(points: Float64[np.ndarray, "n 3"], factors: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, "n 3"]:
    return points * factors[: len(points), None] if factors[0] else points[:1]


@checked
def first(count: int, names: list[str]) -> str:
    return names[0] if count else count


@checked
def row(count: int) -> Float64[np.ndarray, "{count}"]:  # noqa: F821
    return np.zeros(3)


@checked
@dataclass(frozen=True, slots=True)
class Image:
    pixels: UInt8[np.ndarray, "height width 3"]
    names: tuple[str, ...] = ()


def test_what_fits_passes():
    assert scaled(np.ones((2, 3)), np.full(2, 5.0)).tolist() == [[5.0] * 3] * 2
    assert first(1, names=["a"]) == "a"
    assert row(3).shape == (3,)
    assert Image(np.zeros((4, 5, 3), np.uint8)).names == ()


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda: first("1", ["a"]), id="type of an argument"),
        pytest.param(lambda: first(1, [1]), id="type of an element"),
        pytest.param(lambda: first(0, ["a"]), id="type of the result"),
        pytest.param(lambda: scaled(np.ones((2, 2)), np.ones(2)), id="length of an axis"),
        pytest.param(lambda: scaled(np.ones((2, 3), np.float32), np.ones(2)), id="type of numbers"),
        pytest.param(lambda: scaled(np.ones((2, 3)), np.ones(3)), id="axis of two arguments"),
        pytest.param(lambda: scaled(np.ones((2, 3)), np.zeros(2)), id="axis of argument and result"),
        pytest.param(lambda: row(2), id="axis that an argument gives"),
        pytest.param(lambda: Image(np.zeros((4, 5, 4), np.uint8)), id="shape of a field"),
        pytest.param(lambda: Image(np.zeros((4, 5, 3), np.uint8), names=(1,)), id="type of a field"),
    ],
)
def test_what_does_not_fit_is_an_error(call: Any, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(jaxtyping.TypeCheckError):
        call()
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    call()


def test_the_library_is_checked():
    with pytest.raises(jaxtyping.TypeCheckError):
        put_rows(("a",), np.zeros(1), ("b",))  # numbers for truth values
    with pytest.raises(jaxtyping.TypeCheckError):
        CameraImage(np.zeros((4, 4), np.uint8), None)
    assert inspect.unwrap(put_rows) is not put_rows
