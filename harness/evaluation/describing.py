"""Describes a run for `run.json`: settings, policy, world and chains."""

import json
import logging
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from calvinbench.envs import chains as chain_lists
from calvinbench.envs.chains import Chain
from calvinbench.envs.instructions import InstructionSet
from calvinbench.envs.world import traits_of
from calvinbench.harness.evaluation.chosen_chains import chain_length_of, num_chains_of
from calvinbench.harness.evaluation.conventions import ConventionMismatchError, require_runnable_worker
from calvinbench.harness.records.description import RunDescription, judge_official, unlike_training
from calvinbench.harness.records.reference_frame import digest_of_images, reference_images
from calvinbench.harness.rollout.workers import Worker, camera_sizes_of
from calvinbench.harness.suite.declared_policy import NOT_TRAINED
from calvinbench.harness.suite.settings import RunSettings
from calvinbench.policies.adapters.source_digest import source_digest
from calvinbench.policies.image_facts import facts_of_images
from calvinbench.policies.policy import PolicyTraits, TrainedOn
from calvinbench.policies.spec import kind_of

_logger = logging.getLogger(__name__)


def described_if_runnable(worker: Worker, all_chains: Sequence[Chain], suite: str | None) -> RunDescription:
    """The description of a run whose policy, world and sentences fit together.

    Args:
        worker: With the run's settings, policy and world. The world is reset.
        all_chains: The list of which the first chains are run.
        suite: Name of the suite that the run belongs to; None for none.

    Raises:
        ConventionMismatchError: Policy and world do not fit together, or policy and suite contradict each other.
        ValueError: Sentences are missing for some chains, or the policy cannot serve a batch of this size.
    """
    require_runnable_chains(worker, all_chains)
    return describe(worker.setup.settings, worker, all_chains, suite)


def require_runnable_chains(worker: Worker, all_chains: Sequence[Chain]) -> None:
    """Raises an error if a worker cannot run the first chains of a list. See `described_if_runnable`."""
    settings = worker.setup.settings
    num_chains = num_chains_of(settings, all_chains)
    require_runnable_worker(worker, settings, num_chains, chain_length_of(all_chains[:num_chains]))


def describe(settings: RunSettings, worker: Worker, all_chains: Sequence[Chain], suite: str | None) -> RunDescription:
    """What `run.json` says of a run, except for its sessions.

    Args:
        settings: Of the run.
        worker: With the run's policy and world. The world is reset.
        all_chains: The list of which the first chains are run.
        suite: Name of the suite that the run belongs to; None for none.

    Raises:
        ConventionMismatchError: Policy and suite contradict each other about the policy's training.
    """
    traits = worker.policy.traits
    world, of_world = worker.world.unwrapped, traits_of(worker.world)
    instructions = worker.instructions
    num_chains = num_chains_of(settings, all_chains)
    chain_digest = chain_lists.digest(all_chains[:num_chains])
    images = reference_images(worker.world)
    frame_digest = digest_of_images(images)
    unlike = unlike_training(
        traits.trained_on,
        scene=settings.scene,
        asset_digest=of_world.asset_digest,
        renderer=of_world.renderer,
        depth_bits=of_world.depth_bits,
        reference_frame=frame_digest,
        images=facts_of_images(images),
    )
    if unlike:
        _logger.warning("%s was trained on another world than this: %s.", traits.label, "; ".join(unlike))
    return RunDescription(
        suite=suite,
        policy=settings.policy,
        label=traits.label,
        variant=settings.variant,
        action_convention=str(traits.action_convention),
        observation_keys=traits.observation_keys,
        may_read=traits.may_read,
        chunk_length=traits.chunk_length,
        chunk_rule=traits.chunk_rule,
        weights_digest=traits.weights_digest,
        source_digest=source_digest(settings.policy, worker.policy),
        privileged=traits.privileged,
        memory=traits.memory,
        official=judge_official(
            traits,
            scene=settings.scene,
            asset_digest=of_world.asset_digest,
            is_published_list=chain_digest == chain_lists.digest(chain_lists.published()[:num_chains]),
            num_chains=num_chains,
            max_steps=settings.max_steps,
            instructions=instructions.name,
            renderer=of_world.renderer,
            camera_sizes=camera_sizes_of(settings),
        ),
        world=f"{type(world).__module__}:{type(world).__qualname__}",
        scene=settings.scene,
        asset_digest=of_world.asset_digest,
        calvin_env=of_world.calvin_env,
        simulation=of_world.simulation or settings.simulation,
        renderer=of_world.renderer,
        depth_bits=of_world.depth_bits,
        reference_frame=frame_digest,
        **training_of(settings, traits),
        unlike_training=unlike,
        chains=num_chains,
        tasks=settings.tasks,
        chain_digest=chain_digest,
        chain_length=chain_length_of(all_chains[:num_chains]),
        static_size=settings.static_size,
        gripper_size=settings.gripper_size,
        max_steps=settings.max_steps,
        instructions=instructions.name,
        instruction_digest=_digest(instructions),
        seed=settings.seed,
        batch_size=settings.batch_size,
    )


def training_of(settings: RunSettings, traits: PolicyTraits) -> dict[str, Any]:
    """The policy's training, from the policy itself or, for trained policies, as declared in the suite.

    Raises:
        ConventionMismatchError: Policy and suite contradict each other.
    """
    known = traits.trained_on or TrainedOn()
    stated = {"train": known.scene, "training_seed": known.seed, "training_recipe": known.recipe}
    if traits.privileged or kind_of(settings.policy) in NOT_TRAINED:
        return stated
    for name, value in stated.items():
        declared = getattr(settings, name)
        if declared is not None and value not in (None, declared):
            raise ConventionMismatchError(
                f"expected {name} to be '{value}', which '{traits.label}' says that it was trained on, got "
                f"'{declared}'. Leave it out; a suite may declare it for others alone: {{policy: SPEC, train: ...}}. "
                f"If the checkpoint is wrong, say so in its spec: checkpoint:FOLDER,trained_on={declared}."
                if name == "train"
                else f"expected {name} to be '{value}', as '{traits.label}' says, got '{declared}'. Leave it out."
            )
    return {name: value if value is not None else getattr(settings, name) for name, value in stated.items()}


def _digest(instructions: InstructionSet) -> str:
    """SHA-256 of all instructions that may occur: a task's canonical one, or a list where wordings are drawn."""
    found = instructions.sentences()
    one = frozenset[str]() if instructions.draws_wordings else instructions.seen.keys()
    sentences = {key: found[key][0] if key in one else list(found[key]) for key in sorted(found)}
    return sha256(json.dumps(sentences, ensure_ascii=False).encode()).hexdigest()
