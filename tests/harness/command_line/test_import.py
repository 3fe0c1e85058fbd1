import json

import pytest
import torch

from calvinbench.harness import cli
from calvinbench.policies.learned.checkpoint import load_checkpoint
from support.robovlms_files import write_files


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_files(tmp_path_factory.mktemp("robovlms"), "kosmos2")


def call(files, *more):
    return cli.main(["import", "robovlms", str(files.file), "--config", str(files.config), *more])


def test_a_dry_run_lists_what_would_go_where_and_writes_nothing(files, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert call(files, "--vlm", str(files.vlm), "--dry-run") == 0
    said = capsys.readouterr()
    assert "action_token [128] -> lrn.embedding" in said.out
    assert "backbone.text_model.lm_head.weight" in said.out
    assert "dropped: the language-modelling head" in said.out
    assert "vlm.pretrained_model_name_or_path = '.vlms/of-the-user'" in said.out
    assert "memory window:4 reset at each subtask" in said.out
    assert "0 missing, 0 left over, 0 with a different shape. Nothing was written." in said.out
    assert "could not be read" in said.err
    assert list(tmp_path.iterdir()) == []


def test_an_import_writes_a_checkpoint(files, tmp_path, capsys):
    assert call(files, "--vlm", str(files.vlm), "--out", str(tmp_path / "mine"), "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["out"] == str(tmp_path / "mine")
    assert said["fits"] is True
    assert said["missing"] == said["left"] == []
    assert load_checkpoint(tmp_path / "mine").config.backbone == "kosmos2"
    assert call(files, "--vlm", str(files.vlm), "--out", str(tmp_path / "mine")) == 0


def test_wrong_calls_are_told_in_words(files, tmp_path, capsys):
    assert call(files, "--dry-run") == 2
    assert "Name it: vlm=DIR in a policy spec, --vlm DIR" in capsys.readouterr().err
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("")
    assert call(files, "--vlm", str(files.vlm), "--out", str(tmp_path / "other")) == 2
    assert "which holds other files" in capsys.readouterr().err
    assert cli.main(["import", "openvla", str(files.file), "--config", str(files.config)]) == 2
    assert "expected 'robovlms', got 'openvla'" in capsys.readouterr().err
    assert cli.main(["import", "robovlms", str(files.file), "--config", "nowhere.json"]) == 2
    assert "expected a file as --config FILE.json, found none at 'nowhere.json'" in capsys.readouterr().err


def test_a_folder_that_deepspeed_left_is_recognised(files, tmp_path, capsys):
    folder = tmp_path / "epoch=4.ckpt"
    (folder / "checkpoint").mkdir(parents=True)
    (folder / "checkpoint" / "mp_rank_00_model_states.pt").write_bytes(b"")
    arguments = ["--config", str(files.config), "--vlm", str(files.vlm), "--dry-run"]
    assert cli.main(["import", "robovlms", str(folder), *arguments]) == 2
    assert "a folder that DeepSpeed left" in capsys.readouterr().err
    assert cli.main(["import", "robovlms", str(tmp_path / "nothing.pt"), *arguments]) == 2
    assert "expected a file as FILE.pt, or a folder of its pieces, found none at" in capsys.readouterr().err


def test_a_folder_of_pieces_is_imported(files, tmp_path):
    folder = tmp_path / "joined"
    folder.mkdir()
    torch.save(torch.load(files.file, weights_only=False), folder / "pytorch_model.bin")
    arguments = ["--config", str(files.config), "--vlm", str(files.vlm), "--out", str(tmp_path / "mine")]
    assert cli.main(["import", "robovlms", str(folder), *arguments]) == 0
    assert load_checkpoint(tmp_path / "mine").config.backbone == "kosmos2"


def test_a_checkpoint_that_does_not_fit_has_status_2_and_is_told_whole(files, tmp_path, capsys):
    config = json.loads(files.config.read_text())
    config["act_head"]["hidden_size"] = 8
    (tmp_path / "config.json").write_text(json.dumps(config))
    arguments = ["import", "robovlms", str(files.file), "--config", str(tmp_path / "config.json")]
    assert cli.main([*arguments, "--vlm", str(files.vlm), "--dry-run"]) == 2
    assert "DIFFERENT SHAPE: head.decoder.gripper.0.weight (1024, 16) instead of (1024, 8)" in capsys.readouterr().out
    assert cli.main([*arguments, "--vlm", str(files.vlm), "--out", str(tmp_path / "mine")]) == 2
    assert "of another shape" in capsys.readouterr().err
    assert not (tmp_path / "mine").exists()
