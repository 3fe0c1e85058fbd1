"""Import strings, `"package.module:Name"`, resolved only when they are needed."""

import importlib
from typing import Any

from calvinbench.envs.names import require_name


class ImportStringError(ImportError, ValueError):
    """An import string that cannot be resolved. The message says which part is wrong, and what to do."""


def import_object(import_string: str) -> Any:
    """Returns the object that an import string names.

    Args:
        import_string: `"package.module:Name"`, `"package.module:Class.method"` included.

    Raises:
        ImportStringError: The string has no module or no name, or the module is not found or raises an error.
        UnknownNameError: The module has no such name.
    """
    module_name, _, path = import_string.partition(":")
    if not module_name or not path or module_name.startswith("."):
        raise ImportStringError(
            f"expected an import string 'package.module:Name', got '{import_string}'. "
            "Write the module's whole name, without a leading dot."
        )
    try:
        found: Any = importlib.import_module(module_name)
    except ImportError as error:
        raise ImportStringError(_import_advice(module_name, import_string, error)) from error
    except Exception as error:
        raise ImportStringError(
            f"expected '{import_string}' to import, but importing '{module_name}' failed: "
            f"{type(error).__name__}: {error}. Fix the module, or name another one."
        ) from error
    for name in path.split("."):
        if not hasattr(found, name):
            public = [known for known in dir(found) if not known.startswith("_")]
            require_name(name, public, f"name in '{module_name}'")
        found = getattr(found, name)
    return found


def _import_advice(module_name: str, import_string: str, error: ImportError) -> str:
    """What to do if a module cannot be imported, because it or one of its own imports is missing."""
    missing = error.name or ""
    if isinstance(error, ModuleNotFoundError) and f"{module_name}.".startswith(f"{missing}."):
        return (
            f"expected '{import_string}' to name something importable, but there is no module '{missing}'. "
            "Install its package into this environment, run from the folder that holds it, or set PYTHONPATH=FOLDER."
        )
    return (
        f"expected '{import_string}' to import, but importing '{module_name}' failed: {error}. "
        "Install what it needs into this environment."
    )
