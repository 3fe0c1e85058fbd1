"""From a backbone's name to its class."""

from calvinbench.policies.backbones.backbone import Backbone
from calvinbench.policies.backbones.names import BACKBONES, HUB_PREFIX, SUPPORTED_MODELS, backbone_import_string
from calvinbench.policies.import_string import import_object

__all__ = ["BACKBONES", "HUB_PREFIX", "SUPPORTED_MODELS", "backbone_class"]


def backbone_class(name: str) -> type[Backbone]:
    """The class of a backbone.

    Args:
        name: See `names.backbone_import_string`.

    Raises:
        UnknownNameError: There is no such backbone.
    """
    found: type[Backbone] = import_object(backbone_import_string(name))
    return found
