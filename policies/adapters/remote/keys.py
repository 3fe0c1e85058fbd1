"""What a server calls its observations."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from calvinbench.envs.names import require_name
from calvinbench.policies.spec import PolicySpecError

INSTRUCTION = "instruction"
"""The sentence, among the names of our observations."""
OBSERVED = ("rgb_static", "rgb_gripper", "depth_static", "depth_gripper", "robot_obs")
"""Our observations that can be sent."""
KEYS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "calvinbench": MappingProxyType(
            {
                "rgb_static": "rgb_static",
                "rgb_gripper": "rgb_gripper",
                "robot_obs": "robot_obs",
                "prompt": INSTRUCTION,
            }
        ),
        "openpi": MappingProxyType(
            {
                "observation/image": "rgb_static",
                "observation/wrist_image": "rgb_gripper",
                "observation/state": "robot_obs",
                "prompt": INSTRUCTION,
            }
        ),
    }
)
"""The server's names and which of our observations each is. `openpi`: as its LIBERO policy reads them."""


def read_keys(name: str) -> Mapping[str, str]:
    """The server's names, each with the name of our observation.

    Args:
        name: One of `KEYS`, or a JSON file.

    Raises:
        UnknownNameError: There is no such entry in `KEYS`, or the file names an observation that we do not have.
        PolicySpecError: The file is not a JSON mapping of names.
    """
    if not name.endswith(".json"):
        return KEYS[require_name(name, KEYS, "setting keys (or the path of a .json file)")]
    try:
        content: Any = json.loads(Path(name).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise PolicySpecError(f"expected a JSON file of keys at '{name}', got: {error}.") from error
    known = (*OBSERVED, INSTRUCTION)
    if not isinstance(content, dict) or not content or not all(isinstance(value, str) for value in content.values()):
        raise PolicySpecError(f"expected a mapping of the server's names to ours in '{name}', got {str(content)[:80]}.")
    for value in content.values():
        require_name(value, known, f"observation in '{name}'")
    return content


def sent_keys(keys: Mapping[str, str], proprioception: bool | None) -> Mapping[str, str]:
    """The keys that are sent: without the robot's state if proprioception is withheld.

    Args:
        keys: All keys.
        proprioception: Whether the server uses the robot's state; None if that is not known.

    Raises:
        PolicySpecError: The server uses the robot's state, but no key sends it.
    """
    if proprioception and "robot_obs" not in keys.values():
        raise PolicySpecError(
            "expected 'robot_obs' among the setting keys with proprioception=true, found none: the server does not "
            "get the robot's state. Add it to the keys' file, or remove 'proprioception=true'."
        )
    return {name: ours for name, ours in keys.items() if proprioception is not False or ours != "robot_obs"}
