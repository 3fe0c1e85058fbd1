"""Why the expert failed a task: from the world at the start and at the end of the subtask."""

from calvinbench.envs.tasks import LIFT_M, SURFACE_LINKS
from calvinbench.envs.world_info import ROBOT, TABLE, Contact, WorldInfo

_FLOOR_Z_M = 0.3
_MOVED_M = 0.02


def cause(task: str, start: WorldInfo, end: WorldInfo) -> str:
    """One sentence. Reasons that make the task impossible come before events during the attempt."""
    return impossible(task, start) or _went_wrong(task, start, end)


def impossible(task: str, start: WorldInfo) -> str | None:  # noqa: C901, PLR0911, PLR0912  (a table of tasks)
    """Why the task was impossible in the initial world, if it was: its precondition does not hold."""
    on_table = Contact(TABLE, SURFACE_LINKS["table"])
    match task.split("_"):
        case ["push", colour, "block", _]:
            touches = {contact for contact in start.blocks[f"block_{colour}"].contacts if contact.body != ROBOT}
            if not touches:
                return "impossible from its start: the block touches nothing but the gripper"
            if touches != {on_table}:
                others = ", ".join(sorted(f"{contact.body} {contact.link}" for contact in touches - {on_table}))
                return f"hardly possible from its start: the block must keep its contact with {others}"
        case ["lift", colour, "block", place]:
            if Contact(TABLE, SURFACE_LINKS[place]) not in start.blocks[f"block_{colour}"].contacts:
                return f"impossible from its start: the block does not touch the {place}"
        case ["place", "in", _]:
            held = start.robot_touching
            if len(held) != 1 or not held <= set(start.blocks):
                return f"impossible from its start: the robot touches {', '.join(sorted(held)) or 'nothing'}"
            (block,) = held
            if start.blocks[block].touching != {ROBOT}:
                return "impossible from its start: the held block touches something besides the robot"
        case ["unstack", "block"]:
            blocks = set(start.blocks)
            if not any(block.touching and block.touching <= blocks for block in start.blocks.values()):
                return "impossible from its start: no block rests on blocks alone: the stack fell over"
        case ["push", "into", "drawer"]:
            if not any(block.contacts == {on_table} for block in start.blocks.values()):
                return "impossible from its start: no block touches the tabletop and nothing else"
        case ["turn", verb, light]:
            if start.lights[light] == (1 if verb == "on" else 0):
                return f"impossible from its start: the {light} was already {verb}, switched by an earlier subtask"
    return None


def _went_wrong(task: str, start: WorldInfo, end: WorldInfo) -> str:
    for name, block in end.blocks.items():
        if block.position[2] < _FLOOR_Z_M and start.blocks[name].position[2] >= _FLOOR_Z_M:
            return f"{name} fell off the table"
    for name, block in end.blocks.items():
        moved = float(((block.position - start.blocks[name].position) ** 2).sum() ** 0.5)
        if task.startswith("lift") and name.removeprefix("block_") in task:
            risen = float(block.position[2] - start.blocks[name].position[2])
            if risen > LIFT_M[task.rsplit("_", maxsplit=1)[-1]]:
                return f"{name} was lifted but touched {', '.join(sorted(block.touching))}"
            held = ROBOT in block.touching
            return f"{name} was {'held but not lifted' if held else 'not grasped'} (moved {100 * moved:.0f} cm)"
    moved_blocks = [
        name
        for name, block in end.blocks.items()
        if float(((block.position - start.blocks[name].position) ** 2).sum() ** 0.5) > _MOVED_M
    ]
    held_blocks = [name for name, block in end.blocks.items() if ROBOT in block.touching]
    words = [f"out of steps; moved: {', '.join(moved_blocks) or 'no block'}"]
    words += [f"still touched by the robot: {', '.join(held_blocks)}"] if held_blocks else []
    return "; ".join(words)
