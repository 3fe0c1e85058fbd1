"""The commit of a checkout, read without the git program."""

from pathlib import Path

import pytest

from calvinbench.envs.scenes.git_revision import head_commit

COMMIT = "797142c588c21e76717268b7b430958dbd13bf48"


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_a_detached_head_is_the_commit(tmp_path: Path):
    write(tmp_path / ".git" / "HEAD", f"{COMMIT}\n")
    assert head_commit(tmp_path) == COMMIT


def test_a_branch_is_followed_to_its_own_file(tmp_path: Path):
    write(tmp_path / ".git" / "HEAD", "ref: refs/heads/main\n")
    write(tmp_path / ".git" / "refs" / "heads" / "main", f"{COMMIT}\n")
    assert head_commit(tmp_path) == COMMIT


def test_a_packed_branch_is_found_among_others(tmp_path: Path):
    write(tmp_path / ".git" / "HEAD", "ref: refs/heads/main\n")
    packed = f"# pack-refs with: peeled\n{'1' * 40} refs/heads/other\n{COMMIT} refs/heads/main\n^{'2' * 40}\n"
    write(tmp_path / ".git" / "packed-refs", packed)
    assert head_commit(tmp_path) == COMMIT


def test_a_submodule_keeps_its_git_files_in_the_clone_above(tmp_path: Path):
    module = tmp_path / "calvin" / "calvin_env"
    write(module / ".git", "gitdir: ../.git/modules/calvin_env\n")
    write(tmp_path / "calvin" / ".git" / "modules" / "calvin_env" / "HEAD", f"{COMMIT}\n")
    assert head_commit(module) == COMMIT


def test_a_work_tree_shares_the_branches_of_its_clone(tmp_path: Path):
    tree, clone = tmp_path / "tree", tmp_path / "clone" / ".git"
    write(tree / ".git", f"gitdir: {clone / 'worktrees' / 'tree'}\n")
    write(clone / "worktrees" / "tree" / "HEAD", "ref: refs/heads/help\n")
    write(clone / "worktrees" / "tree" / "commondir", "../..\n")
    write(clone / "refs" / "heads" / "help", f"{COMMIT}\n")
    assert head_commit(tree) == COMMIT


@pytest.mark.parametrize("head", ["", "ref: refs/heads/gone\n", "797142c\n", "z" * 40])
def test_what_git_does_not_tell_is_none(tmp_path: Path, head: str):
    assert head_commit(tmp_path) is None
    write(tmp_path / ".git" / "HEAD", head)
    assert head_commit(tmp_path) is None
