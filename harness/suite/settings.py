"""The settings of one run. Each is declared here, once: flags, YAML keys, checks and help follow from the declaration.

To add a setting, add a field. If records depend on it, `run.json` must hold it too: a test says so.
"""

import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated

from calvinbench.envs.simulation import REPRODUCIBLE
from calvinbench.harness.suite.declared_policy import require_declared
from calvinbench.harness.suite.setting import A_FOLDER, A_NAME, Setting, require_settings

STEP_TIMEOUT_SECONDS = 600.0
"""A first step may compile kernels, or read weights from a slow disk."""
MEMORY_RESETS = ("subtask", "chain")
_MAX_SLUG_LENGTH = 80


@dataclass(frozen=True, slots=True)
class RunSettings:
    """One policy on one list of chains: everything that may affect its records.

    Attributes:
        policy: The policy's spec, `KIND:ARGUMENT[,key=value...]`.
        training_seed: Seed of the policy's training, as a suite declares it for this policy.
        training_recipe: Name of the policy's training apart from the seed, declared likewise.
        variant: What distinguishes the policy in tables from others of the same label, declared likewise.

    The other fields are described in their declaration, which `calvinbench run --help` shows.
    """

    policy: str
    scene: Annotated[
        str,
        Setting("Scene: a name from `calvinbench list scenes`.", "NAME", text=A_NAME, varies=True, is_apart=True),
    ] = "embedded"
    chains: Annotated[int, Setting("Number of chains: the first N of the published ones.", "N", at_least=1)] = 1000
    tasks: Annotated[
        tuple[str, ...],
        Setting(
            "Run single tasks instead of chains: task names, or all. Each task is run from N initial states that "
            "allow it, where N is --chains.",
            "TASK ...",
        ),
    ] = ()
    max_steps: Annotated[int, Setting("Maximum number of steps for each subtask.", "N", at_least=1)] = 360
    memory_reset: Annotated[
        str | None,
        Setting(
            "When the policy's memory is cleared: before each subtask, or before each chain.",
            default="as the policy has it",
            choices=MEMORY_RESETS,
            varies=True,
            recorded_as="memory.reset",
        ),
    ] = None
    seed: Annotated[int, Setting("Random seed.", "N", varies=True)] = 0
    batch_size: Annotated[
        int,
        Setting(
            "Number of worlds that one policy answers at once, which helps large models. 1 gives each world its own "
            "copy of the policy.",
            "N",
            at_least=1,
        ),
    ] = 1
    step_timeout: Annotated[
        float,
        Setting(
            "Seconds that a policy or a world may take for one step; 0 for no limit. A chain that takes longer counts "
            "as errored.",
            "S",
            affects_results=False,
        ),
    ] = STEP_TIMEOUT_SECONDS
    calvin_env: Annotated[
        str | None,
        Setting(
            "Checkout of calvin_env. CALVIN's scenes A to D need it.",
            "DIR",
            default="CALVIN_ENV_ROOT, or as installed",
            text=A_FOLDER,
        ),
    ] = None
    calvin: Annotated[
        str | None,
        Setting(
            "Checkout of calvin. CALVIN's sentences need it.",
            "DIR",
            default="CALVIN_ROOT, or near calvin_env",
            text=A_FOLDER,
            recorded_as="instruction_digest",
        ),
    ] = None
    simulation: Annotated[
        str,
        Setting(
            "How physics is simulated. reproducible: an episode is bit-identical, whatever ran before it. parity: "
            "bit-identical to a newly started calvin_env. upstream: calvin_env's own simulator.",
            "NAME",
            text=A_NAME,
        ),
    ] = REPRODUCIBLE
    instructions: Annotated[
        str,
        Setting(
            "Sentences given to the policy. auto: CALVIN's on CALVIN's scenes, ours elsewhere. calvinbench: ours. "
            "calvinbench-training and calvinbench-held-out: one of our wordings for each subtask, seen in training or "
            "not. calvin: CALVIN's validation sentences. calvin-training: its training wordings. Or the path of a YAML "
            "or JSON file of sentences.",
            "NAME",
            text=A_NAME,
            varies=True,
            is_apart=True,
        ),
    ] = "auto"
    renderer: Annotated[
        str | None,
        Setting(
            "Renderer of the camera images. opengl-look: looks like CALVIN's data, and runs on the CPU. bullet-egl: "
            "PyBullet's OpenGL. bullet-tiny: PyBullet's software renderer.",
            "NAME",
            default="opengl-look",
            text=A_NAME,
        ),
    ] = None
    depth_bits: Annotated[
        int | None,
        Setting(
            "Bits of the depth buffer of opengl-look: 16 as in Bullet with the Mesa driver, 24 as with a GPU's driver.",
            default="16 on CALVIN's scenes, 24 on ours",
            choices=(16, 24),
        ),
    ] = None
    static_size: Annotated[
        int | None,
        Setting(
            "Width and height of the static camera's images in pixels.",
            "N",
            default="CALVIN's 200",
            at_least=1,
        ),
    ] = None
    gripper_size: Annotated[
        int | None,
        Setting(
            "Width and height of the gripper camera's images in pixels.",
            "N",
            default="CALVIN's 84",
            at_least=1,
        ),
    ] = None
    train: Annotated[
        str | None,
        Setting(
            "What the policy was trained on, such as ABC. Tables show it in the column Train.",
            "SPLIT",
            default="as the policy says",
        ),
    ] = None
    training_seed: int | None = None
    training_recipe: str | None = None
    variant: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.policy, str) or not self.policy:
            raise ValueError(
                f"expected policy to be a name, got {self.policy!r}. A policy is named by its spec; "
                "python:my_module:make_policy calls make_policy() of my_module.py."
            )
        require_settings(self)
        require_declared(self.train, self.training_seed, self.training_recipe, self.variant)

    @property
    def slug(self) -> str:
        """The policy's spec as the name of a folder."""
        slug = folder_name(self.policy) or "policy"
        if len(slug) > _MAX_SLUG_LENGTH:
            slug = f"{slug[: _MAX_SLUG_LENGTH - 9]}-{sha256(self.policy.encode()).hexdigest()[:8]}"
        return slug


def folder_name(text: str) -> str:
    """The text with hyphens in place of everything that a folder's name should not have."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.")
