"""`calvinbench install-calvin`."""

import shlex
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import tyro

from calvinbench.harness.command_line.console import DONE, print_json, tell
from calvinbench.harness.command_line.usage import Example, Usage


@dataclass(frozen=True, slots=True)
class InstallCalvin:
    """Clone CALVIN's simulator and sentences at the known revisions. Existing clones stay unchanged."""

    USAGE: ClassVar[Usage] = Usage(
        examples=(
            Example("", "clone into the user's data folder, where calvinbench finds it"),
            Example("checkouts", "clone into checkouts/calvin_env and checkouts/calvin"),
        )
    )

    folder: Annotated[
        tyro.conf.Positional[Path | None],
        tyro.conf.arg(metavar="[DIR]", help_behavior_hint="(default: the user's data folder)"),
    ] = None
    """Parent folder of the clones calvin_env and calvin."""
    revision: Annotated[Literal["797142c", "1431a46"], tyro.conf.arg(metavar="{797142c,1431a46}")] = "797142c"
    """Revision of calvin_env. 797142c is the one that calvinbench follows; 1431a46 is the submodule of calvin."""
    calvin_env_url: Annotated[str | None, tyro.conf.arg(metavar="URL", help_behavior_hint="(default: GitHub)")] = None
    """Address from which git clones calvin_env."""
    calvin_url: Annotated[str | None, tyro.conf.arg(metavar="URL", help_behavior_hint="(default: GitHub)")] = None
    """Address from which git clones calvin."""
    json: bool = False
    """Print one JSON object instead of text."""

    def execute(self) -> int:
        """Clones what is missing, and prints the environment variables to set."""
        from calvinbench.harness.diagnostics import install_calvin as room

        tell("Cloning calvin_env and calvin ...")
        installed = room.install_calvin(
            self.folder,
            self.revision,
            self.calvin_env_url or room.CALVIN_ENV_URL,
            self.calvin_url or room.CALVIN_URL,
        )
        if self.json:
            print_json({**asdict(installed), "variables": installed.variables, "pip": installed.pip_command})
            return DONE
        print("\n".join(f"export {name}={shlex.quote(path)}" for name, path in installed.variables.items()))
        tell(f"Run these lines in your shell. calvin_env's own simulator also needs: {installed.pip_command}")
        return DONE
