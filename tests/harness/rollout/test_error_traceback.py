import logging
from dataclasses import replace

import pytest

from calvinbench.harness import cli
from calvinbench.harness.evaluation.evaluation import evaluate
from calvinbench.harness.records.errored_chains import FirstErrorError
from calvinbench.harness.rollout import rollout
from calvinbench.harness.rollout.error_traceback import own_part
from calvinbench.harness.suite.reading import load_suite, parse_suite
from support.fakes import CHAINS


def shown(caplog):
    return [message for message in caplog.messages if message.startswith("The first error of this run")]


@pytest.mark.parametrize(
    ("policy", "settings"),
    [
        ("raises", {"worlds": 1}),
        ("raises", {"worlds": 2}),
        ("crowded-raises", {"worlds": 2, "batch_size": 2}),
    ],
)
def test_the_first_error_of_a_run_shows_the_users_part_of_its_traceback_once(run_fake, caplog, policy, settings):
    run = run_fake(policy, **settings)
    assert run.num_errored >= 1
    (message,) = shown(caplog)
    lines = message.splitlines()
    assert lines[1] == "Traceback (most recent call last):"
    assert "fakes.py" in lines[2]
    assert lines[-2] == "RuntimeError: the arm fell off"
    assert "rollout.py" not in message
    assert "world_batch.py" not in message


def test_remedy_the_whole_traceback_is_where_the_message_says(run_fake, caplog):
    run = run_fake("raises")
    (message,) = shown(caplog)
    assert f"'{run.directory / 'chains.jsonl'}', in the line of chain 1, under the key traceback" in message
    whole = run.records[1].traceback
    assert "rollout.py" in whole
    assert whole.endswith("RuntimeError: the arm fell off\n")


def test_of_two_errors_one_behind_the_other_both_keep_what_is_not_ours():
    ours = f'  File "{rollout.__file__}", line 1, in run\n    policy.act()\n'
    text = (
        f"Traceback (most recent call last):\n{ours}"
        '  File "/home/me/model.py", line 7, in step\n    return 1 / 0\nZeroDivisionError: division by zero\n\n'
        "The above exception was the direct cause of the following exception:\n\n"
        f'Traceback (most recent call last):\n{ours}  File "/home/me/model.py", line 9, in step\n    raise\nOops: no\n'
    )
    assert own_part(text) == text.replace(ours, "").rstrip()


def test_a_traceback_that_is_all_ours_is_kept_and_one_without_frames_is_not_shown():
    ours = f'  File "{rollout.__file__}", line 1, in run\n    policy.act()\n'
    text = f"Traceback (most recent call last):\n{ours}ValueError: expected act to return actions\n"
    assert own_part(text) == text.rstrip()
    assert own_part("calvinbench.harness.execution.executors.WorkerDiedError: the process died\n") is None


def test_a_deep_traceback_is_shortened_in_its_middle():
    frames = "".join(f'  File "/home/me/model.py", line {n}, in f{n}\n' for n in range(100))
    lines = own_part(f"Traceback (most recent call last):\n{frames}RecursionError: too deep\n").splitlines()
    assert len(lines) == 41
    assert lines[10] == "  ... (62 lines left out)"
    assert lines[-1] == "RecursionError: too deep"


@pytest.mark.parametrize(
    ("policy", "settings"),
    [("raises", {}), ("raises", {"worlds": 2}), ("crowded-raises", {"worlds": 2, "batch_size": 2})],
)
def test_fail_fast_stops_at_the_first_errored_chain_and_keeps_what_ended(fake_setup, tmp_path, policy, settings):
    batch = {"batch_size": settings["batch_size"]} if "batch_size" in settings else {}
    setup, worlds = fake_setup(policy, **batch), settings.get("worlds", 1)
    with pytest.raises(FirstErrorError, match=r"stopped \S+ at its first error.*: RuntimeError: the arm fell off"):
        evaluate(setup, tmp_path / "run", chains=CHAINS, worlds=worlds, fail_fast=True)
    run = evaluate(replace(setup, make_policy=fake_setup().make_policy), tmp_path / "run", chains=CHAINS, worlds=worlds)
    assert run.num_missing == 0


def test_remedy_after_fail_fast_the_same_call_goes_on_and_retry_errored_runs_the_errored_chain_again(
    fake_setup, tmp_path
):
    def go(**given):
        return evaluate(fake_setup("raises"), tmp_path / "run", chains=CHAINS, fail_fast=True, **given)

    with pytest.raises(FirstErrorError) as caught:
        go()
    assert "Kept: 2 chains in" in str(caught.value)
    assert "with --retry-errored" in str(caught.value)
    # The policy breaks in every second chain that one object of it runs: chain 2 is sound, chain 3 errs.
    with pytest.raises(FirstErrorError, match="in chain 3") as caught:
        go()
    assert "Kept: 4 chains in" in str(caught.value)
    with pytest.raises(FirstErrorError, match="in chain 3"):  # chain 1 is run again, and is sound
        go(retry_errored=True)
    outcomes = [record.outcome for record in evaluate(fake_setup("raises"), tmp_path / "run", chains=CHAINS).records]
    assert outcomes[1] != "errored"
    assert outcomes[3] == "errored"


BROKEN = """
from calvinbench.policies.baselines.random import RandomPolicy
class Broken(RandomPolicy):
    def act(self, *given): raise RuntimeError("never works")
"""


def test_the_command_stops_a_suite_at_the_first_error_with_status_1(tmp_path, monkeypatch, capsys, caplog):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "breaks_at_once.py").write_text(BROKEN)
    (tmp_path / "mine.yaml").write_text(
        "policy: ['python:breaks_at_once:Broken', random]\nchains: 3\nmax_steps: 2\nfail_fast: true\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert load_suite("mine.yaml").fail_fast
    caplog.set_level(logging.INFO)
    assert cli.main(["run", "mine.yaml"]) == 1
    said = capsys.readouterr().err
    assert "at its first error" in said
    assert len((tmp_path / "runs/mine/python-breaks_at_once-Broken/chains.jsonl").read_text().splitlines()) == 1
    assert not (tmp_path / "runs/mine/random").exists()
    (message,) = shown(caplog)
    assert 'breaks_at_once.py", line 4, in act' in message
    assert cli.main(["run", "--policy", "random", "--chains", "1", "--max-steps", "2", "--fail-fast"]) == 0


def test_fail_fast_is_true_or_false():
    with pytest.raises(ValueError, match="expected fail_fast to be true or false, got 'often'"):
        parse_suite("mine", "policy: [random]\nfail_fast: often", "mine")
