"""What `calvinbench list` names."""


def _task_names() -> list[str]:
    from calvinbench.envs.tasks import TASKS

    return list(TASKS)


def _scene_names() -> list[str]:
    from calvinbench.envs.scene import SCENES

    return list(SCENES)


def scene_lines() -> list[str]:
    """The scenes, each with where it is from; then, if CALVIN's are not at hand, what to do about it."""
    from calvinbench.envs.calvin_checkout import CheckoutError, find_calvin_env
    from calvinbench.envs.scene import CALVIN_SCENES, SCENES

    try:
        origin, remedy = f"CALVIN's, from {find_calvin_env()}", []
    except CheckoutError as error:
        origin, remedy = "CALVIN's, not at hand", ["", str(error)]
    origins = {scene: origin if scene in CALVIN_SCENES else "ships with calvinbench" for scene in SCENES}
    return [f"{scene:10}{origins[scene]}" for scene in SCENES] + remedy


def _backbone_names() -> list[str]:
    from calvinbench.policies.backbones.registry import BACKBONES

    return list(BACKBONES)


def _policy_names() -> list[str]:
    from calvinbench.policies.registry import POLICY_KINDS

    return list(POLICY_KINDS)


def _suite_names() -> list[str]:
    from calvinbench.harness.suite import shipped_suites

    return list(shipped_suites())


NAMES = {
    "tasks": _task_names,
    "scenes": _scene_names,
    "backbones": _backbone_names,
    "policies": _policy_names,
    "suites": _suite_names,
}
"""For each kind of thing, what finds the names; each imports what it needs when it is called."""
