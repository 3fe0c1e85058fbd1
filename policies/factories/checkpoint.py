"""`checkpoint:FOLDER`: a policy from a checkpoint."""

from collections.abc import Mapping
from dataclasses import fields, replace

from calvinbench.policies.baselines.deprived import DeprivedPolicy
from calvinbench.policies.demonstrations.calvin_scenes import require_scenes
from calvinbench.policies.factories.checkpoint_settings import CheckpointSettings
from calvinbench.policies.image_facts import ImageFacts
from calvinbench.policies.learned.checkpoint import Checkpoint, load_checkpoint
from calvinbench.policies.learned.checkpoint_folder import checkpoint_folder
from calvinbench.policies.learned.usage import Usage, with_memory
from calvinbench.policies.learned.vlm_lstm_policy import VLMLSTMPolicy
from calvinbench.policies.policy import TrainedOn
from calvinbench.policies.spec import require_argument


def make_checkpoint_policy(
    argument: str | None,
    settings: CheckpointSettings = CheckpointSettings(),  # noqa: B008  frozen
) -> VLMLSTMPolicy | DeprivedPolicy:
    """Makes `checkpoint:FOLDER`; memory and chunk rule are by default those it was trained with.

    Args:
        argument: The folder, or the name of one of `shipped.shipped_policies`.
        settings: How it is used.

    Raises:
        CheckpointError: The folder has no checkpoint, or one that does not fit.
        PolicySpecError: A setting cannot be used.
    """
    folder = require_argument("checkpoint", argument, "a checkpoint's folder, or a shipped policy's name")
    usage = Usage.of(settings)
    checkpoint = load_checkpoint(checkpoint_folder(folder))
    policy = VLMLSTMPolicy(
        checkpoint.model,
        with_memory(checkpoint.config, settings),
        usage,
        checkpoint.digest,
        _trained_on(checkpoint, settings.trained_on),
    )
    if settings.blank_images or settings.no_instruction:
        return DeprivedPolicy(policy, blank_images=settings.blank_images, no_instruction=settings.no_instruction)
    return policy


def _trained_on(checkpoint: Checkpoint, scenes: str | None) -> TrainedOn | None:
    """What the checkpoint's notes say about its training; the scenes are those of the spec, if it names any."""
    known = _noted(checkpoint)
    return known if scenes is None else replace(known or TrainedOn(), scene=require_scenes(scenes, "trained_on"))


def _noted(checkpoint: Checkpoint) -> TrainedOn | None:
    data, training = checkpoint.notes.get("data"), checkpoint.notes.get("training")
    if not isinstance(data, Mapping):
        return None
    said = {**training, **data} if isinstance(training, Mapping) else data
    images = ImageFacts.read(checkpoint.notes.get("images"))
    names = [field.name for field in fields(TrainedOn) if field.name != "images"]
    return TrainedOn(**{name: said.get(name) for name in names}, images=images)
