"""Git repositories of tests, made on this machine."""

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path


def git(folder: Path, *words: str) -> str:
    """Runs git in a folder and returns what it prints."""
    settings = ("-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "protocol.file.allow=always")
    done = subprocess.run(["git", *settings, "-C", str(folder), *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def bare_repository(tmp_path: Path, name: str, files: Mapping[str, str] | Path) -> tuple[str, str]:
    """A bare repository with one commit of these files (a mapping of path to text, or a folder to copy).

    Returns:
        Its address and its commit.
    """
    source = tmp_path / "sources" / name
    source.mkdir(parents=True)
    if isinstance(files, Path):
        shutil.copytree(files, source, dirs_exist_ok=True)
    else:
        for path, text in files.items():
            (source / path).parent.mkdir(parents=True, exist_ok=True)
            (source / path).write_text(text)
    git(source, "init", "--quiet")
    git(source, "add", "--all", "--force")
    git(source, "commit", "--quiet", "-m", "all")
    bare = tmp_path / "sources" / f"{name}.git"
    git(tmp_path, "clone", "--quiet", "--bare", str(source), str(bare))
    return str(bare), git(source, "rev-parse", "HEAD")
