"""Which checkouts of CALVIN's files `doctor` finds, and whether they are complete."""

from collections.abc import Iterator
from pathlib import Path

from calvinbench.envs.instructions import CALVIN, load_instructions
from calvinbench.envs.scenes.calvin_checkout import (
    FOLLOWED_REVISION,
    CheckoutError,
    CheckoutNotFoundError,
    find_calvin,
    find_calvin_env,
)
from calvinbench.envs.scenes.calvin_scene import ASSET_DIGESTS
from calvinbench.envs.scenes.loading import load_scene
from calvinbench.envs.scenes.scene import CALVIN_SCENES
from calvinbench.harness.diagnostics.finding import FAILED, MISSING, OK, Finding


def check_checkouts(calvin_env: Path | None = None) -> Iterator[Finding]:
    """One finding on calvin_env, for CALVIN's scenes, and one on calvin, for its sentences.

    Args:
        calvin_env: A checkout of calvin_env named by the user; it is a failure if it cannot be used. None searches for
            one; it is no failure if there is none.
    """
    yield _calvin_env(calvin_env)
    yield _calvin(calvin_env)


def _calvin_env(named: Path | None) -> Finding:
    name, is_needed = "checkout of calvin_env", named is not None
    try:
        checkout = find_calvin_env(named)
        scenes = [load_scene(scene, checkout.root) for scene in CALVIN_SCENES]
    except CheckoutNotFoundError as error:
        return Finding(name, MISSING, "none found; the embedded scene needs none", str(error), is_needed)
    except CheckoutError as error:
        return Finding(name, FAILED, "CALVIN's scenes cannot be used", str(error), is_needed)
    changed = [scene.name for scene in scenes if scene.digest() != ASSET_DIGESTS[scene.name]]
    detail = f"{checkout}, scenes {', '.join(CALVIN_SCENES)} are complete"
    if changed:
        detail += f"; files of {', '.join(changed)} are not those of {FOLLOWED_REVISION}: such runs are not official"
    return Finding(name, OK, detail, is_needed=is_needed)


def _calvin(calvin_env: Path | None) -> Finding:
    name = "checkout of calvin"
    try:
        instructions = load_instructions(CALVIN, calvin_env=calvin_env)
    except CheckoutNotFoundError as error:
        return Finding(name, MISSING, "none found; our own sentences need none", str(error), is_needed=False)
    except CheckoutError as error:
        return Finding(name, FAILED, "CALVIN's sentences cannot be used", str(error), is_needed=False)
    detail = f"{find_calvin(calvin_env=calvin_env)}, CALVIN's sentences for {len(instructions.seen)} tasks"
    return Finding(name, OK, detail, is_needed=False)
