"""The commit of a checkout, read from git's own files. The git program is not needed."""

from pathlib import Path


def head_commit(root: Path) -> str | None:
    """The commit of the checkout at `root`, 40 hexadecimal digits; None if there are no files of git.

    `root` may be a clone, a work tree or a submodule. Changes to files since that commit are not noticed.
    """
    git = _git_folder(root)
    if git is None:
        return None
    head = _text(git / "HEAD")
    if head is None or not head.startswith("ref:"):
        return _commit(head)
    branch = head.removeprefix("ref:").strip()
    # A work tree has a HEAD of its own, and shares the branches of its clone.
    shared = _text(git / "commondir")
    folders = (git,) if shared is None else (git, git / shared)
    for folder in folders:
        commit = _commit(_text(folder / branch)) or _packed(folder, branch)
        if commit is not None:
            return commit
    return None


def _git_folder(root: Path) -> Path | None:
    """The folder of git's files: `.git` itself, or the folder that the file `.git` of a submodule names."""
    git = root / ".git"
    if git.is_dir():
        return git
    link = _text(git)
    if link is None or not link.startswith("gitdir:"):
        return None
    folder = root / link.removeprefix("gitdir:").strip()
    return folder if folder.is_dir() else None


def _packed(folder: Path, branch: str) -> str | None:
    """The commit of a branch that git has stored in a common file with others."""
    for line in (_text(folder / "packed-refs") or "").splitlines():
        commit, _, name = line.partition(" ")
        if name == branch:
            return _commit(commit)
    return None


def _commit(text: str | None) -> str | None:
    is_commit = text is not None and len(text) == 40 and not text.strip("0123456789abcdef")
    return text if is_commit else None


def _text(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
