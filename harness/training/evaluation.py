"""Chains that are run with the checkpoints of a training: on which world, and by whom."""

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
from calvinbench.policies.training.trainer import find_checkpoint

EVALUATION_FOLDER = "evaluation"


@dataclass(frozen=True, slots=True)
class EvaluationWorld:
    """Where chains are run: the world of the data, as far as that is known.

    Attributes:
        scene: The scene's name.
        calvin_env: The checkout of calvin_env for CALVIN's scenes; None looks for one.
        renderer: Who draws; None for the default.
        depth_bits: Of our renderer's depth buffer; None for what suits the scene.
    """

    scene: str
    calvin_env: str | None = None
    renderer: str | None = None
    depth_bits: int | None = None


def evaluation_world(
    data: Mapping[str, Any], scene: str | None = None, calvin_env: str | None = None
) -> EvaluationWorld:
    """The world that chains are run on.

    Args:
        data: What is known of the data, as `Training.notes` has it.
        scene: The scene that was asked for; None for that of the data.
        calvin_env: See `EvaluationWorld`.

    Raises:
        TrainingCallError: No scene was asked for, and the data are of several, or do not say of which.
    """
    known = data.get("scene")
    if scene is None and known not in SCENES:
        said = "do not say which scene they are of" if known is None else f"are of {known}"
        raise TrainingCallError(
            f"expected to know on which scene chains are to be run, but the data {said}. Say --evaluate-scene, one of "
            f"{', '.join(SCENES)} (CALVIN evaluates on D), or --evaluate-every 0 to run none."
        )
    renderer = data.get("renderer") if data.get("renderer") in RENDERERS else None
    depth_bits = data.get("depth_bits") if renderer == OPENGL_LOOK else None
    return EvaluationWorld(str(scene or known), calvin_env, renderer, depth_bits)


class ChainEvaluator:
    """Runs published chains with a checkpoint every so many steps, and keeps the runs as `calvinbench run` does."""

    def __init__(self, folder: Path, every: int, num_chains: int, num_worlds: int, world: EvaluationWorld) -> None:
        """Takes what is to be run.

        Args:
            folder: The training's.
            every: Steps between evaluations.
            num_chains: How many of the published chains, from the first.
            num_worlds: Worlds stepped at once.
            world: Where.
        """
        self._folder, self._every, self._num_chains, self._num_worlds = folder, every, num_chains, num_worlds
        self._world = world

    def require_runnable(self, traits: PolicyTraits) -> None:
        """Makes the world and reads the sentences, so that what is missing is said before the first step.

        Args:
            traits: Of the policy.

        Raises:
            TrainingCallError: There are not so many chains.
            CheckoutError: The scene is CALVIN's, and its checkout is missing, not whole or damaged.
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
        """Nothing to be done."""

    def logged(self, line: LogLine) -> None:
        """Nothing to be done."""

    def saved(self, training: Training, step: int) -> float | None:
        """The average length of the chains, None where none are due."""
        if step % self._every and step != training.num_steps:
            return None
        from calvinbench.harness.analysis.summaries import summarize
        from calvinbench.harness.evaluation.evaluation import evaluate_suite
        from calvinbench.harness.records.run_directory import RunMismatchError

        suite = self._suite(step)
        try:
            (run,) = evaluate_suite(suite)
        except RunMismatchError:  # of a training that was begun anew in this folder
            shutil.rmtree(suite.out)
            (run,) = evaluate_suite(suite)
        return float(summarize(run).average_length.value)

    def ended(self) -> None:
        """Nothing to be done."""

    def _suite(self, step: int) -> Suite:
        """What is run after a step."""
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
