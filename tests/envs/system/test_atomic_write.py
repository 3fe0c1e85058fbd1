import errno
import os
from pathlib import Path

import pytest

from calvinbench.envs.system.atomic_write import move_into_place, whole_file, write_whole


def test_a_file_has_its_new_content_when_the_block_ends_and_its_old_content_until_then(tmp_path: Path):
    path = tmp_path / "numbers.txt"
    path.write_text("old")
    with whole_file(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
        assert temporary.parent == tmp_path
        assert list(tmp_path.glob("numbers*")) == [path]
        assert list(tmp_path.glob("*.part")) == [temporary]  # what a recorder deletes before it goes on
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_in_the_block_leaves_the_old_file_and_nothing_else(tmp_path: Path):
    path = tmp_path / "numbers.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="stop"), whole_file(path) as temporary:  # noqa: PT012  the block is what is tested
        temporary.write_text("half")
        raise RuntimeError("stop")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_two_writers_in_one_process_do_not_share_a_temporary_file(tmp_path: Path):
    with whole_file(tmp_path / "a") as first, whole_file(tmp_path / "a") as second:
        first.write_text("first")
        second.write_text("second")
    assert (tmp_path / "a").read_text() == "first"  # the outer block ended last


def test_permissions_are_those_that_are_asked_for(tmp_path: Path):
    with whole_file(tmp_path / "a", mode=0o640) as temporary:
        temporary.write_text("x")
        temporary.chmod(0o600)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


def test_text_is_utf_8_with_its_own_line_ends(tmp_path: Path):
    write_whole(tmp_path / "a", "é\r\n")
    assert (tmp_path / "a").read_bytes() == b"\xc3\xa9\r\n"


def test_synced_means_the_file_then_its_name_then_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    events, replace = [], Path.replace
    monkeypatch.setattr(os, "fsync", lambda descriptor: events.append(_opened(descriptor)))
    monkeypatch.setattr(Path, "replace", lambda self, path: events.append("replace") or replace(self, path))
    write_whole(tmp_path / "a", b"x", is_synced=True)
    temporary, *others = events
    assert temporary.name.endswith(".part")
    assert others == ["replace", tmp_path]
    events.clear()
    write_whole(tmp_path / "a", b"x")
    assert events == ["replace"]


def _opened(descriptor: int) -> Path:
    return Path(f"/proc/self/fd/{descriptor}").readlink()


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EIO])
def test_a_folder_that_cannot_be_synced_is_an_error_only_if_the_disk_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
):
    def refuse_folders(descriptor: int) -> None:
        if _opened(descriptor) == tmp_path:
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse_folders)
    if number == errno.EIO:
        with pytest.raises(OSError, match="Input/output error"):
            write_whole(tmp_path / "a", b"x", is_synced=True)
    else:
        write_whole(tmp_path / "a", b"x", is_synced=True)
    assert (tmp_path / "a").read_bytes() == b"x"


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def no_space(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / "a").write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(OSError, match="No space left"):
        write_whole(tmp_path / "a", b"new", is_synced=True)
    assert (tmp_path / "a").read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]


def test_a_finished_folder_gets_its_name(tmp_path: Path):
    (tmp_path / "writing").mkdir()
    (tmp_path / "writing" / "a").write_text("x")
    move_into_place(tmp_path / "writing", tmp_path / "step_1")
    assert (tmp_path / "step_1" / "a").read_text() == "x"
