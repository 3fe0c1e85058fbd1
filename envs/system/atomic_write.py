"""Files that are replaced as a whole: a reader sees the old content or the new, even if the writer is killed."""

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PART_SUFFIX = ".part"
"""Of temporary files. A killed writer leaves one behind; it may be deleted once nobody writes."""
_NO_FOLDER_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EBADF)
"""Errors of file systems that can sync files but not folders."""


@contextmanager
def whole_file(path: Path, *, is_synced: bool = False, mode: int | None = None) -> Iterator[Path]:
    """Gives the name of a temporary file, which replaces `path` when the block ends.

    The block must write that file. If the block raises an error, the temporary file is deleted and `path` stays as it
    was. The temporary file is in the same folder. Its name starts with a dot and ends in `.part`, so that patterns for
    data files do not find it. Several processes may write the same `path`: the last one wins.

    Args:
        path: The file.
        is_synced: Whether to wait until the disk has the file and its name, so that it survives a power failure.
        mode: Permissions of the file; None for those that the block gave it.

    Raises:
        OSError: The file cannot be written or replaced.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}{PART_SUFFIX}")
    try:
        yield temporary
        if mode is not None:
            temporary.chmod(mode)
        move_into_place(temporary, path, is_synced=is_synced)
    finally:
        with contextlib.suppress(OSError):  # it has been moved, or was never made
            temporary.unlink()


def write_whole(path: Path, content: bytes | str, *, is_synced: bool = False) -> None:
    """Replaces a file's content; text is written as UTF-8 with its line ends unchanged. See `whole_file`."""
    with whole_file(path, is_synced=is_synced) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def move_into_place(finished: Path, path: Path, *, is_synced: bool = False) -> None:
    """Gives a finished file or folder its name. A file replaces an older one; a folder needs a free name.

    Args:
        finished: The file or folder, on the same file system as `path`.
        path: Its new name.
        is_synced: Whether to wait until the disk has the file and its name.

    Raises:
        OSError: It cannot be moved.
    """
    if is_synced:
        _sync(finished)
    finished.replace(path)
    if is_synced:
        try:
            _sync(path.parent)
        except OSError as error:
            if error.errno not in _NO_FOLDER_SYNC:
                raise


def _sync(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
