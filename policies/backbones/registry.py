"""Backbones by name. A new one is one file and one line here."""

from collections.abc import Mapping
from types import MappingProxyType

from calvinbench.envs.names import require_name
from calvinbench.policies.backbones.backbone import Backbone
from calvinbench.policies.import_string import import_object

BACKBONES: Mapping[str, str] = MappingProxyType(
    {"kosmos2": "calvinbench.policies.backbones.kosmos2:Kosmos2Backbone"},
)


def backbone_class(name: str) -> type[Backbone]:
    """The class of a backbone.

    Raises:
        UnknownNameError: There is no such backbone.
    """
    found: type[Backbone] = import_object(BACKBONES[require_name(name, BACKBONES, "backbone")])
    return found
