"""Whether a suite can be run, looked at before anything heavy is made or written."""

from calvinbench.envs import chains as chain_lists
from calvinbench.envs.instructions import INSTRUCTIONS, is_instructions_file, load_instructions
from calvinbench.envs.names import require_name
from calvinbench.envs.renderers import RENDERERS
from calvinbench.envs.simulation import RUN_SIMULATIONS
from calvinbench.envs.task_chains import single_task_chains
from calvinbench.envs.tasks import TASKS
from calvinbench.harness.ray_cluster import RayOptions, require_answer, require_ray
from calvinbench.harness.suite import EXECUTORS, LOCAL, Suite
from calvinbench.harness.videos import VideoSettings, require_encoder
from calvinbench.harness.workers import require_working_renderer


def require_known_names(suite: Suite) -> None:
    """Refuses unknown names, checkouts that cannot be used, and too many chains, before anything heavy is made.

    Raises:
        UnknownNameError: There is no such scene, simulation, renderer, instruction set or policy.
        RunFailedError: The renderer does not work on this machine; Ray is not installed, or does not answer.
        CheckoutError: A checkout of CALVIN is needed, and is missing, not whole or damaged.
        ValueError: A policy's spec cannot be read, settings contradict each other, there are fewer chains, or a file of
            sentences has none for some of them.
    """
    require_name(suite.simulation, RUN_SIMULATIONS, "simulation")
    _require_policies(suite)
    for task in suite.tasks:
        require_name(task, TASKS, "task")
    num_published = len(chain_lists.published())
    if suite.chains > num_published:
        raise ValueError(f"expected chains of at most {num_published}, the published ones, got {suite.chains}.")
    _require_worlds(suite)
    options = ray_options(suite)
    if options is not None:
        require_ray()
        require_answer(options)
    if suite.videos is not None:
        require_encoder()
        VideoSettings(suite.out, str(suite.videos))


def _require_policies(suite: Suite) -> None:
    from calvinbench.policies.backbones.names import backbone_import_string
    from calvinbench.policies.checkpoint_folder import checkpoint_folder
    from calvinbench.policies.registry import POLICY_KINDS, PolicySpec

    for spec in map(PolicySpec.parse, suite.policy):
        require_name(spec.kind, POLICY_KINDS, "policy kind")
        if spec.kind == "untrained" and spec.argument is not None:
            backbone_import_string(spec.argument)
        if spec.kind == "checkpoint" and spec.argument is not None:
            checkpoint_folder(spec.argument)


def _require_worlds(suite: Suite) -> None:
    """Scenes, renderer and sentences."""
    from calvinbench.envs.scene import SCENES, load_scene

    for scene in suite.values("scene"):
        require_name(scene, SCENES, "scene")
    for instructions in suite.values("instructions"):
        if not is_instructions_file(instructions):
            require_name(instructions, INSTRUCTIONS, "instruction set")
    if suite.renderer is not None:
        require_name(suite.renderer, tuple(RENDERERS), "renderer")
        require_working_renderer(suite.renderer)
    num_chains = len(single_task_chains(suite.tasks, suite.chains)) if suite.tasks else suite.chains
    for scene in suite.values("scene"):
        load_scene(scene, suite.calvin_env)
        for instructions in suite.values("instructions"):
            load_instructions(instructions, scene, suite.calvin, suite.calvin_env).require_chains(num_chains)


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
