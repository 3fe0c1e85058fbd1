"""Runs a training from its settings to its last checkpoint: opens data, makes the policy, takes and reports steps."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace

from calvinbench.envs.instructions import OURS, embedded_instructions
from calvinbench.harness import clock
from calvinbench.harness.data_check.before_training import require_trainable
from calvinbench.harness.records.folders import locked_folder, make_folder
from calvinbench.harness.rollout.workers import make_policy_by_spec
from calvinbench.harness.training.call import TrainingCall, TrainingCallError
from calvinbench.harness.training.data import open_validation
from calvinbench.harness.training.evaluation import ChainEvaluator, evaluation_world
from calvinbench.harness.training.idle import refuse_idle
from calvinbench.harness.training.report import FigureWriter, TensorBoardWriter, TrainingProgress
from calvinbench.harness.training.resume import DataNow, TrainingMismatchError, read_training_file, resume
from calvinbench.harness.training.smoke import with_fitting_window
from calvinbench.policies.demonstrations.demonstrations import Demonstrations
from calvinbench.policies.demonstrations.fingerprint import fingerprint
from calvinbench.policies.demonstrations.opening import TRAINING, VALIDATION, open_data
from calvinbench.policies.demonstrations.required_tasks import require_tasks
from calvinbench.policies.learned.trainable import GroupCount, count_parameters
from calvinbench.policies.learned.vlm_lstm_policy import VLMLSTMPolicy
from calvinbench.policies.policy import PolicyTraits
from calvinbench.policies.training.acceleration import make_accelerator
from calvinbench.policies.training.preparation import Training, prepare
from calvinbench.policies.training.recipe.origin import PolicyOrigin, digest_of_weights, policy_origin, weights_folder
from calvinbench.policies.training.settings import Sentences, TrainingSettings
from calvinbench.policies.training.subscriber import Subscriber
from calvinbench.policies.training.trainer import Trainer

__all__ = ["TrainingMismatchError", "train"]


def train(call: TrainingCall, tell: Callable[[str], None], subscribers: Sequence[Subscriber] = ()) -> Training:
    """Trains a policy, or resumes a stopped training with the same settings.

    Args:
        call: The settings.
        tell: Shows a message to the user.
        subscribers: Further subscribers, besides the harness's own.

    Returns:
        The training.

    Raises:
        ValueError: Settings do not fit together, or the scene for evaluations is unknown; nothing was changed.
        CheckoutError: Evaluations need CALVIN's scene, and its checkout is missing, incomplete or damaged.
        TrainingError: Memory ran out or a loss is not finite; the last state is kept.
        RunLockedError: Another process trains in the folder.
    """
    settings = call.settings
    data, validation = open_data(settings.data, TRAINING), open_validation(call)
    require_tasks(settings.tasks, data)
    warnings = require_trainable(data, validation, settings.tasks, settings.data_scenes)
    now = DataNow(fingerprint(data, TRAINING), None if validation is None else fingerprint(validation, VALIDATION))
    accelerator = make_accelerator(settings.optimization.precision, call.device)
    policy = make_policy_by_spec(settings.policy, None)
    if not isinstance(policy, VLMLSTMPolicy):
        raise TrainingCallError(
            f"expected a learned policy, got '{settings.policy}'. Write untrained:BACKBONE or checkpoint:FOLDER, "
            "without 'label', 'blank_images' and 'no_instruction'."
        )
    if call.smoke:
        settings = with_fitting_window(settings, policy.config.memory, data)
    origin = _origin(settings, policy) if accelerator.is_main_process else PolicyOrigin(settings.policy)
    training = prepare(
        settings, policy.model, policy.config, data, validation, _sentences(data), accelerator.num_processes
    )
    training = replace(training, origin=origin.spec)
    refuse_idle(call, training)
    evaluator = _evaluator(call, training, policy.traits) if accelerator.is_main_process else None
    with ExitStack() as held:
        if accelerator.is_main_process:
            make_folder(settings.out)
            held.enter_context(locked_folder(settings.out))
            resumed = resume(training, now, origin, accepts_changed_data=call.accept_changed_data)
            training = resumed.training
            tell(_in_words(training))
            for sentence in (*resumed.said, *(f"WARNING: {words}" for words in warnings)):
                tell(sentence)
        trainer = Trainer(training, accelerator, clock.seconds)
        trainer.run((*_own_subscribers(call, evaluator), *subscribers))
    return training


def _origin(settings: TrainingSettings, policy: VLMLSTMPolicy) -> PolicyOrigin:
    """The policy that the training begins with.

    A resumed training loads its weights from its state, so the original folder is not read again.
    """
    before = read_training_file(settings.out)
    if before is not None and not before.get("knows_origin", False):
        return PolicyOrigin(before.get("origin") or before["settings"]["policy"], is_known=False)
    place = weights_folder(settings.policy)
    if place is None:
        digest = None
    elif before is not None and before["weights_digest"] and weights_folder(before["settings"]["policy"]) == place:
        digest = str(before["weights_digest"])
    else:
        digest = policy.traits.weights_digest or digest_of_weights(policy.model.backbone)
    return PolicyOrigin(policy_origin(settings.policy, lambda: str(digest)), digest)


def _own_subscribers(call: TrainingCall, evaluator: ChainEvaluator | None) -> tuple[Subscriber, ...]:
    out = call.settings.out
    own: tuple[Subscriber, ...] = (TrainingProgress(), FigureWriter(out), TensorBoardWriter(out))
    return own if evaluator is None else (*own, evaluator)


def _evaluator(call: TrainingCall, training: Training, traits: PolicyTraits) -> ChainEvaluator | None:
    """The evaluator, after a test of its world; None if there are no evaluations."""
    if not call.evaluate_every:
        return None
    world = evaluation_world(training.notes["data"], call.evaluate_scene, call.calvin_env)
    evaluator = ChainEvaluator(
        call.settings.out, call.evaluate_every, call.evaluate_chains, call.evaluate_worlds, world
    )
    evaluator.require_runnable(traits)
    return evaluator


def _sentences(data: Demonstrations) -> Sentences:
    """Training sentences by task: our own, or all sentences of the data set."""
    if data.description.details.get("instructions") == OURS:
        return dict(embedded_instructions().seen)
    sentences: dict[str, dict[str, None]] = {}
    for annotation in data.annotations:
        sentences.setdefault(annotation.task, {})[annotation.instruction] = None
    return {task: tuple(found) for task, found in sentences.items()}


def _windows_in_words(training: Training) -> str:
    """Describes how windows are cut, and how many frames they reach."""
    size, stride = training.settings.optimization.window_size, training.settings.optimization.window_stride
    if training.config.memory.span == "unbounded":
        cut = f"at most {size} frames, from the start of each"
    elif stride is None:
        cut = f"{size} frames, as many as cover them once"
    else:
        cut = f"{size} frames, one every {'frame' if stride == 1 else f'{stride} frames'}"
    return f"{cut}, which reach {100 * training.windows.reach:.3g}% of the frames"


def _in_words(training: Training) -> str:
    """Describes the training: parameters, data, batches and steps."""
    from tabulate import tabulate

    plan, windows = training.plan, training.windows
    counts = count_parameters(training.model)
    rows = [(name, count.total, count.trained) for name, count in counts.items() if count.total]
    total = GroupCount(sum(c.total for c in counts.values()), sum(c.trained for c in counts.values()))
    rows.append(("all", total.total, total.trained))
    table = tabulate(rows, ("parameters of", "all", "trained"), "github", intfmt=",")
    return (
        f"{table}\n\n{len(windows.annotations)} demonstrations, {windows.num_frames} frames, {len(windows)} windows of "
        f"{_windows_in_words(training)}. Effective batch: {plan.batch_size} windows x "
        f"{plan.accumulation_steps} accumulated x {plan.num_processes} processes = {plan.effective_batch_size}. "
        f"{training.num_steps} steps, {plan.steps_per_epoch} an epoch (each window once). Memory "
        f"{training.config.memory.span}, "
        f"{'with' if training.config.proprioception else 'without'} proprioception."
    )
