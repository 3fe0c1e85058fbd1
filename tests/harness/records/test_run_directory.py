import errno
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from calvinbench.envs import chains as chain_lists
from calvinbench.harness.records import run_directory
from calvinbench.harness.records.folders import RunLockedError
from calvinbench.harness.records.provenance import this_session
from calvinbench.harness.records.run_directory import RunMismatchError, RunWriter
from calvinbench.harness.records.runs import find_runs, load_run
from calvinbench.harness.records.stored_chains import read_chains
from support import TESTS
from support.fakes import CHAINS


def writer(run, directory):
    return RunWriter(directory, run.description, this_session(1), lambda count: chain_lists.digest(CHAINS[:count]))


def test_a_torn_last_line_is_dropped_on_reading(run_fake):
    run = run_fake()
    path = run.directory / "chains.jsonl"
    content = path.read_bytes()
    for cut in (1, 30, len(content.splitlines(keepends=True)[-1]) - 1):
        path.write_bytes(content[:-cut])
        assert load_run(run.directory).records == run.records[:-1]


def test_a_torn_last_line_is_cut_off_before_the_run_goes_on(run_fake):
    run = run_fake()
    path = run.directory / "chains.jsonl"
    path.write_bytes(path.read_bytes()[:-40])
    assert load_run(run.directory).num_missing == 1
    again = run_fake()
    assert [record.without_times() for record in again.records] == [record.without_times() for record in run.records]
    assert all(json.loads(line) for line in path.read_text().splitlines())


def test_a_last_line_of_zeros_after_a_power_failure_is_dropped(run_fake):
    run = run_fake()
    with (run.directory / "chains.jsonl").open("ab") as file:
        file.write(b"\0" * 64 + b"\n")
    assert load_run(run.directory).records == run.records


def test_a_broken_line_in_the_middle_is_named(run_fake):
    run = run_fake()
    path = run.directory / "chains.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    lines[1] = "nonsense\n"
    path.write_text("".join(lines))
    with pytest.raises(ValueError, match=r"line 2 of '.*chains\.jsonl'"):
        load_run(run.directory)


def test_a_chain_that_is_there_twice_counts_as_it_was_first(run_fake):
    run = run_fake()
    path = run.directory / "chains.jsonl"
    again = json.loads(path.read_text().splitlines()[0]) | {"completed": 0}
    path.write_text(path.read_text() + json.dumps(again) + "\n")
    assert load_run(run.directory).records == run.records


def test_an_error_that_quotes_a_file_name_that_is_no_unicode_is_kept(run_fake):
    run = run_fake()
    odd = replace(run.records[0], chain=5, error="cannot read 'a\udcff'")
    (run.directory / "chains.jsonl").write_text("")
    with writer(run, run.directory) as writing:
        writing.append(odd)
    assert load_run(run.directory).records == (odd,)


def test_a_finished_chain_is_synced_to_the_disk(run_fake, monkeypatch):
    run = run_fake()
    (run.directory / "chains.jsonl").write_text("")
    synced = []
    fsync = os.fsync
    with writer(run, run.directory) as writing:
        monkeypatch.setattr(run_directory.os, "fsync", lambda file: synced.append(fsync(file)))
        writing.append(run.records[0])
    assert len(synced) == 1


def test_two_processes_may_not_write_to_one_folder(run_fake):
    run = run_fake()
    with writer(run, run.directory), pytest.raises(RunLockedError, match="another process is writing to"):
        writer(run, run.directory).__enter__()
    with writer(run, run.directory) as free_again:
        assert free_again.records == run.records


def test_a_full_disk_is_said_and_nothing_finished_is_lost(run_fake, monkeypatch, tmp_path):
    run = run_fake()
    before = (run.directory / "chains.jsonl").read_bytes()
    write = os.write

    def write_half(descriptor, data):
        if len(data) > 100:
            return write(descriptor, data[:100])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with writer(run, run.directory) as full:
        monkeypatch.setattr(run_directory.os, "write", write_half)
        with pytest.raises(OSError, match=r"cannot write chain 0 to '.*chains\.jsonl': No space left") as caught:
            full.append(run.records[0])
    assert caught.value.errno == errno.ENOSPC
    assert (run.directory / "chains.jsonl").read_bytes() == before


def test_a_full_disk_while_the_run_file_is_written_leaves_the_old_one(run_fake, monkeypatch):
    run = run_fake()
    before = (run.directory / "run.json").read_bytes()

    def no_space(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(run_directory.os, "fsync", no_space)
    with writer(run, run.directory) as full, pytest.raises(OSError, match=r"cannot write '.*run\.json'"):
        full.begin()
    assert (run.directory / "run.json").read_bytes() == before
    assert sorted(path.name for path in run.directory.iterdir()) == [".lock", "chains.jsonl", "run.json"]


def test_a_folder_that_cannot_be_made_is_named(run_fake, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"cannot write to '.*file.*'.*--out"):
        run_fake(directory=tmp_path / "file" / "run")


def test_chains_without_a_run_file_are_not_continued(run_fake):
    run = run_fake()
    (run.directory / "run.json").unlink()
    with pytest.raises(RunMismatchError, match=r"no run\.json"):
        run_fake()


def test_a_later_schema_is_refused_in_words(run_fake):
    run = run_fake()
    path = run.directory / "run.json"
    path.write_text(path.read_text().replace('"schema_version": 1', '"schema_version": 9'))
    with pytest.raises(ValueError, match="schema version 1 or older, got 9"):
        load_run(run.directory)


def test_runs_are_found_below_a_folder_once_each(run_fake, tmp_path):
    for policy in ("solver", "idle"):
        run_fake(policy, directory=tmp_path / "suite" / policy, chains=1)
    runs = find_runs(tmp_path / "suite", tmp_path / "suite" / "idle")
    assert sorted(run.description.policy for run in runs) == ["idle", "solver"]
    with pytest.raises(ValueError, match=r"found no run\.json"):
        find_runs(tmp_path / "elsewhere")


def test_a_frame_has_a_row_for_each_subtask_reached(run_fake):
    frame = run_fake().frame()
    assert len(frame) == 5 + 2 + 4 + 1 + 5 + 4
    assert (frame.outcome == "solved").sum() == 17
    assert frame.groupby("chain").completed.first().tolist() == [5, 1, 3, 0, 5, 3]
    assert frame[frame.chain == 1].position.tolist() == [1, 2]


SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, {here!r})
from support.fakes import CHAINS, make_fake_world, make_scripted
from calvinbench.harness.evaluation.evaluation import evaluate
from calvinbench.harness.suite.settings import RunSettings
from calvinbench.harness.rollout.workers import WorkerSetup

if __name__ == "__main__":
    settings = RunSettings("slow", scene="fake", chains=len(CHAINS), max_steps=10)
    evaluate(WorkerSetup(settings, make_fake_world, make_scripted), Path({out!r}), chains=CHAINS, worlds={worlds})
"""


@pytest.mark.parametrize("worlds", [1, 2])
def test_after_kill_9_the_run_goes_on_and_equals_an_unbroken_one(run_fake, tmp_path, worlds):
    out = tmp_path / "killed"
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(here=str(TESTS), out=str(out), worlds=worlds))
    process = subprocess.Popen([sys.executable, str(script)], stderr=subprocess.DEVNULL)
    wait_until(lambda: len(read_chains(out / "chains.jsonl").records) >= 2, process)
    helpers = children(process.pid)
    assert len(helpers) >= worlds - 1
    process.send_signal(signal.SIGKILL)
    process.wait()
    for helper in helpers:
        wait_until(lambda helper=helper: not is_running(helper))
    num_kept = len(load_run(out).records)
    assert 2 <= num_kept < len(CHAINS)
    resumed = run_fake("slow", directory=out)
    unbroken = run_fake("slow", directory=tmp_path / "unbroken")
    assert [record.without_times() for record in resumed.records] == [
        record.without_times() for record in unbroken.records
    ]
    assert resumed.records[0] == load_run(out).records[0]
    assert len(resumed.description.sessions) == 2


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(is_true, process=None, max_seconds=60):
    deadline = time.monotonic() + max_seconds
    while not is_true():
        assert process is None or process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline, "the run did not get anywhere"
        time.sleep(0.005)
