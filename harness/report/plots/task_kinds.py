"""CALVIN's tasks by kind, with names short enough for a figure."""

from collections.abc import Collection, Mapping
from types import MappingProxyType

from calvinbench.envs.tasks import TASKS

OTHER = "Other"
_KIND_OF_VERB: Mapping[str, str] = MappingProxyType(
    {
        "rotate": "Rotate block",
        "push": "Push block",
        "lift": "Lift block",
        "move": "Slider, drawer",
        "open": "Slider, drawer",
        "close": "Slider, drawer",
        "place": "Place, stack",
        "stack": "Place, stack",
        "unstack": "Place, stack",
        "turn": "Lights",
    }
)
KINDS = ("Slider, drawer", "Lights", "Push block", "Rotate block", "Lift block", "Place, stack", OTHER)
"""In the order of figures."""
_SHORT: Mapping[str, str] = MappingProxyType(
    {
        "move_slider_left": "slider left",
        "move_slider_right": "slider right",
        "place_in_slider": "in slider",
        "place_in_drawer": "in drawer",
        "push_into_drawer": "push in drawer",
        "stack_block": "stack",
        "unstack_block": "unstack",
        "turn_on_lightbulb": "bulb on",
        "turn_off_lightbulb": "bulb off",
        "turn_on_led": "LED on",
        "turn_off_led": "LED off",
    }
)


def kind_of_task(task: str) -> str:
    """The kind of a task, one of `KINDS`. Tasks that are not CALVIN's are `OTHER`."""
    if task not in TASKS:
        return OTHER
    return "Place, stack" if task == "push_into_drawer" else _KIND_OF_VERB[task.partition("_")[0]]


def short_task(task: str) -> str:
    """The task's name below the name of its kind: `red left` of `rotate_red_block_left`."""
    if task not in TASKS:
        return task.replace("_", " ")
    words = task.split("_")
    if len(words) == 4 and words[2] == "block":
        return f"{words[1]} {words[3]}" if words[0] != "lift" else f"{words[1]}, {words[3]}"
    return _SHORT.get(task, task.replace("_", " "))


def by_kind(tasks: Collection[str]) -> dict[str, list[str]]:
    """The tasks of each kind, in CALVIN's order; kinds without a task are left out."""
    places = {task: place for place, task in enumerate(TASKS)}
    ordered = sorted(tasks, key=lambda task: (places.get(task, len(places)), task))
    found = {kind: [task for task in ordered if kind_of_task(task) == kind] for kind in KINDS}
    return {kind: of_kind for kind, of_kind in found.items() if of_kind}
