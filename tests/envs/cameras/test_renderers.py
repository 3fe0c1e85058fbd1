"""Renderers by name, and the trial that keeps a bad OpenGL driver from ending the process."""

import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
import pytest

from calvinbench.envs.cameras import renderers
from calvinbench.envs.cameras.opengl_look import OpenGLLook
from calvinbench.envs.cameras.renderers import RENDERERS, BulletRenderer, ImageRenderer, RendererError, require_works
from calvinbench.envs.names import UnknownNameError
from calvinbench.envs.play_table import PlayTableEnv

_run = subprocess.run


@pytest.fixture(autouse=True)
def _fresh_trial() -> Iterator[None]:
    """What a trial found is remembered for the process."""
    renderers._egl_failure.cache_clear()
    yield
    renderers._egl_failure.cache_clear()


@pytest.fixture
def trial(monkeypatch: pytest.MonkeyPatch):
    """Makes the trial run other code in its process: `trial("import os; os.abort()")`."""

    def replace(code: str) -> list[float]:
        started = []

        def run(command, **how):
            started.append(time.monotonic())
            assert command[:2] == [sys.executable, "-c"]
            return _run([*command[:2], code], **how)

        monkeypatch.setattr(renderers.subprocess, "run", run)
        return started

    return replace


def test_the_default_is_ours_on_the_embedded_scene_too():
    env = PlayTableEnv(cameras=())
    assert env.renderer == "opengl-look"
    assert isinstance(env._renderer, OpenGLLook)
    assert isinstance(env._renderer, ImageRenderer)
    assert env.depth_bits == 24
    env.close()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("opengl_look", "Did you mean 'opengl-look'"),
        ("bullet-elg", "Did you mean 'bullet-egl'"),
        ("tiny", "bullet-tiny"),
        ("", "opengl-look"),
    ],
)
def test_a_name_that_does_not_exist_is_refused_with_those_that_do(name: str, words: str):
    with pytest.raises(UnknownNameError, match=words):
        PlayTableEnv(renderer=name)


@pytest.mark.parametrize("name", ["bullet-egl", "bullet-tiny"])
def test_depth_bits_are_refused_with_bullet_s_renderers(name: str, trial):
    trial("")
    with pytest.raises(ValueError, match=f"depth_bits with the renderer opengl-look alone, got 24 with {name}"):
        PlayTableEnv(renderer=name, depth_bits=24)


def test_tinyrenderer_says_nothing_of_its_depth_buffer():
    env = PlayTableEnv(cameras=("static",), renderer="bullet-tiny", camera_sizes={"static": 32})
    assert (env.renderer, env.depth_bits) == ("bullet-tiny", None)
    assert isinstance(env._renderer, BulletRenderer)
    assert isinstance(env._renderer, ImageRenderer)
    assert env.reset(seed=0)[0]["rgb_static"].std() > 10
    env.close()


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "was killed by signal 11"),
        ("import os; os.abort()", "was killed by signal 6"),
        ("import sys; sys.exit('failed to create an EGL context')", "ended with 1: failed to create an EGL context"),
        ("import os; print('no display', flush=True); os._exit(3)", "ended with 3: no display"),
        ("raise RuntimeError('the image has one colour only')", "the image has one colour only"),
    ],
    ids=["segmentation fault", "abort", "exit", "exit with output", "error"],
)
def test_a_trial_that_dies_is_told_in_words_and_harms_nobody_else(trial, code: str, words: str):
    started = trial(code)
    for _ in range(2):
        with pytest.raises(RendererError, match="a trial in another process") as refused:
            PlayTableEnv(renderer="bullet-egl")
        assert "Use --renderer opengl-look" in str(refused.value)
        assert words in str(refused.value)
    assert len(started) == 1  # what was found is remembered
    env = PlayTableEnv(camera_sizes={"static": 16, "gripper": 16})
    assert env.reset(seed=0)[0]["rgb_static"].std() > 10
    env.close()


def test_a_trial_that_hangs_is_ended(trial, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(renderers, "_EGL_TRIAL_SECONDS", 0.5)
    trial("import time; time.sleep(60)")
    began = time.monotonic()
    with pytest.raises(RendererError, match=r"took more than 0.5 seconds.*--renderer opengl-look"):
        require_works("bullet-egl")
    assert time.monotonic() - began < 10


def test_other_renderers_need_no_trial(trial):
    started = trial("raise SystemExit(1)")
    for name in set(RENDERERS) - {"bullet-egl"}:
        require_works(name)
    assert not started


def test_a_build_without_the_plugin_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(renderers, "find_spec", lambda name: None)
    with pytest.raises(RendererError, match="this build of PyBullet has none"):
        renderers.load_egl_plugin(None)


def test_a_plugin_that_does_not_load_is_told(monkeypatch: pytest.MonkeyPatch):
    class Refusing:
        def loadPlugin(self, file: str, suffix: str) -> int:  # noqa: N802
            return -1

    monkeypatch.setattr(renderers, "find_spec", lambda name: np.testing.__spec__)
    with pytest.raises(RendererError, match="expected PyBullet's EGL plugin to load"):
        renderers.load_egl_plugin(Refusing())


def test_the_real_trial_says_whether_egl_works():
    script = "from calvinbench.envs.cameras.renderers import try_egl; try_egl()"
    there = _run([sys.executable, "-c", script], capture_output=True, check=False, timeout=60)
    if there.returncode == 0:
        require_works("bullet-egl")
    else:
        with pytest.raises(RendererError, match="a trial in another process"):
            require_works("bullet-egl")
