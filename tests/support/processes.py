"""Processes of a test: which ones descend from another, and whether one still runs."""

import time
from pathlib import Path


def processes_below(pid: int) -> list[int]:
    """Processes that descend from one."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            found += [child, *processes_below(child)]
    return found


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def require_ended(pids: list[int], errors: str) -> None:
    """After a command was stopped: none of these processes runs, and nothing was leaked or printed as a traceback."""
    assert "Stopped. Finished work is kept" in errors
    for words in ("leaked", "resource_tracker", "Traceback"):
        assert words not in errors, errors
    deadline = time.monotonic() + 10  # helpers such as the resource tracker end when they see that their parent ended
    while any(is_alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [pid for pid in pids if is_alive(pid)]
