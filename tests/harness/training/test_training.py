"""`calvinbench train` as a user has it: killed and called again, on two processes, and in a folder that is in use."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file

from calvinbench.envs.scenes.calvin_checkout import CheckoutError
from calvinbench.harness import cli
from calvinbench.harness.evaluation import describing
from calvinbench.harness.records.folders import RunLockedError, locked_folder
from calvinbench.harness.suite.settings import RunSettings
from calvinbench.harness.training import training
from calvinbench.harness.training.call import TrainingCallError, make_call
from calvinbench.harness.training.training import TrainingMismatchError, train
from calvinbench.policies.demonstrations.calvin_pickle import save_dictionary
from calvinbench.policies.demonstrations.demonstrations import DataError
from calvinbench.policies.learned.trainable import GROUPS
from calvinbench.policies.registry import make_policy
from calvinbench.policies.training.log import read_log
from support.command_server import Command
from support.processes import processes_below, require_ended
from support.small_training import forget_accelerator, separate_training, write_data
from tests.policies.demonstrations.conftest import write_split

POLICY = "untrained:cnn,memory_span=window:3,chunk_length=4,hidden_dim=16"


def said(folder, out, policy=POLICY, **changes):
    """Keys of a small training; `num_layers=2` in the policy has dropout."""
    return {
        "policy": f"{policy},size={folder / 'numbers.json'}",
        "data": str(folder / "data"),
        "out": str(out),
        "precision": "fp32",
        "learning_rate": 1e-3,
        "batch_size": 2,
        "gradient_accumulation_steps": 1,
        "window_size": 3,
        "max_steps": 2,
        "validate_every": 0,
        "device": "cpu",
    } | changes


def flags(keys):
    return [word for key, value in keys.items() for word in (f"--{key.replace('_', '-')}", str(value))]


def start(keys, **environment):
    """The real command in a process of its own."""
    words = ["train", *flags(keys), "--json"]
    return Command(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | environment)


def again(keys):
    forget_accelerator()
    return train(make_call(keys), lambda words: None)


def losses(out):
    """Cells of `losses.csv` but for the seconds."""
    rows = [line.split(",") for line in (out / "losses.csv").read_text().splitlines()]
    return [row[:4] + row[5:] for row in rows]


def last_state(out):
    (state,) = [folder for folder in (out / "state").iterdir() if folder.name.startswith("step_")]
    return state


def wait_for_step(process, out, step):
    while process.poll() is None and [line.step for line in read_log(out)][-1:] < [step]:
        time.sleep(0.02)
    assert process.poll() is None, process.communicate()


def test_a_training_that_is_stopped_and_killed_and_called_again_ends_as_an_unbroken_one(
    folder, tmp_path, capsys, caplog
):
    """By SIGTERM, which ends it as Ctrl-C does, then by SIGKILL; the third call goes on to the end."""
    broken, unbroken = tmp_path / "broken", tmp_path / "unbroken"
    changes = {"max_steps": 60, "save_every": 10, "log_every": 3, "schedule": "cosine", "max_epochs": 100}
    policy = f"{POLICY},num_layers=2"
    keys = said(folder, broken, policy, **changes)
    process = start(keys | {"num_workers": 1})
    wait_for_step(process, broken, 12)
    children = processes_below(process.pid)
    assert children
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (1, ""), errors
    require_ended(children, errors)
    stopped_after = int(last_state(broken).name.removeprefix("step_"))
    assert 10 <= stopped_after < 60
    process = start(keys)
    wait_for_step(process, broken, stopped_after + 6)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert stopped_after <= int(last_state(broken).name.removeprefix("step_")) < 60
    forget_accelerator()
    assert cli.main(["train", *flags(keys), "--json"]) == 0
    assert "going on after step" in caplog.text
    assert json.loads(capsys.readouterr().out)["last"]["step"] == 60
    again(said(folder, unbroken, policy, **changes))
    weights = [(out / "checkpoint" / "model.safetensors").read_bytes() for out in (broken, unbroken)]
    assert weights[0] == weights[1]
    assert losses(broken) == losses(unbroken)
    assert [line.step for line in read_log(broken)] == sorted({*range(3, 61, 3), *range(10, 61, 10)})
    optimizers, schedules = (
        [torch.load(last_state(out) / file) for out in (broken, unbroken)]
        for file in ("optimizer.bin", "custom_checkpoint_0.pkl")
    )
    torch.testing.assert_close(optimizers[0]["state"], optimizers[1]["state"], atol=0, rtol=0)
    assert optimizers[0]["param_groups"] == optimizers[1]["param_groups"]
    assert schedules[0] == schedules[1]
    assert len(json.loads((broken / "training.json").read_text())["sessions"]) == 3


def start_two(keys):
    """The same in two processes that train together."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = str(probe.getsockname()[1])
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": port}
    return [start(keys, RANK=str(rank), LOCAL_RANK=str(rank), **shared) for rank in (0, 1)]


@pytest.mark.slow
def test_two_processes_with_a_loader_each_that_are_killed_end_as_unbroken_ones(folder, tmp_path):
    killed, unbroken = tmp_path / "killed", tmp_path / "unbroken"
    changes = {"max_steps": 24, "save_every": 8, "log_every": 2, "max_epochs": 100, "batch_size": 1}
    device = "cpu" if torch.accelerator.is_available() else "auto"  # what is not said, on a machine without
    policy = f"{POLICY},num_layers=2"  # with dropout
    keys = said(folder, killed, policy, **changes, device=device, num_workers=1)
    whole = start_two(said(folder, unbroken, policy, **changes, device=device))  # the same windows without loaders
    done = [process.communicate() for process in whole]
    assert [process.returncode for process in whole] == [0, 0], done
    processes = start_two(keys)
    while processes[0].poll() is None and [line.step for line in read_log(killed)][-1:] < [10]:
        time.sleep(0.02)
    for process in processes:
        process.send_signal(signal.SIGKILL)
    for process in processes:
        process.communicate()
    assert [process.returncode for process in processes] == [-signal.SIGKILL] * 2
    assert last_state(killed).name in ("step_00000008", "step_00000016")
    processes = start_two(keys)
    done = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], done
    assert "going on after step" in done[0][1]
    weights = [(out / "checkpoint" / "model.safetensors").read_bytes() for out in (killed, unbroken)]
    assert weights[0] == weights[1]
    assert losses(killed) == losses(unbroken)


def test_two_processes_take_the_steps_of_one(folder, tmp_path):
    changes = {"max_steps": 3, "learning_rate": 1e-4, "log_every": 1, "validate_every": 3, "effective_batch_size": 6}
    changes |= {"max_gradient_norm": 0.05, "gripper_loss_ratio": 1.0, "warmup_epochs": 0}
    policy = f"{POLICY},num_layers=1"  # without dropout
    device = "cpu" if torch.accelerator.is_available() else "auto"  # what is not said, on a machine without
    keys = said(folder, tmp_path / "two", policy, **changes, batch_size=1, gradient_accumulation_steps=3, device=device)
    processes = start_two(keys)
    done = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], done
    assert json.loads(done[0][0])["last"]["windows"] == 18
    assert done[1][0] == ""  # one speaks for all
    assert "Effective batch: 1 windows x 3 accumulated x 2 processes = 6" in done[0][1]
    again(said(folder, tmp_path / "one", policy, **changes, batch_size=6, gradient_accumulation_steps=1))
    one, two = (load_file(tmp_path / out / "checkpoint" / "model.safetensors") for out in ("one", "two"))
    for name, weight in one.items():
        torch.testing.assert_close(two[name], weight, atol=1e-6, rtol=0, msg=name)
    for line, of_two in zip(read_log(tmp_path / "one"), read_log(tmp_path / "two"), strict=True):
        for name in ("loss", "pose_loss", "gripper_loss", "gripper_accuracy", "gradient_norm", "learning_rate"):
            assert getattr(of_two, name) == pytest.approx(getattr(line, name), rel=1e-4), name
        assert (of_two.windows, of_two.frames) == (line.windows, line.frames)
    assert read_log(tmp_path / "two")[-1].validation_loss == pytest.approx(
        read_log(tmp_path / "one")[-1].validation_loss, rel=1e-5
    )
    assert sorted(file.name for file in last_state(tmp_path / "two").glob("random_states_*")) == [
        "random_states_0.pkl",
        "random_states_1.pkl",
    ]


def test_what_is_trained_is_told_before_it_is(folder, tmp_path, monkeypatch):
    words = []

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(training.Trainer, "run", stop)
    with pytest.raises(KeyboardInterrupt):
        train(make_call(said(folder, tmp_path, freeze_backbone=True)), words.append)
    (text,) = words
    rows = {row.split("|")[1].strip(): row.split("|")[2:4] for row in text.splitlines() if row.startswith("|")}
    assert [cell.strip() for cell in rows["vision"]] == ["3,168", "0"]
    assert [cell.strip() for cell in rows["[LRN]"]] == ["16", "16"]
    assert rows["head"][0].strip() == rows["head"][1].strip() != "0"
    counts = {name: int(cells[0].replace(",", "")) for name, cells in rows.items() if name in (*GROUPS, "all")}
    assert counts.pop("all") == sum(counts.values())
    assert (
        "6 demonstrations, 39 frames, 15 windows of 3 frames, as many as cover them once, which reach 100% of" in text
    )
    assert "of the frames. Effective batch: 2 windows x 1 accumulated" in text
    assert "2 steps, 7 an epoch (each window once). Memory window:3, without proprioception." in text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"window_stride": 1}, "27 windows of 3 frames, one every frame, which reach 100% of the frames."),
        ({"window_stride": 4}, "9 windows of 3 frames, one every 4 frames, which reach 69.2% of the frames."),
        (
            {"policy": POLICY.replace("window:3", "unbounded"), "window_size": 5},
            "6 windows of at most 5 frames, from the start of each, which reach 74.4% of the frames.",
        ),
    ],
)
def test_how_windows_are_cut_and_what_they_reach_is_told(folder, tmp_path, monkeypatch, changes, words):
    told = []
    monkeypatch.setattr(training.Trainer, "run", lambda *_: None)
    train(make_call(said(folder, tmp_path, **changes, warmup_epochs=0)), told.append)
    assert words in told[0]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"learning_rate": 2e-3}, "settings.optimization.learning_rate was 0.001 and is now 0.002"),
        ({"batch_size": 4}, "effective_batch_size was 2 and is now 4"),
        ({"freeze_backbone": True}, "settings.trainable.freeze_backbone was false and is now true"),
        ({"tasks": ["open_drawer"]}, r"settings.tasks was \[\] and is now \[\"open_drawer\"\]"),
        ({"policy": f"{POLICY},proprioception=true"}, "policy.proprioception was false and is now true"),
    ],
)
def test_another_training_in_the_same_folder_is_refused_and_what_differs_is_named(folder, trained, changes, words):
    before = (trained / "training.json").read_text()
    with pytest.raises(TrainingMismatchError, match=f"holds a training with other settings: .*{words}"):
        again(said(folder, trained, **changes))
    assert (trained / "training.json").read_text() == before


@pytest.fixture(scope="module")
def trained(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("trained")
    with separate_training():
        again(said(folder, out))
    return out


def test_other_data_in_the_same_folder_is_refused(folder, trained, tmp_path):
    write_data(tmp_path / "data", lengths=(5, 9, 7))
    with pytest.raises(TrainingMismatchError, match="6 annotations then, 3 now; 39 annotated frames then, 21 now; 3"):
        again(said(folder, trained, data=str(tmp_path / "data")))


def test_a_training_that_is_older_than_the_stride_goes_on_without_one_and_with_none_other(folder, tmp_path):
    again(said(folder, tmp_path))
    file = tmp_path / "training.json"
    older = json.loads(file.read_text())
    del older["settings"]["optimization"]["window_stride"]
    file.write_text(json.dumps(older))
    with pytest.raises(TrainingMismatchError, match="window_stride was null and is now 1"):
        again(said(folder, tmp_path, max_steps=4, window_stride=1))
    again(said(folder, tmp_path, max_steps=4))
    assert [line.step for line in read_log(tmp_path)] == [2, 4]


def test_what_does_not_change_the_steps_may_be_changed_on_the_way(folder, tmp_path):
    again(said(folder, tmp_path))
    again(
        said(
            folder,
            tmp_path,
            batch_size=1,
            gradient_accumulation_steps=2,
            max_steps=4,
            log_every=1,
            gradient_checkpointing=True,
        )
    )
    assert [line.step for line in read_log(tmp_path)] == [2, 3, 4]


def test_a_folder_in_which_another_process_trains_is_left_alone(folder, trained):
    before = (trained / "training.json").read_text()
    with locked_folder(trained), pytest.raises(RunLockedError, match="another process is writing to"):
        again(said(folder, trained, max_steps=4))
    assert (trained / "training.json").read_text() == before


def test_before_anything_was_trained_settings_may_be_changed(folder, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(training.Trainer, "run", stop)
        with pytest.raises(KeyboardInterrupt):
            again(said(folder, tmp_path))
    again(said(folder, tmp_path, learning_rate=2e-3))
    assert json.loads((tmp_path / "training.json").read_text())["settings"]["optimization"]["learning_rate"] == 2e-3


def test_remedy_a_policy_with_a_label_is_trained_without_it(folder, tmp_path):
    with pytest.raises(TrainingCallError, match="without 'label', 'blank_images' and"):
        again(said(folder, tmp_path / "out", policy=f"{POLICY},label=mine"))
    again(said(folder, tmp_path / "out"))
    assert (tmp_path / "out" / "training.json").exists()


def test_a_product_that_is_not_the_effective_batch_size_is_refused(folder, tmp_path):
    with pytest.raises(
        TrainingCallError, match=r"effective_batch_size, got 2 x 3 x 1 = 6 and 8: batch_size 2 \(given as"
    ):
        again(said(folder, tmp_path / "out", gradient_accumulation_steps=3, effective_batch_size=8))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"gripper_shift": 2},
            "gripper_shift=2 has no effect because the policy sees the static camera alone",
        ),
        (
            {"same_shift_in_window": False, "static_shift": 0},
            "same_shift_in_window=False has no effect because images are not shifted",
        ),
        ({"max_steps": 36}, "max_steps of at most max_epochs x steps an epoch, 5 x 7 = 35, got 36"),
        (
            {"window_stride": 1, "policy": POLICY.replace("window:3", "unbounded"), "window_size": 9},
            "window_stride=1 has no effect",
        ),
        ({"tasks": ["open_drawer", "stack_block"]}, "each of the tasks to train on in .* found none of stack_block"),
        ({"policy": f"{POLICY},memory_reset=chain"}, "expected memory_reset=subtask"),
    ],
)
def test_what_does_nothing_with_the_policy_and_the_data_is_refused(folder, tmp_path, changes, words):
    blocks = {"use_hand_rgb": False, "window_size": 3, "act_head": {"hidden_size": 16, "num_layers": 1}}
    file = tmp_path / "blocks.json"
    file.write_text(json.dumps(blocks))
    static = f"untrained:cnn,config={file},chunk_length=4"
    keys = said(folder, tmp_path / "out", **{"policy": static} | changes)
    with pytest.raises(ValueError, match=words):
        again(keys)
    assert not (tmp_path / "out").exists()


def test_a_static_policy_out_of_a_file_or_a_checkpoint_is_trained_without_shifts_of_the_other_camera(folder, tmp_path):
    static = f"{POLICY},cameras=static"
    again(said(folder, tmp_path / "first", static, gripper_shift=0))
    checkpoint = {"policy": f"checkpoint:{tmp_path / 'first' / 'checkpoint'}"}
    again(said(folder, tmp_path / "second") | checkpoint)
    with pytest.raises(TrainingCallError, match="gripper_shift=3 has no effect"):
        again(said(folder, tmp_path / "third") | checkpoint | {"gripper_shift": 3})


def test_epochs_said_by_a_flag_take_the_place_of_the_configurations_steps(folder, tmp_path):
    forget_accelerator()
    configuration = said(folder, tmp_path / "out", max_steps=100, max_epochs=100)
    made = train(make_call({"max_epochs": 1}, configuration), lambda words: None)
    assert made.num_steps == 7


def test_data_without_a_validation_split_is_told_what_to_do(folder, tmp_path):
    write_data(tmp_path / "data")
    (tmp_path / "data" / "validation").rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="Or set --validate-every 0 to train without a validation loss"):
        again(said(folder, tmp_path / "out", data=str(tmp_path / "data"), validate_every=2))
    again(said(folder, tmp_path / "out", data=str(tmp_path / "data")))


@pytest.fixture(scope="module")
def calvins(folder, tmp_path_factory):
    """A data set in CALVIN's layout as CALVIN ships them, without a file of our recorder's: of scenes A, B and C."""
    made = tmp_path_factory.mktemp("calvins") / "task_ABC_D"
    for split in ("training", "validation"):
        write_split(made / split)
    save_dictionary(
        made / "training" / "scene_info.npy",
        {"calvin_scene_B": [0, 110], "calvin_scene_C": [111, 170], "calvin_scene_A": [171, 900]},
    )
    return made


def test_a_checkpoint_says_on_which_of_calvins_scenes_it_was_trained(folder, calvins, tmp_path):
    again(said(folder, tmp_path, data=str(calvins), warmup_epochs=0))
    policy = make_policy(f"checkpoint:{tmp_path / 'checkpoint'}")
    assert policy.traits.trained_on.scene == "ABC"
    settings = RunSettings(policy="checkpoint", scene="D")
    assert describing.training_of(settings, policy.traits)["train"] == "ABC"


def test_data_of_several_scenes_must_be_told_where_to_be_evaluated(folder, calvins, tmp_path):
    keys = said(folder, tmp_path / "out", data=str(calvins), warmup_epochs=0, save_every=1, evaluate_every=1)
    with pytest.raises(TrainingCallError, match=r"the data are from ABC\. Add --evaluate-scene"):
        again(keys)
    assert not (tmp_path / "out").exists()


def test_a_world_to_evaluate_in_that_is_not_there_is_told_before_the_first_step(folder, calvins, tmp_path):
    keys = said(
        folder, tmp_path / "out", data=str(calvins), warmup_epochs=0, save_every=1, evaluate_every=1, evaluate_scene="D"
    )
    with pytest.raises(CheckoutError, match="calvin_env"):
        again(keys | {"calvin_env": str(tmp_path / "nowhere")})
    assert not (tmp_path / "out").exists()


def test_a_configuration_in_yaml_and_flags_over_it(folder, tmp_path, capsys):
    keys = said(folder, tmp_path / "out")
    file = tmp_path / "small.yaml"
    file.write_text("\n".join(f"{key}: {value}" for key, value in keys.items()) + "\nweight_decay: 1e-2\n")
    assert cli.main(["train", str(file), "--max-steps", "3", "--paraphrases", "false", "--json"]) == 0
    said_out = json.loads(capsys.readouterr().out)
    assert (said_out["last"]["step"], said_out["last"]["windows"]) == (3, 6)
    settings = json.loads((tmp_path / "out" / "training.json").read_text())["settings"]
    assert (settings["paraphrases"], settings["optimization"]["weight_decay"]) == (False, 0.01)
    assert cli.main(["train", str(file), "--max-steps", "3", "--learning-rate", "1", "--paraphrases", "false"]) == 2
    assert "learning_rate was 0.001 and is now 1.0" in capsys.readouterr().err


def test_without_the_packages_of_training_it_is_said_which_to_install(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "accelerate", None)
    assert cli.main(["train", *flags(said(folder, tmp_path / "out"))]) == 2
    assert (
        "needs the package accelerate, which is not installed: pip install 'calvinbench[train]'"
        in capsys.readouterr().err
    )
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_is_trained_on(folder, trained, tmp_path):
    keys = said(folder, tmp_path) | {"policy": f"checkpoint:{trained / 'checkpoint'}"}
    again(keys | {"learning_rate": 1e-12})
    before, after = (load_file(out / "checkpoint" / "model.safetensors") for out in (trained, tmp_path))
    for name, weight in before.items():
        torch.testing.assert_close(after[name], weight, atol=1e-10, rtol=0)
