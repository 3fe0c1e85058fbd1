"""Evaluates the checkpoints of a training on published chains."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from calvinbench.envs import chains
from calvinbench.envs.cameras.renderers import OPENGL_LOOK, RENDERERS
from calvinbench.envs.instructions import load_instructions
from calvinbench.envs.scenes.scene import SCENES
from calvinbench.harness.rollout.workers import make_play_table
from calvinbench.harness.suite.suite import Suite
from calvinbench.harness.training.call import TrainingCallError
from calvinbench.policies.policy import PolicyTraits
from calvinbench.policies.training.log import LogLine
from calvinbench.policies.training.preparation import Training
from calvinbench.policies.training.saved_state import find_checkpoint

EVALUATION_FOLDER = "evaluation"


@dataclass(frozen=True, slots=True)
class EvaluationWorld:
    """The world for evaluations: that of the data, as far as it is known.

    Attributes:
        scene: The scene's name.
        calvin_env: The checkout of calvin_env for CALVIN's scenes; None searches for one.
        renderer: The renderer; None for the default.
        depth_bits: Bits of our renderer's depth buffer; None for the scene's default.
    """

    scene: str
    calvin_env: str | None = None
    renderer: str | None = None
    depth_bits: int | None = None


def evaluation_world(
    data: Mapping[str, Any], scene: str | None = None, calvin_env: str | None = None
) -> EvaluationWorld:
    """Chooses the world for evaluations.

    Args:
        data: Notes on the data, from `Training.notes`.
        scene: The requested scene; None for the scene of the data.
        calvin_env: See `EvaluationWorld`.

    Raises:
        TrainingCallError: No scene was requested, and the data have several scenes or do not name one.
    """
    known = data.get("scene")
    if scene is None and known not in SCENES:
        said = "do not name their scene" if known is None else f"are from {known}"
        raise TrainingCallError(
            f"the scene for evaluations is not known, because the data {said}. Add --evaluate-scene, one of "
            f"{', '.join(SCENES)} (CALVIN evaluates on D), or --evaluate-every 0 for no evaluations."
        )
    renderer = data.get("renderer") if data.get("renderer") in RENDERERS else None
    depth_bits = data.get("depth_bits") if renderer == OPENGL_LOOK else None
    return EvaluationWorld(str(scene or known), calvin_env, renderer, depth_bits)


class ChainEvaluator:
    """Runs published chains with the checkpoint at regular steps, and saves the runs as `calvinbench run` does."""

    def __init__(self, folder: Path, every: int, num_chains: int, num_worlds: int, world: EvaluationWorld) -> None:
        """Takes the settings of the evaluations.

        Args:
            folder: The training's folder.
            every: Steps between evaluations.
            num_chains: Number of chains: the first ones of the published chains.
            num_worlds: Worlds stepped at once.
            world: The world.
        """
        self._folder, self._every, self._num_chains, self._num_worlds = folder, every, num_chains, num_worlds
        self._world = world

    def require_runnable(self, traits: PolicyTraits) -> None:
        """Makes the world and reads the instructions, so that errors are reported before the first training step.

        Args:
            traits: The policy's traits.

        Raises:
            TrainingCallError: More chains are requested than were published.
            CheckoutError: The scene is CALVIN's, and its checkout is missing, incomplete or damaged.
            RunFailedError: The renderer does not work on this machine.
        """
        if self._num_chains > len(chains.published()):
            raise TrainingCallError(
                f"expected evaluate_chains of at most {len(chains.published())}, the published ones, got "
                f"{self._num_chains}."
            )
        (settings,) = self._suite(0).runs
        load_instructions(settings.instructions, settings.scene, settings.calvin, settings.calvin_env)
        make_play_table(settings, traits).close()

    def began(self, training: Training) -> None:
        """Does nothing."""

    def logged(self, line: LogLine) -> None:
        """Does nothing."""

    def saved(self, training: Training, step: int) -> float | None:
        """Runs chains if they are due, and returns their average length; None otherwise."""
        if step % self._every and step != training.num_steps:
            return None
        from calvinbench.harness.analysis.summaries import summarize
        from calvinbench.harness.evaluation.suite_evaluation import evaluate_suite
        from calvinbench.harness.records.run_directory import RunMismatchError

        suite = self._suite(step)
        try:
            (run,) = evaluate_suite(suite)
        except RunMismatchError:  # left by a previous training in this folder
            shutil.rmtree(suite.out)
            (run,) = evaluate_suite(suite)
        return float(summarize(run).average_length.value)

    def ended(self) -> None:
        """Does nothing."""

    def _suite(self, step: int) -> Suite:
        """The suite to run after a step."""
        return Suite.of(
            policy=(f"checkpoint:{find_checkpoint(self._folder)}",),
            scene=self._world.scene,
            calvin_env=self._world.calvin_env,
            renderer=self._world.renderer,
            depth_bits=self._world.depth_bits,
            chains=self._num_chains,
            worlds=self._num_worlds,
            out=self._folder / EVALUATION_FOLDER / f"step_{step:08d}",
        )
