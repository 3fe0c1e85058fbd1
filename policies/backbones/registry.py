"""Finds a backbone's class by name, and its name by class."""

from calvinbench.envs.names import UnknownNameError
from calvinbench.policies.backbones.backbone import Backbone
from calvinbench.policies.backbones.names import BACKBONES, HUB_PREFIX, SUPPORTED_MODELS, backbone_import_string
from calvinbench.policies.import_string import ImportStringError, import_object

__all__ = ["BACKBONES", "HUB_PREFIX", "SUPPORTED_MODELS", "BackboneNameError", "backbone_class", "name_of"]


class BackboneNameError(ValueError):
    """No name finds a backbone's class, or a name finds something else. The message says what to do."""


def backbone_class(name: str) -> type[Backbone]:
    """The class of a backbone.

    Args:
        name: See `names.backbone_import_string`.

    Raises:
        UnknownNameError: There is no such backbone.
        ImportStringError: An import string names nothing.
        BackboneNameError: It names something other than a backbone.
    """
    found = import_object(backbone_import_string(name))
    if not (isinstance(found, type) and issubclass(found, Backbone)):
        raise BackboneNameError(
            f"expected '{name}' to be a class of backbones, got {found!r:.80}. Name a subclass of "
            "calvinbench.policies.backbones.backbone.Backbone."
        )
    return found


def name_of(kind: type[Backbone], name: str) -> str:
    """The name that finds a backbone's class again, for a checkpoint.

    Args:
        kind: The class.
        name: The expected name.

    Returns:
        The name itself if it finds the class; else the class's import string.

    Raises:
        BackboneNameError: The class cannot be imported, because it is in a function or in the script that is run.
    """
    try:
        if backbone_class(name) is kind:
            return name
    except (UnknownNameError, ImportStringError, BackboneNameError):
        pass
    import_string = f"{kind.__module__}:{kind.__qualname__}"
    try:
        if kind.__module__ != "__main__" and backbone_class(import_string) is kind:
            return import_string
    except (UnknownNameError, ImportStringError, BackboneNameError):
        pass
    raise BackboneNameError(
        f"expected a backbone's class that can be imported, got '{import_string}': a checkpoint of it could not be "
        f"read again. Move the class {kind.__name__} to the top level of a module, such as my_backbones.py, and import "
        "it from there."
    )
