"""The whole way by the commands that a user gives: demonstrations, a policy trained on them, a run of it, a report."""

import json
from pathlib import Path

import pytest

from calvinbench.harness import cli
from calvinbench.harness.records.runs import load_run
from support.small_training import write_numbers


@pytest.mark.slow
@pytest.mark.usefixtures("figures")
def test_record_then_train_then_run_then_report(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def said(*words):
        assert cli.main(list(words)) == 0
        return capsys.readouterr().out

    recorded = said(
        *("record", "--out", "demonstrations", "--form", "compact", "--static-size", "32", "--gripper-size", "16"),
        *("--episodes", "1", "--validation-episodes", "1", "--subtasks", "1", "--tasks", "turn_on_led", "turn_off_led"),
        "--json",
    )
    assert json.loads(recorded)["demonstrations"] == 2
    policy = f"untrained:cnn,memory_span=window:3,chunk_length=4,hidden_dim=16,size={write_numbers(tmp_path)}"
    trained = json.loads(
        said(
            *("train", "--policy", policy, "--data", "demonstrations", "--out", "trained", "--precision", "fp32"),
            *("--batch-size", "2", "--gradient-accumulation-steps", "1", "--window-size", "3", "--warmup-epochs", "0"),
            *("--max-steps", "2", "--device", "cpu", "--validate-every", "2", "--save-every", "2"),
            *("--evaluate-every", "2", "--evaluate-chains", "1", "--json"),
        )
    )
    assert trained["last"]["step"] == 2
    assert trained["last"]["average_length"] == 0.0  # two steps are no training
    said("run", "--policy", "checkpoint:trained/checkpoint", "--chains", "2", "--max-steps", "5", "--out", "runs")
    (run,) = [load_run(file.parent) for file in Path("runs").glob("*/run.json")]
    assert [record.outcome for record in run.records] == ["timed_out"] * 2
    described, dataset = run.description, json.loads(Path("demonstrations/dataset.json").read_text())
    # The checkpoint says where it is from, and this world is that of the demonstrations.
    assert (described.train, described.unlike_training) == ("embedded", ())
    assert (described.asset_digest, described.reference_frame) == (dataset["asset_digest"], dataset["reference_frame"])
    assert described.label.endswith("M, trained here)")
    assert "origin trained here; trained on embedded" in said("report", str(run.directory))
    table = (run.directory / "report" / "table.md").read_text()
    assert "origin trained here; trained on embedded" in table
    assert "Small policies, trained from scratch: cnn" in table
