"""What works on this machine, and what to do about the rest."""

from collections.abc import Callable, Iterator
from pathlib import Path

from calvinbench.harness.diagnostics.doctor_checkouts import look_at_checkouts
from calvinbench.harness.diagnostics.finding import FAILED, MISSING, OK, Finding
from calvinbench.harness.records.provenance import PACKAGES, package_version

_BUILD_PYBULLET = (
    "pip install numpy setuptools wheel && "
    "pip install --force-reinstall --no-deps --no-cache-dir --no-build-isolation 'pybullet>=3.2.5,<3.3'"
)
"""Where there is no wheel this compiles it, with numpy, which is left out where it is not installed beforehand."""


def examine(calvin_env: Path | None = None) -> Iterator[Finding]:
    """Looks at one thing after another; each finding comes as soon as it is known.

    Args:
        calvin_env: A checkout of calvin_env that must be whole; None looks for one, which need not be there.
    """
    for package in PACKAGES:
        version = package_version(package)
        yield Finding(
            f"package {package}",
            OK if version else MISSING,
            version or "not installed",
            "" if version else "pip install calvinbench",
        )
    for name, look, remedy in _LOOKS:
        yield _finding(name, look, remedy)
    yield _egl()
    yield from look_at_checkouts(calvin_env)


def _finding(name: str, look: Callable[[], str], remedy: str) -> Finding:
    try:
        return Finding(name, OK, look())
    except Exception as error:  # noqa: BLE001  whatever goes wrong is the finding
        return Finding(name, FAILED, f"{type(error).__name__}: {error}", remedy)


def _look_at_torch() -> str:
    import torch

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    total = float(torch.ones(3).sum())
    if total != 3.0:
        raise RuntimeError(f"expected 1 + 1 + 1 = 3 from torch, got {total}")
    return f"device {device}, {torch.get_num_threads()} threads"


def _look_at_pybullet() -> str:
    from calvinbench.envs.bodies.bullet import BulletClient

    client = BulletClient()
    try:
        client.stepSimulation()
        steps = "a simulation without a window steps"
        if client.isNumpyEnabled():
            return steps
        return f"{steps}, but it was built without numpy: pictures are right and come slower. Better: {_BUILD_PYBULLET}"
    finally:
        client.close()


def _look_at_renderer() -> str:
    from calvinbench.envs.play_table import PlayTableEnv

    env = PlayTableEnv(scene="embedded", cameras=("static",))
    try:
        observation, _ = env.reset(seed=0)
        picture = observation["rgb_static"]
        if picture.std() == 0:
            raise RuntimeError(f"the picture of the embedded scene has one colour only, {picture.flat[0]}")
        return f"{env.renderer}, {picture.shape[1]}x{picture.shape[0]} pixels, mean {picture.mean():.1f}"
    finally:
        env.close()


def _egl() -> Finding:
    """Nothing needs it: our renderer draws the same pictures."""
    from calvinbench.envs.cameras.renderers import BULLET_EGL, OPENGL_LOOK, RendererError, require_works

    name = f"renderer {BULLET_EGL}"
    try:
        require_works(BULLET_EGL)
    except RendererError as error:
        return Finding(
            name, MISSING, str(error), f"nothing need be done: {OPENGL_LOOK} is the default", is_needed=False
        )
    return Finding(name, OK, "PyBullet's OpenGL plugin draws here, tried in another process", is_needed=False)


def _look_at_assets() -> str:
    from calvinbench.envs.chains import published
    from calvinbench.envs.instructions import embedded_instructions
    from calvinbench.envs.scenes.loading import load_scene

    return (
        f"embedded scene (sha256 {load_scene('embedded').digest()[:12]}), {len(published())} published chains, "
        f"sentences for {len(embedded_instructions().seen)} tasks"
    )


def _look_at_policy() -> str:
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
    return f"{policy.traits.label} sees and acts"


def _look_at_tables() -> str:
    import matplotlib
    import pandas as pd

    from calvinbench.harness.report import plots, tables
    from calvinbench.harness.report.table_input import TableInput

    plots.survival([])
    tables.number_table(TableInput.of([]))
    return f"tables and figures can be made: pandas {pd.__version__}, matplotlib {matplotlib.__version__}"


_LOOKS: tuple[tuple[str, Callable[[], str], str], ...] = (
    ("torch", _look_at_torch, "install torch for this machine, see https://pytorch.org/get-started"),
    ("pybullet", _look_at_pybullet, _BUILD_PYBULLET),
    ("assets", _look_at_assets, "the installation is damaged: pip install --force-reinstall --no-deps calvinbench"),
    (
        "renderer",
        _look_at_renderer,
        "pip install --force-reinstall numba; else take --renderer bullet-tiny, and report it with this output",
    ),
    ("policy", _look_at_policy, "pip install --force-reinstall transformers tokenizers"),
    ("tables", _look_at_tables, "pip install --force-reinstall pandas scipy matplotlib"),
)
