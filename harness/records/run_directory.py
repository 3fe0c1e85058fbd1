"""A run's folder: `run.json` describes the run, and `chains.jsonl` keeps each chain as it ends.

A process may be killed at any moment. Therefore `run.json` is replaced as a whole, a line of `chains.jsonl` is written
and synced before the next chain begins, and an incomplete last line is dropped.
"""

import json
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from calvinbench.harness.records.description import Difference, RunDescription, differences, with_session
from calvinbench.harness.records.errored_chains import replace_line
from calvinbench.harness.records.folders import RunLockedError, locked_folder, write_atomically, write_text_atomically
from calvinbench.harness.records.provenance import Session
from calvinbench.harness.records.records import ERRORED, ChainRecord
from calvinbench.harness.records.stored_chains import read_chains
from calvinbench.harness.records.typed_reading import InvalidFieldError

RUN_FILE = "run.json"
CHAINS_FILE = "chains.jsonl"
REPLACED_FILE = "replaced.jsonl"
"""Keeps the old lines of errored chains that were run again."""
SHARDS_FOLDER = "shards"
"""In a run's folder, holds the folders of its shards; see `shards`."""
_APPENDING = os.O_WRONLY | os.O_CREAT | os.O_APPEND


class RunMismatchError(ValueError):
    """The folder holds a different run."""


def read_description(directory: Path) -> RunDescription:
    """Reads a folder's `run.json`.

    Raises:
        ValueError: There is none, or its content is invalid.
    """
    path = directory / RUN_FILE
    try:
        return RunDescription.from_json(json.loads(path.read_text("utf-8")))
    except FileNotFoundError as error:
        raise ValueError(f"expected a run's folder with {RUN_FILE}, found none at '{directory}'.") from error
    except InvalidFieldError as error:
        raise ValueError(
            f"expected the description of a run in '{path}', got something invalid: {error}. "
            "Something else changed the file; repair the field, or run again into another folder."
        ) from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"expected the description of a run in '{path}', got something else: {error}") from error


class RunWriter:
    """The only writer of a run's folder. A context manager.

    Entering it makes the folder or continues the run in it, and locks the folder against other processes.
    """

    def __init__(
        self,
        directory: Path,
        description: RunDescription,
        session: Session,
        digest_of_first: Callable[[int], str],
    ) -> None:
        """Takes the arguments; entering the context does the work.

        Args:
            directory: The run's folder. It is made if it does not exist.
            description: Of the run.
            session: The current session.
            digest_of_first: Returns the digest of the first N chains of the list, to distinguish a longer list from
                another list.
        """
        self._directory = directory
        self._description = description
        self._session = session
        self._digest_of_first = digest_of_first
        self._held = ExitStack()
        self._chains: int | None = None
        self._num_bytes = 0
        self.records: tuple[ChainRecord, ...] = ()

    def __enter__(self) -> "RunWriter":
        """Opens the folder.

        Raises:
            RunMismatchError: It holds a different run.
            RunLockedError: Another process writes to it.
            OSError: It cannot be written.
        """
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            self._held.enter_context(locked_folder(self._directory))
            self._open_records()
        except RunLockedError:
            self._close()
            raise
        except OSError as error:
            self._close()
            path = error.filename or self._directory
            raise OSError(
                error.errno, f"cannot write to '{path}': {error.strerror}. Choose another folder with --out."
            ) from error
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def begin(self) -> None:
        """Adds this session to `run.json`. Call it before the first `append`."""
        self._write(with_session(self._description, self._session))

    def _write(self, description: RunDescription) -> None:
        text = json.dumps(description.to_json(), indent=2, ensure_ascii=False) + "\n"
        write_text_atomically(self._directory / RUN_FILE, text)

    def append(self, record: ChainRecord) -> None:
        """Keeps a finished chain: it is on the disk when this returns. It replaces an errored record of the same chain.

        Raises:
            OSError: For example, the disk is full. What was kept before is unchanged.
        """
        if self._chains is None:
            raise RuntimeError("expected append inside the writer's with block, got it outside.")
        # In ASCII, because errors may quote file names that are not Unicode.
        line = json.dumps(record.to_json()).encode() + b"\n"
        errored = (kept for kept in self.records if kept.chain == record.chain and kept.outcome == ERRORED)
        earlier = next(errored, None)
        try:
            if earlier is None:
                _write_all(self._chains, line)
                self._num_bytes += len(line)
            else:
                self._replace(record.chain, line)
        except OSError as error:
            self._truncate()
            raise OSError(
                error.errno,
                f"cannot write chain {record.chain} to '{self._directory / CHAINS_FILE}': {error.strerror}. All chains "
                f"finished before are kept ({len(self.records)}); free space and run the same command again.",
            ) from error
        self.records = (*(kept for kept in self.records if kept is not earlier), record)

    def _replace(self, number: int, line: bytes) -> None:
        """Saves the old line in another file, then replaces the file of lines as a whole."""
        path = self._directory / CHAINS_FILE
        content, replaced = replace_line(path.read_bytes()[: self._num_bytes], number, line)
        trail = os.open(self._directory / REPLACED_FILE, _APPENDING, 0o644)
        try:
            _write_all(trail, replaced)
        finally:
            os.close(trail)
        write_atomically(path, content)
        reopened = os.open(path, _APPENDING, 0o644)
        if self._chains is not None:
            os.close(self._chains)
        self._chains, self._num_bytes = reopened, len(content)

    def _open_records(self) -> None:
        if (self._directory / RUN_FILE).exists():
            old = read_description(self._directory)
            self._description = continued(old, self._description, self._digest_of_first, self._directory)
            if self._description.variant != old.variant:  # only a name for tables, so a finished run may get it too
                self._write(replace(old, variant=self._description.variant))
        elif (self._directory / CHAINS_FILE).exists() and read_chains(self._directory / CHAINS_FILE).records:
            raise RunMismatchError(
                f"'{self._directory}' has finished chains but no {RUN_FILE} to say what they are of. "
                f"{_remedies(self._directory)}"
            )
        stored = read_chains(self._directory / CHAINS_FILE, self._description)
        self._chains = os.open(self._directory / CHAINS_FILE, _APPENDING, 0o644)
        self.records, self._num_bytes = stored
        self._truncate()

    def _truncate(self) -> None:
        """Cuts off an incomplete last line."""
        if self._chains is not None and os.fstat(self._chains).st_size > self._num_bytes:
            os.ftruncate(self._chains, self._num_bytes)

    def _close(self) -> None:
        if self._chains is not None:
            os.close(self._chains)
        self._chains = None
        self._held.close()


def _write_all(file: int, line: bytes) -> None:
    """Writes to an open file and waits until the disk has the data."""
    written = 0
    while written < len(line):
        written += os.write(file, line[written:])
    os.fsync(file)


def _remedies(directory: Path) -> str:
    """What the user can do about a different run in the folder."""
    run = directory.parents[1] if directory.parent.name == SHARDS_FOLDER else directory
    names = (f"{run.name}-{number}" for number in range(2, 1000))
    free = next(name for name in names if not run.with_name(name).exists())
    return (
        f"To keep both, add --name {free} (for a single policy) or --out DIR, another folder. To start again, add "
        f"--overwrite: the old run is moved to '{directory.name}.old-<time>'."
    )


def continued(
    old: RunDescription, new: RunDescription, digest_of_first: Callable[[int], str], directory: Path
) -> RunDescription:
    """The description of a stored run that is continued, perhaps with more chains of the same list.

    Raises:
        RunMismatchError: The two are different runs; the message lists the fields that differ.
    """
    unlike: Sequence[Difference] = differences(old, new)
    if new.chains < old.chains:
        unlike = (*unlike, Difference("chains", old.chains, new.chains))
    elif digest_of_first(old.chains) != old.chain_digest:
        unlike = (*unlike, Difference("chain_digest", old.chain_digest, digest_of_first(old.chains)))
    if unlike:
        listed = "\n".join(f"  {difference}" for difference in unlike)
        raise RunMismatchError(
            f"'{directory}' holds another run than the one asked for:\n{listed}\n"
            f"{_remedies(directory)} (Only the number of chains may grow.)"
        )
    return replace(
        old,
        suite=new.suite or old.suite,
        variant=new.variant or old.variant,
        chains=new.chains,
        chain_digest=new.chain_digest,
        chain_length=new.chain_length,
        official=new.official,
    )
