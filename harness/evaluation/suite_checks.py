"""Checks whether a suite can be run, before anything is written and before models are loaded."""

from pathlib import Path

from calvinbench.envs import chains as chain_lists
from calvinbench.envs.cameras.renderers import RENDERERS
from calvinbench.envs.instructions import INSTRUCTIONS, is_instructions_file, load_instructions
from calvinbench.envs.names import require_name
from calvinbench.envs.simulation import RUN_SIMULATIONS
from calvinbench.envs.task_chains import single_task_chains
from calvinbench.envs.tasks import TASKS
from calvinbench.harness.evaluation.problems import Problems
from calvinbench.harness.execution.ray_cluster import RayOptions, require_answer, require_ray
from calvinbench.harness.rollout.videos import VideoSettings, require_encoder
from calvinbench.harness.rollout.workers import require_working_renderer
from calvinbench.harness.suite.reading import STUDY_FOLDER
from calvinbench.harness.suite.suite import EXECUTORS, LOCAL, Suite


def require_known_names(suite: Suite) -> None:
    """Raises an error for unknown names, unusable checkouts and too many chains.

    All problems are reported together.

    Raises:
        ProblemsError: There are several problems, at least one of them with the call.
        FailedProblemsError: There are several problems, all of them with this machine.
        UnknownNameError: There is no such scene, simulation, renderer, instruction set or policy.
        RunFailedError: The renderer does not work on this machine; Ray is not installed, or does not answer.
        CheckoutError: A checkout of CALVIN is needed, and is missing, incomplete or damaged.
        ValueError: A policy's spec cannot be read, settings contradict each other, there are not enough chains, or a
            file of instructions lacks some chains.
    """
    problems = Problems()
    with problems.collected():
        require_name(suite.settings.simulation, RUN_SIMULATIONS, "simulation")
    for policy in suite.policy:
        with problems.collected(policy):
            _require_policy(policy)
    num_chains = _num_chains(suite, problems)
    _require_worlds(suite, num_chains, problems)
    with problems.collected():
        options = ray_options(suite)
        if options is not None:
            require_ray()
            require_answer(options)
    if suite.videos is not None:
        with problems.collected():
            VideoSettings(suite.out, str(suite.videos))
        with problems.collected():
            require_encoder()
    problems.require_none()


def _require_policy(policy: str) -> None:
    from calvinbench.policies.backbones.names import backbone_import_string
    from calvinbench.policies.registry import PolicySpec, require_kind

    spec = PolicySpec.parse(policy)
    require_kind(spec)
    if spec.kind == "untrained" and spec.argument is not None:
        backbone_import_string(spec.argument)
    if spec.kind == "checkpoint" and spec.argument is not None:
        require_checkpoint_folder(spec.argument)


def require_checkpoint_folder(argument: str) -> None:
    """Raises an error, without importing torch, if a checkpoint is neither a folder nor the name of a shipped one.

    Raises:
        CheckpointError: There is no such checkpoint.
    """
    from calvinbench.policies.learned.checkpoint_folder import CheckpointError, checkpoint_folder

    try:
        checkpoint_folder(argument)
    except CheckpointError as error:
        if Path(argument).parts[:1] != ("comparison",) or Path(argument).exists():
            raise
        raise CheckpointError(
            f"{error} It belongs to the study in {STUDY_FOLDER} of calvinbench's repository: "
            "docs/study/backbones.sh there trains it."
        ) from error


def _num_chains(suite: Suite, problems: Problems) -> int | None:
    """How many chains are run; None if that cannot be known."""
    num_before, settings = problems.count, suite.settings
    for task in settings.tasks:
        with problems.collected():
            require_name(task, TASKS, "task")
    num_published = len(chain_lists.published())
    with problems.collected():
        if settings.chains > num_published:
            raise ValueError(f"expected chains of at most {num_published}, the published ones, got {settings.chains}.")
    if problems.count > num_before:
        return None
    return len(single_task_chains(settings.tasks, settings.chains)) if settings.tasks else settings.chains


def _require_worlds(suite: Suite, num_chains: int | None, problems: Problems) -> None:
    """Checks scenes, renderer and instructions."""
    from calvinbench.envs.scenes.loading import load_scene
    from calvinbench.envs.scenes.scene import SCENES

    if suite.settings.renderer is not None:
        with problems.collected():
            require_name(suite.settings.renderer, tuple(RENDERERS), "renderer")
            require_working_renderer(suite.settings.renderer)
    scenes = []
    for scene in suite.values("scene"):
        with problems.collected():
            require_name(scene, SCENES, "scene")
            load_scene(scene, suite.settings.calvin_env)
            scenes.append(scene)
    for instructions in suite.values("instructions"):
        num_before = problems.count
        if not is_instructions_file(instructions):
            with problems.collected():
                require_name(instructions, INSTRUCTIONS, "instruction set")
        for scene in scenes if problems.count == num_before else ():
            with problems.collected():
                loaded = load_instructions(instructions, scene, suite.settings.calvin, suite.settings.calvin_env)
                if num_chains is not None:
                    loaded.require_chains(num_chains)


def ray_options(suite: Suite) -> RayOptions | None:
    """What a suite asks of a Ray cluster; None if it runs on this machine.

    Raises:
        UnknownNameError: There is no such executor.
        ValueError: The suite has settings that its executor cannot use.
    """
    asked = {
        name: getattr(suite, name)
        for name in ("ray_address", "cpus_per_replica", "gpus_per_replica")
        if getattr(suite, name) is not None
    }
    if require_name(suite.executor, EXECUTORS, "executor") == LOCAL:
        if asked:
            raise ValueError(f"expected executor ray beside {', '.join(asked)}, got {LOCAL}. Add --executor ray.")
        return None
    if suite.videos is not None:
        raise ValueError(
            "expected no videos with executor ray, because the machines of a cluster write no files. Remove either."
        )
    return RayOptions(**{name.removeprefix("ray_"): value for name, value in asked.items()})
