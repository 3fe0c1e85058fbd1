"""`evaluate` for scripts and notebooks: a policy object, a policy spec or a `WorkerSetup`."""

import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from calvinbench.envs.chains import Chain
from calvinbench.envs.names import require_name
from calvinbench.envs.system.child_process import PRELOADED
from calvinbench.harness.records.run_directory import RUN_FILE
from calvinbench.harness.records.runs import Run
from calvinbench.harness.rollout.workers import WorkerSetup, WorldFactory, make_play_table
from calvinbench.harness.suite.settings import RunSettings, folder_name
from calvinbench.policies.policy import Policy

PRELOADED.append(__name__)

OBJECT_KIND = "object"
"""Kind in the spec of a policy that was given as an object, such as `object:my_module:MyPolicy`."""
_RUN_OPTIONS = ("suite", "shard", "ray", "isolated", "retry_errored", "fail_fast", "subscribers")
_ONLY_FOR_SPECS = ("shard", "ray", "isolated", "retry_errored")
"""Options that need a policy that can be made again elsewhere or later."""
_CALVINS_METHODS = ("reset", "step")


def evaluate(
    policy: Any,
    directory: Path | str | None = None,
    *,
    chains: int | Sequence[Chain] | None = None,
    worlds: int = 1,
    label: str | None = None,
    overwrite: bool = False,
    progress: bool = True,
    make_world: WorldFactory = make_play_table,
    **settings: Any,
) -> Run:
    """Runs a policy on chains of tasks, and keeps the run as `calvinbench run` does.

    Such as::

        run = evaluate(MyPolicy(), chains=10)
        run = evaluate("checkpoint:cnn", "runs/cnn", chains=100, max_steps=360, worlds=2)

    Args:
        policy: A `Policy`; an object with CALVIN's `reset()` and `step(obs, goal)`; a policy's spec, such as
            `"checkpoint:cnn"`; or a `WorkerSetup`, which names everything itself.
        directory: The run's folder. A run of a spec or a `WorkerSetup` that is there is continued. None for a new
            temporary folder, which `run.directory` names.
        chains: How many of the published 1000 chains to run, or a list of chains. None for all 1000, and with a
            `WorkerSetup` for what its settings say.
        worlds: Number of worlds that are stepped at once. A policy object answers all of them as one batch. A spec's
            policy is copied to a process for each world, so that a script must call this under
            `if __name__ == "__main__"`.
        label: The policy's name in tables. None for the policy's own.
        overwrite: Whether to start a new run. A run that is in the folder is moved aside first.
        progress: Whether progress is shown: on a terminal and in a notebook as a table, elsewhere as log lines of the
            logger `calvinbench`.
        make_world: Makes the world from the settings and the policy's traits. A `WorkerSetup` has its own.
        settings: Other settings of `RunSettings`, such as `scene="D"`, `max_steps=360` or `seed=1`, and the options
            `fail_fast`, `retry_errored`, `subscribers`, `suite`, `shard`, `ray`, `isolated`.

    Raises:
        TypeError: `policy` is none of these.
        FileExistsError: The folder holds a run, and the policy is an object. Whether it is the same policy cannot be
            known.
        UnknownNameError: There is no such setting.
        Exception: As `evaluation.evaluation.evaluate` raises.
    """
    options = {name: settings.pop(name) for name in _RUN_OPTIONS if name in settings}
    unusable = [name for name in _ONLY_FOR_SPECS if options.get(name) and _is_object(policy)]
    if unusable:
        raise TypeError(
            f"{', '.join(unusable)} cannot be used with a policy object, because it cannot be made again in another "
            "process. Name the policy by a spec, such as 'python:my_module:make_policy'."
        )
    setup = _setup(policy, chains, worlds, label, settings)
    if not isinstance(policy, WorkerSetup):
        setup = replace(setup, make_world=make_world)
    if directory is None:
        name = folder_name(setup.settings.policy)
        folder = Path(tempfile.mkdtemp(prefix="calvinbench-")) / name
    else:
        folder = Path(directory)
    if _is_object(policy) and not overwrite and (folder / RUN_FILE).exists():
        raise FileExistsError(
            f"'{folder}' holds a run. Whether this object is the policy of that run cannot be known, so the run is "
            "not continued. Use another folder or overwrite=True. A policy that is named by a spec, such as "
            "'python:my_module:make_policy', can continue its run."
        )
    from calvinbench.harness.evaluation.evaluation import evaluate as run_chains
    from calvinbench.harness.progress.progress import LiveProgress

    with LiveProgress() if progress else nullcontext() as shown:
        subscribers = (*options.pop("subscribers", ()), *(() if shown is None else (shown,)))
        return run_chains(
            setup,
            folder,
            chains=None if chains is None or isinstance(chains, int) else tuple(chains),
            worlds=worlds,
            overwrite=overwrite,
            subscribers=subscribers,
            **options,
        )


def _is_object(policy: Any) -> bool:
    return not isinstance(policy, str | WorkerSetup)


def _setup(
    policy: Any, chains: int | Sequence[Chain] | None, worlds: int, label: str | None, settings: dict[str, Any]
) -> WorkerSetup:
    """What the run is made from."""
    if isinstance(policy, WorkerSetup):
        given = [*settings, *(["label"] if label is not None else []), *(["chains"] if isinstance(chains, int) else [])]
        if given:
            raise TypeError(
                f"expected no {', '.join(given)} beside a WorkerSetup, whose RunSettings hold all settings. Write them "
                "into RunSettings(...)."
            )
        return policy
    for name in settings:
        require_name(name, [name for name in RunSettings.__dataclass_fields__ if name != "policy"], "setting")
    if isinstance(chains, int):
        settings = settings | {"chains": chains}
    elif chains is not None:
        settings = {"chains": len(chains)} | settings
    if isinstance(policy, str):
        spec = policy if label is None else f"{policy},label={label}"
        return WorkerSetup(RunSettings(spec, **settings))
    made = _as_policy(policy)
    if label is not None:
        from calvinbench.policies.adapters.relabelled import relabelled

        made = relabelled(made, label)
    kind = type(policy)
    settings = {"batch_size": worlds} | settings
    return WorkerSetup(
        RunSettings(f"{OBJECT_KIND}:{kind.__module__}:{kind.__qualname__}", **settings),
        make_policy=lambda spec, memory_reset: _with_memory_reset(made, memory_reset),
    )


def _as_policy(given: Any) -> Policy:
    """A policy object as a `Policy`.

    Raises:
        TypeError: It is neither a `Policy` nor a model with CALVIN's interface.
    """
    if isinstance(given, type):
        raise TypeError(f"expected a policy, got the class {given.__name__}. Make an object of it: {given.__name__}().")
    if isinstance(given, Policy):
        return given
    if all(callable(getattr(given, name, None)) for name in _CALVINS_METHODS):
        from calvinbench.policies.adapters.calvin_model import CalvinModelPolicy

        return CalvinModelPolicy(given, label=type(given).__name__)
    raise TypeError(
        "expected a Policy (traits, initial_state, reset_state, act), a model with CALVIN's reset() and "
        f"step(obs, goal), a policy spec or a WorkerSetup, got {type(given).__name__}. "
        "calvinbench.policies.check.check_policy says what a Policy lacks."
    )


def _with_memory_reset(policy: Policy, memory_reset: str | None) -> Policy:
    """The policy, if its memory is reset as the run asks.

    Raises:
        ValueError: The run asks for another reset; the traits of an object cannot be changed.
    """
    if memory_reset not in (None, policy.traits.memory.reset):
        raise ValueError(
            f"expected memory_reset='{policy.traits.memory.reset}', as the policy's traits say, got '{memory_reset}'. "
            f"Make the policy with traits whose memory is {replace(policy.traits.memory, reset=memory_reset)}."
        )
    return policy
