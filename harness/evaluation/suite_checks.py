"""Whether a suite can be run, looked at before anything heavy is made or written."""

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
    """Refuses unknown names, checkouts that cannot be used, and too many chains, before anything heavy is made.

    All that is wrong is said at once.

    Raises:
        ProblemsError: Several things are wrong, and at least one lies with the call.
        FailedProblemsError: Several things are wrong, and all lie with this machine.
        UnknownNameError: There is no such scene, simulation, renderer, instruction set or policy.
        RunFailedError: The renderer does not work on this machine; Ray is not installed, or does not answer.
        CheckoutError: A checkout of CALVIN is needed, and is missing, not whole or damaged.
        ValueError: A policy's spec cannot be read, settings contradict each other, there are fewer chains, or a file of
            sentences has none for some of them.
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
    """Refuses a checkpoint that is neither a folder nor the name of one that ships, before torch is imported.

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
            f"{error} It belongs to the study in {STUDY_FOLDER} of calvinbench's repository: docs/backbones.sh there "
            "trains it."
        ) from error


def _num_chains(suite: Suite, problems: Problems) -> int | None:
    """How many chains are run; None where that cannot be known."""
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
    """Scenes, renderer and sentences."""
    from calvinbench.envs.scenes.scene import SCENES, load_scene

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
    """What a suite asks of a Ray cluster; None where it runs on this machine.

    Raises:
        UnknownNameError: There is no such executor.
        ValueError: The suite asks for something that its executor cannot do.
    """
    asked = {
        name: getattr(suite, name)
        for name in ("ray_address", "cpus_per_replica", "gpus_per_replica")
        if getattr(suite, name) is not None
    }
    if require_name(suite.executor, EXECUTORS, "executor") == LOCAL:
        if asked:
            raise ValueError(f"expected executor ray beside {', '.join(asked)}, got {LOCAL}. Say --executor ray.")
        return None
    if suite.videos is not None:
        raise ValueError("expected no videos with executor ray: machines of a cluster write no files. Leave one out.")
    return RayOptions(**{name.removeprefix("ray_"): value for name, value in asked.items()})
