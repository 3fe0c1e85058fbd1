"""A served policy on chains, through the command."""

import json

import numpy as np
import pytest

from calvinbench.harness import cli
from calvinbench.harness.records.runs import load_run
from calvinbench.policies.adapters.remote.arrays import pack
from support.remote_server import served


def sway(observation, connection):
    """An action that depends on what is seen."""
    action = np.zeros(7)
    action[:3] = np.tanh(observation["robot_obs"][:3] + observation["rgb_static"].mean() / 255)
    action[6] = 1.0
    return pack({"actions": action[None]})


@pytest.mark.slow
@pytest.mark.parametrize("worlds", ["1", "2"])
def test_worlds_have_lines_of_their_own_to_one_server(worlds, tmp_path, capsys):
    with served(sway) as (place, seen):
        words = ["run", "--policy", f"ws://{place}", "--chains", "2", "--max-steps", "3", "--out", str(tmp_path)]
        assert cli.main([*words, "--worlds", worlds, "--json"]) == 0
    (run,) = json.loads(capsys.readouterr().out)["runs"]
    assert (run["finished"], run["errored"]) == (2, 0)
    assert len(seen) == 6
    records = load_run(run["directory"]).records
    assert all(record.subtasks[0].action_change > 0 for record in records)


def test_a_server_that_raises_costs_its_chain_and_its_words_are_kept(tmp_path, capsys):
    with served(lambda observation, connection: "ValueError: no") as (place, _):
        words = ["run", "--policy", f"ws://{place}", "--chains", "1", "--max-steps", "3", "--out", str(tmp_path)]
        assert cli.main([*words, "--json"]) == 1
    (run,) = json.loads(capsys.readouterr().out)["runs"]
    assert run["errored"] == 1
    assert "raised an error: ValueError: no" in load_run(run["directory"]).records[0].error


def test_a_run_does_not_go_on_with_a_server_that_says_something_else_of_itself(tmp_path, capsys):
    def run(metadata, chains):
        with served(sway, metadata, port) as (place, _):
            words = ["run", "--policy", f"ws://{place}", "--max-steps", "1", "--out", str(tmp_path)]
            return cli.main([*words, "--chains", chains, "--json"]), int(place.rpartition(":")[2])

    port = 0
    said = {"checkpoint": "a", "mean": np.arange(3.0)}
    status, port = run(said, "1")
    assert status == 0
    assert run(dict(reversed(said.items())), "2")[0] == 0
    capsys.readouterr()
    for other in (said | {"checkpoint": "b"}, said | {"mean": np.arange(3.0) + 1}):
        assert run(other, "3")[0] == 2
        assert "the description that its server sends" in capsys.readouterr().err
    assert run(None, "3")[0] == 0  # nothing is known of it
