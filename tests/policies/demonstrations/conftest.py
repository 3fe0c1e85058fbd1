"""A small data set in CALVIN's layout, whose numbers say where they are from."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from calvinbench.policies.demonstrations.calvin_frames import write_frame
from calvinbench.policies.demonstrations.calvin_writer import write_index

READERS = Path(__file__).with_name("public_readers.py")
EPISODES = ((100, 159), (160, 219))
ANNOTATIONS = ((100, 140, "open_drawer", "open the drawer"), (165, 219, "turn_on_led", "push the button"))


def frame(number):
    """A frame's arrays: its number is in the red of pictures, in x of actions, and the gripper opens at odd ones."""
    action = np.array([number / 1000, 0.1, 0.2, 0.3, 0.4, 0.5, 1.0 if number % 2 else -1.0])
    return {
        "rgb_static": np.full((20, 20, 3), (number, 1, 2), dtype=np.uint8),
        "rgb_gripper": np.full((8, 8, 3), (number, 3, 4), dtype=np.uint8),
        "depth_static": np.full((20, 20), number, dtype=np.float32),
        "depth_gripper": np.full((8, 8), number, dtype=np.float32),
        "actions": action * [10, 1, 1, 1, 1, 1, 1],
        "rel_actions": action,
        "robot_obs": number + np.arange(15.0),
        "scene_obs": number + np.arange(24.0),
    }


def write_split(folder, episodes=EPISODES, annotations=ANNOTATIONS, scene="D"):
    for start, end in episodes:
        for number in range(start, end + 1):
            write_frame(folder, number, frame(number))
    write_index(folder, episodes, annotations, scene)
    return folder


def read_by_public_code(data):
    """What CALVIN's and RoboVLMs' own dataset classes read of a data set, in a process of their own; or skips."""
    references = Path(os.environ.get("CALVINBENCH_REFERENCES", "/nowhere"))
    missing = [
        name for name in ("calvin", "RoboVLMs", "site/omegaconf", "site/hydra") if not (references / name).is_dir()
    ]
    if missing:
        pytest.skip(f"CALVINBENCH_REFERENCES names no folder that holds {', '.join(missing)}")
    called = [sys.executable, str(READERS), str(references), str(data)]
    done = subprocess.run(called, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="session")
def calvin_data(tmp_path_factory):
    """Both splits; tests that break something copy them."""
    folder = tmp_path_factory.mktemp("calvin")
    write_split(folder / "training")
    write_split(folder / "validation")
    return folder
