"""Files that something else changed: each field is what it should be, or is refused by file and name."""

import json
import math
import random
import re

import pytest

from calvinbench.harness.records.action_summary import ActionSummary
from calvinbench.harness.records.description import RunDescription
from calvinbench.harness.records.records import ChainRecord, SubtaskRecord
from calvinbench.harness.records.runs import load_run
from calvinbench.harness.records.stored_chains import read_chains
from calvinbench.harness.records.typed_reading import InvalidFieldError, shortened

MISSING = object()
JUNK = (
    *(MISSING, None, -1, 0, 3, 3.5, True, False, 10**30, 1e308, math.inf, -math.inf, math.nan),
    *("x", "", "solved", "\ud800", [], {}, [3], ["\ud800"], [None], {"x": 1}, {"x": "\ud800"}, {"x": [1]}, [{"x": 1}]),
)
NUM_MUTATIONS = 1500


def is_text(value):
    return isinstance(value, str) and not any("\ud800" <= letter <= "\udfff" for letter in value)


def is_name(value):
    return is_text(value) and value != ""


def is_whole(value):
    return isinstance(value, int) and not isinstance(value, bool)


def is_count(value):
    return is_whole(value) and 0 <= value <= 2**53


def is_size(value):
    return is_count(value) and value >= 1


def is_amount(value):
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf


def is_share(value):
    return is_amount(value) and value <= 1


def or_none(is_legal):
    return lambda value: value is None or is_legal(value)


def list_of(is_legal):
    return lambda value: isinstance(value, list) and all(map(is_legal, value))


def object_of(is_legal):
    return lambda value: isinstance(value, dict) and all(map(is_text, value)) and all(map(is_legal, value.values()))


def never(_):
    return False


def anything(_):
    return True


LEGAL = {
    "run.json": {
        "": never,
        "schema_version": lambda value: value == 1 and is_whole(value),
        "privileged": lambda value: isinstance(value, bool),
        "tasks": list_of(is_name),
        "tasks.*": is_name,
        "observation_keys": list_of(is_name),
        "observation_keys.*": is_name,
        "may_read": list_of(is_text),
        "may_read.*": is_text,
        "unlike_training": list_of(is_name),
        "unlike_training.*": is_name,
        "official": never,
        "official.official": lambda value: value is False,  # there are reasons
        "official.because": lambda value: list_of(is_text)(value) and value != [],
        "official.because.*": is_text,
        "memory": never,
        "memory.span": lambda value: value in ("none", "unbounded"),
        "memory.reset": lambda value: value in ("subtask", "chain"),
        "sessions": lambda value: value == [],
        "sessions.*": never,
        "sessions.*.versions": object_of(or_none(is_text)),
        "sessions.*.versions.*": or_none(is_text),
        "sessions.*.worlds": is_size,
        "sessions.*.commit": or_none(is_text),
        "sessions.*.*": is_name,
        "chains": lambda value: is_count(value) and value >= 6,  # chain 5 is there
        "chain_length": lambda value: value is None or (is_size(value) and value >= 5),
        "max_steps": is_size,
        "chunk_length": is_size,
        "batch_size": is_size,
        "depth_bits": or_none(is_size),
        "seed": is_whole,
        "training_seed": or_none(is_whole),
        "created": is_text,
        **dict.fromkeys(
            ("variant", "suite", "train", "weights_digest", "source_digest", "reference_frame", "calvin_env"),
            or_none(is_text),
        ),
        "training_recipe": or_none(is_text),
        "*": is_name,
    },
    "chains.jsonl": {
        "": never,
        "chain": is_count,
        "initial_state": object_of(lambda value: is_whole(value) or is_text(value)),
        "initial_state.*": lambda value: is_whole(value) or is_text(value),
        "subtasks": never,
        "subtasks.*.outcome": lambda value: value == "solved",
        "subtasks.*.task": is_name,
        "subtasks.*.instruction": is_text,
        "subtasks.*.steps": is_count,
        "subtasks.*.gripper_changes": or_none(is_count),
        "subtasks.*.seconds": is_amount,
        "subtasks.*.policy_ms_counts": lambda value: value in (None, {}),
        "subtasks.*.policy_ms_counts.*": is_count,
        "subtasks.*.actions": lambda value: value is None,
        "subtasks.*.actions.closed": is_share,
        **{
            f"subtasks.*.actions.{name}": or_none(is_share)
            for name in ("translation_beyond", "rotation_beyond", "still")
        },
        "subtasks.*.actions.*": or_none(is_amount),
        "subtasks.*.*": or_none(is_amount),
        "subtasks.*": never,
        "completed": is_count,
        "outcome": lambda value: value == "solved",
        "error": or_none(lambda value: isinstance(value, str)),
        "traceback": or_none(lambda value: isinstance(value, str)),
        "lead_in": list_of(is_name),
        "lead_in.*": is_name,
    },
}
MAY_BE_MISSING = {
    *(
        "error",
        "traceback",
        "lead_in",
        "policy_ms_counts",
        "gripper_changes",
        "actions",
        "may_read",
        "chain_length",
        "batch_size",
        "variant",
    ),
    *("tasks", "weights_digest", "source_digest", "depth_bits", "reference_frame", "suite", "train", "training_seed"),
    *("training_recipe", "unlike_training", "calvin_env", "simulation", "created"),
}


def matches(path, pattern):
    parts = pattern.split(".") if pattern else []
    return len(parts) == len(path) and all(part in ("*", step) for part, step in zip(parts, path, strict=True))


def is_legal(file, path, value):
    pattern = next(pattern for pattern in LEGAL[file] if matches(path, pattern))
    if value is MISSING:
        is_entry = pattern.endswith((".*", ".versions.*")) and path[-1] not in {
            *SubtaskRecord.__slots__,
            *ActionSummary.__slots__,
        }
        return path[-1] in MAY_BE_MISSING or is_entry
    return LEGAL[file][pattern](value)


def ways(value, path=()):
    """The ways to all values in a JSON value, itself first."""
    yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from ways(inner, (*path, key))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from ways(inner, (*path, str(place)))


def mutated(value, path, junk):
    """A copy with junk in one place."""
    if not path:
        return junk
    if isinstance(value, list):
        entries = [
            mutated(inner, path[1:], junk) if str(place) == path[0] else inner for place, inner in enumerate(value)
        ]
        return [entry for entry in entries if entry is not MISSING]
    entries = {key: mutated(inner, path[1:], junk) if key == path[0] else inner for key, inner in value.items()}
    return {key: entry for key, entry in entries.items() if entry is not MISSING}


@pytest.mark.slow
def test_whatever_stands_in_a_field_is_legal_or_is_refused_by_file_and_name(run_fake):
    run = run_fake("raises", variant="v")
    folder = run.directory
    original = json.loads((folder / "run.json").read_text())
    lines = [json.loads(line) for line in (folder / "chains.jsonl").read_text().splitlines()]
    places = [("run.json", None, path) for path in ways(original)]
    places += [("chains.jsonl", number, path) for number, line in enumerate(lines) for path in ways(line)]
    assert len({path for _, _, path in places}) > 150
    drawn = [(*place, junk) for place in places for junk in JUNK if place[2] or junk is not MISSING]
    outcomes = {"legal": 0, "refused": 0}
    for file, number, path, junk in random.Random(0).sample(drawn, NUM_MUTATIONS):
        changed = original if number is not None else mutated(original, path, junk)
        changed_lines = [mutated(line, path, junk) if at == number else line for at, line in enumerate(lines)]
        (folder / "run.json").write_text(json.dumps(changed))
        (folder / "chains.jsonl").write_text("".join(json.dumps(line) + "\n" for line in changed_lines))
        what = (file, number, path, junk)
        error, read = load(folder)
        if error is not None:
            assert re.search(rf"/{re.escape(file)}'|chains\.jsonl'", str(error)), (what, str(error))
            if file == "chains.jsonl":
                assert f"in line {number + 1} of" in str(error), (what, str(error))
            named = re.search(r"field '([^']*)'|the whole|schema version", str(error))
            assert named, (what, str(error))
            assert not path or named[1] is None or belongs(path, named[1]), (what, str(error))
            assert len(str(error)) < 800
            outcomes["refused"] += 1
        else:
            assert is_legal(file, path, junk), what
            assert len(read.frame()) == sum(len(record.subtasks) for record in read.records)
            outcomes["legal"] += 1
    assert min(outcomes.values()) > 100


def load(folder):
    """The error that a folder's run raises, or the run."""
    try:
        return None, load_run(folder)
    except ValueError as error:
        return error, None


def belongs(path, named):
    """Whether a refusal names the field that was changed, what it is in, what is in it, or what it contradicts."""
    changed = ".".join(path)
    if f"{changed}.".startswith(f"{named}.") or f"{named}.".startswith(f"{changed}."):
        return True
    is_of_chain_s_end = {changed.rpartition(".")[2], named.rpartition(".")[2]} <= {"outcome", "completed", "subtasks"}
    is_of_run_s_size = changed in ("chains", "chain_length", "tasks") and named in ("chain", "subtasks", "outcome")
    return (
        is_of_chain_s_end or is_of_run_s_size or (changed.startswith("subtasks.") and named in ("outcome", "completed"))
    )


@pytest.mark.parametrize(
    ("field", "junk", "words"),
    [
        ("outcome", -1, r"field 'outcome': expected a text, got -1"),
        ("outcome", "lost", r"field 'outcome': expected one of solved, timed_out, errored, got 'lost'"),
        ("subtasks.0.steps", "x", r"field 'subtasks.0.steps': expected a whole number, got 'x'"),
        ("subtasks.0.steps", -1, r"field 'subtasks.0.steps': expected a number greater than or equal to 0, got -1"),
        ("subtasks.0.seconds", math.nan, r"field 'subtasks.0.seconds': expected a finite number, got nan"),
        ("subtasks.0.outcome", "\ud800", r"field 'subtasks.0.outcome': expected text in Unicode.*, got '\\ud800'"),
        ("initial_state", "x" * 500, r"field 'initial_state': expected an object, got 'x{70,80}"),
        ("initial_state.led", [1], r"field 'initial_state.led': expected a whole number or a text, got \[1\]"),
        ("chain", [], r"field 'chain': expected a whole number, got \[\]"),
        ("chain", 6, r"field 'chain': expected a number below 6, the run's number of chains, got 6"),
        ("completed", 4, r"field 'completed': expected 5, as many as its subtasks that were solved, got 4"),
        ("subtasks.0.task", MISSING, r"field 'subtasks.0.task': expected a value, got nothing"),
    ],
)
def test_a_chain_s_field_is_named_with_what_was_expected_and_what_came(run_fake, field, junk, words):
    path = run_fake().directory / "chains.jsonl"
    first, *others = path.read_text().splitlines(keepends=True)
    path.write_text(json.dumps(mutated(json.loads(first), field.split("."), junk)) + "\n" + "".join(others))
    with pytest.raises(ValueError, match=rf"line 1 of '.*chains\.jsonl', got something invalid: {words}"):
        load_run(path.parent)


@pytest.mark.parametrize(
    ("field", "junk", "words"),
    [
        ("privileged", 3.5, r"field 'privileged': expected true or false, got 3\.5"),
        ("label", {}, r"field 'label': expected a text, got \{\}"),
        ("official.because", 3.5, r"field 'official.because': expected a list, got 3\.5"),
        ("memory.span", 3, r"field 'memory.span': expected a text, got 3"),
        ("memory.span", "window:0", r"field 'memory': expected memory span 'none', 'unbounded' or 'window:N'"),
        ("schema_version", "1", r"field 'schema_version': expected a whole number, got '1'"),
    ],
)
def test_a_run_s_field_is_named_with_what_was_expected_and_what_came(run_fake, field, junk, words):
    path = run_fake().directory / "run.json"
    path.write_text(json.dumps(mutated(json.loads(path.read_text()), field.split("."), junk)))
    with pytest.raises(ValueError, match=rf"'.*run\.json', got something invalid: {words}"):
        load_run(path.parent)


def test_a_whole_last_line_with_junk_is_refused_not_dropped_as_torn(run_fake):
    path = run_fake().directory / "chains.jsonl"
    *others, last = path.read_text().splitlines(keepends=True)
    path.write_text("".join(others) + json.dumps(json.loads(last) | {"outcome": -1}) + "\n")
    with pytest.raises(ValueError, match="line 6 of"):
        load_run(path.parent)


def test_remedy_the_line_is_repaired_or_removed_and_its_chain_is_run_again(run_fake):
    run = run_fake()
    path = run.directory / "chains.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    broken = json.dumps(json.loads(lines[2]) | {"chain": "x"}) + "\n"
    path.write_text("".join([*lines[:2], broken, *lines[3:]]))
    with pytest.raises(ValueError, match="repair the line, or remove it and run the chain again"):
        run_fake()
    path.write_text("".join([*lines[:2], *lines[3:]]))
    again = run_fake()
    assert [record.without_times() for record in again.records] == [record.without_times() for record in run.records]
    path.write_text("".join(lines))
    assert load_run(run.directory).records == run.records


def test_remedy_a_broken_description_s_field_is_repaired_or_the_run_is_made_anew(run_fake, tmp_path):
    run = run_fake()
    path = run.directory / "run.json"
    text = path.read_text()
    path.write_text(text.replace('"privileged": true', '"privileged": 3.5'))
    with pytest.raises(ValueError, match="repair the field, or run again into another folder"):
        load_run(run.directory)
    assert run_fake(directory=tmp_path / "another").num_missing == 0
    path.write_text(text)
    assert load_run(run.directory) == run


def test_keys_of_later_versions_are_passed_over_and_fields_that_older_ones_lack_are_none(run_fake):
    run = run_fake()
    record = run.records[0].to_json()
    subtasks = [subtask | {"newer": {"x": [1]}} for subtask in record["subtasks"]]
    for subtask in subtasks:
        del subtask["policy_ms_counts"], subtask["gripper_changes"]
    read = ChainRecord.from_json(json.loads(json.dumps(record | {"newer": 3, "subtasks": subtasks})))
    assert {subtask.gripper_changes for subtask in read.subtasks} == {None}
    described = json.loads(json.dumps(run.description.to_json()))
    described["sessions"][0]["newer"] = described["memory"]["newer"] = described["newer"] = 1
    assert RunDescription.from_json(described) == run.description


def test_a_task_of_a_user_s_own_is_read(run_fake):
    values = json.loads(json.dumps(run_fake().records[0].to_json()))
    values["subtasks"][0]["task"] = "water_the_plants"
    assert ChainRecord.from_json(values).subtasks[0].task == "water_the_plants"


def test_what_is_read_is_written_as_it_was(run_fake):
    run = run_fake()
    lines = (run.directory / "chains.jsonl").read_text().splitlines()
    assert [json.dumps(record.to_json()) for record in run.records] == lines
    assert (
        run.description.to_json()
        == RunDescription.from_json(json.loads(json.dumps(run.description.to_json()))).to_json()
    )


def test_a_description_that_does_not_say_the_chains_length_is_of_five_and_is_written_without(run_fake):
    values = run_fake().description.to_json()
    del values["chain_length"]
    old = RunDescription.from_json(json.loads(json.dumps(values)))
    assert old.num_subtasks == 5
    assert old.to_json() == values


def test_a_thousand_chains_are_read_in_well_under_a_second(run_fake, tmp_path):
    import time

    line = json.loads((run_fake().directory / "chains.jsonl").read_text().splitlines()[0])
    path = tmp_path / "many.jsonl"
    path.write_text("".join(json.dumps(line | {"chain": number}) + "\n" for number in range(1000)))
    read_chains(path)
    began = time.process_time()
    assert len(read_chains(path).records) == 1000
    assert time.process_time() - began < 2  # with types checked at run time; 0.3 without


def test_long_values_are_shortened_and_no_half_character_is_printed():
    assert shortened("\ud800") == r"'\ud800'"
    assert len(shortened("x" * 1000)) == 80
    assert InvalidFieldError("a.b", "a text", 3).path == "a.b"
