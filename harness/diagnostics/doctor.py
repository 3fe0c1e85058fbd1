"""Checks what works on this machine, and says how to fix the rest."""

from collections.abc import Callable, Iterator
from pathlib import Path

from calvinbench.harness.diagnostics.doctor_checkouts import check_checkouts
from calvinbench.harness.diagnostics.finding import FAILED, MISSING, OK, Finding
from calvinbench.harness.records.provenance import PACKAGES, package_version

_BUILD_PYBULLET = (
    "pip install numpy setuptools wheel && "
    "pip install --force-reinstall --no-deps --no-cache-dir --no-build-isolation 'pybullet>=3.2.5,<3.3'"
)
"""Without a wheel, pip compiles PyBullet. It does so without numpy support if numpy is not installed first."""


def examine(calvin_env: Path | None = None) -> Iterator[Finding]:
    """Checks one thing after another, and yields each finding as soon as it is known.

    Args:
        calvin_env: A checkout of calvin_env, which must be complete. None searches for one; it is no failure if there
            is none.
    """
    for package in PACKAGES:
        version = package_version(package)
        yield Finding(
            f"package {package}",
            OK if version else MISSING,
            version or "not installed",
            "" if version else "pip install calvinbench",
        )
    for name, check, remedy in _CHECKS:
        yield _finding(name, check, remedy)
    yield _egl()
    yield from check_checkouts(calvin_env)


def _finding(name: str, check: Callable[[], str], remedy: str) -> Finding:
    try:
        return Finding(name, OK, check())
    except Exception as error:  # noqa: BLE001  any error is a finding
        return Finding(name, FAILED, f"{type(error).__name__}: {error}", remedy)


def _try_torch() -> str:
    import torch

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    total = float(torch.ones(3).sum())
    if total != 3.0:
        raise RuntimeError(f"expected 1 + 1 + 1 = 3 from torch, got {total}")
    return f"device {device}, {torch.get_num_threads()} threads"


def _try_pybullet() -> str:
    from calvinbench.envs.bodies.bullet import BulletClient

    client = BulletClient()
    try:
        client.stepSimulation()
        steps = "a simulation runs"
        if client.isNumpyEnabled():
            return steps
        return f"{steps}, but PyBullet was built without numpy, so images are slower. To fix it: {_BUILD_PYBULLET}"
    finally:
        client.close()


def _try_renderer() -> str:
    from calvinbench.envs.play_table import PlayTableEnv

    env = PlayTableEnv(scene="embedded", cameras=("static",))
    try:
        observation, _ = env.reset(seed=0)
        image = observation["rgb_static"]
        if image.std() == 0:
            raise RuntimeError(f"the image of the embedded scene has a single colour, {image.flat[0]}")
        return f"{env.renderer}, {image.shape[1]}x{image.shape[0]} pixels, mean {image.mean():.1f}"
    finally:
        env.close()


def _egl() -> Finding:
    """Whether PyBullet's OpenGL works. Nothing needs it, because our renderer draws the same images."""
    from calvinbench.envs.cameras.renderers import BULLET_EGL, OPENGL_LOOK, RendererError, require_works

    name = f"renderer {BULLET_EGL}"
    try:
        require_works(BULLET_EGL)
    except RendererError as error:
        return Finding(name, MISSING, str(error), f"not needed: the default renderer is {OPENGL_LOOK}", is_needed=False)
    return Finding(name, OK, "PyBullet's OpenGL plugin works", is_needed=False)


def _try_assets() -> str:
    from calvinbench.envs.chains import published
    from calvinbench.envs.instructions import embedded_instructions
    from calvinbench.envs.scenes.loading import load_scene

    return (
        f"embedded scene (sha256 {load_scene('embedded').digest()[:12]}), {len(published())} published chains, "
        f"sentences for {len(embedded_instructions().seen)} tasks"
    )


def _try_policy() -> str:
    import numpy as np

    from calvinbench.envs.observation import Observation
    from calvinbench.envs.play_table import PlayTableEnv
    from calvinbench.policies.registry import make_policy

    policy = make_policy("untrained:kosmos2")
    env = PlayTableEnv(scene="embedded", cameras=policy.traits.cameras)
    try:
        observation, _ = env.reset(seed=0)
    finally:
        env.close()
    decision = policy.act(
        Observation.stack([observation], policy.traits.observation_keys),
        ["open the drawer"],
        policy.initial_state(1, seeds=[0]),
    )
    if not np.isfinite(decision.actions).all():
        raise RuntimeError(f"expected finite numbers from {policy.traits.label}, got {decision.actions}")
    return f"{policy.traits.label} takes images and gives actions"


def _try_tables() -> str:
    import matplotlib
    import pandas as pd

    from calvinbench.harness.report import plots, tables
    from calvinbench.harness.report.table_input import TableInput

    plots.survival([])
    tables.number_table(TableInput.of([]))
    return f"tables and figures work: pandas {pd.__version__}, matplotlib {matplotlib.__version__}"


_CHECKS: tuple[tuple[str, Callable[[], str], str], ...] = (
    ("torch", _try_torch, "install torch for this machine, see https://pytorch.org/get-started"),
    ("pybullet", _try_pybullet, _BUILD_PYBULLET),
    ("assets", _try_assets, "the installation is damaged: pip install --force-reinstall --no-deps calvinbench"),
    (
        "renderer",
        _try_renderer,
        "pip install --force-reinstall numba. If it still fails, use --renderer bullet-tiny, and report this output",
    ),
    ("policy", _try_policy, "pip install --force-reinstall transformers tokenizers"),
    ("tables", _try_tables, "pip install --force-reinstall pandas scipy matplotlib"),
)
