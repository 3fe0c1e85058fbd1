import json
import shutil

import pytest

from calvinbench.envs.names import UnknownNameError
from calvinbench.envs.scenes.calvin_checkout import VALIDATION_SENTENCES, CheckoutError, default_folder
from calvinbench.harness import cli
from calvinbench.harness.diagnostics import install_calvin
from calvinbench.harness.diagnostics.install_calvin import InstallError
from support.git_repositories import bare_repository, git

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs the program git")


@pytest.fixture
def calvin(tmp_path):
    return bare_repository(tmp_path, "calvin", {str(VALIDATION_SENTENCES): "open_drawer: [open the drawer]\n"})


@pytest.fixture
def install(tmp_path, calvin):
    """Installs into tmp_path/in from the given repository of calvin_env."""

    def run(calvin_env, folder=tmp_path / "in" / "side", **changes):
        settings = {
            "folder": folder,
            "calvin_env_url": calvin_env[0],
            "calvin_env_commit": calvin_env[1],
            "calvin_url": calvin[0],
            "calvin_commit": calvin[1],
        } | changes
        return install_calvin.install_calvin(**settings)

    return run


@pytest.mark.recorded
def test_both_are_cloned_at_their_commits_and_a_second_time_changes_nothing(recordings, tmp_path, install):
    calvin_env = bare_repository(tmp_path, "calvin_env", recordings / "calvin_env")
    installed = install(calvin_env)
    folder = tmp_path / "in" / "side"
    assert sorted(entry.name for entry in folder.iterdir()) == ["calvin", "calvin_env"]
    assert git(folder / "calvin_env", "rev-parse", "HEAD") == calvin_env[1] == installed.calvin_env.commit
    assert installed.variables == {
        "CALVIN_ENV_ROOT": str(folder / "calvin_env"),
        "CALVIN_ROOT": str(folder / "calvin"),
    }
    assert not installed.calvin_env.was_there
    again = install(calvin_env)
    assert again.calvin_env.was_there
    assert again.calvin.was_there
    (folder / "calvin_env" / "conf" / "scene" / "calvin_scene_B.yaml").unlink()
    with pytest.raises(CheckoutError, match=r"calvin_scene_B\.yaml"):
        install(calvin_env)


def test_a_clone_that_lacks_files_is_thrown_away(tmp_path, install):
    calvin_env = bare_repository(tmp_path, "calvin_env", {"conf/scene/calvin_scene_A.yaml": "objects: {}\n"})
    with pytest.raises(InstallError, match=r"is not usable and was deleted: .*data"):
        install(calvin_env)
    assert not (tmp_path / "in").exists()


def test_an_address_without_a_repository_leaves_nothing_behind(tmp_path, install):
    with pytest.raises(InstallError, match=r"not fetch .*nowhere.*--calvin-env-url URL. No incomplete folder was left"):
        install((str(tmp_path / "nowhere"), "0" * 40))
    assert not (tmp_path / "in").exists()


def test_a_commit_that_is_not_there_leaves_nothing_behind_in_a_folder_of_the_users(tmp_path, install):
    calvin_env = bare_repository(tmp_path, "calvin_env", {"README.md": "something else"})
    (tmp_path / "mine").mkdir()
    with pytest.raises(InstallError, match="git could not fetch"):
        install((calvin_env[0], "1" * 40), folder=tmp_path / "mine")
    assert list((tmp_path / "mine").iterdir()) == []


def test_what_stands_in_the_way_is_never_touched(tmp_path, install):
    mine = tmp_path / "in" / "side" / "calvin_env"
    mine.mkdir(parents=True)
    (mine / "thesis.txt").write_text("mine")
    with pytest.raises(InstallError, match="it is no git checkout"):
        install(("unused", "1" * 40))
    assert (mine / "thesis.txt").read_text() == "mine"
    git(mine, "init", "--quiet")
    git(mine, "add", "thesis.txt")
    git(mine, "commit", "--quiet", "-m", "mine")
    with pytest.raises(InstallError, match=f"it is at {git(mine, 'rev-parse', 'HEAD')[:7]}"):
        install(("unused", "1" * 40))


def test_a_machine_without_git_is_told_what_to_do(tmp_path, install, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InstallError, match="expected the program git, found none"):
        install(("unused", "1" * 40))
    assert not (tmp_path / "in").exists()


def test_an_unknown_revision_is_refused(tmp_path):
    with pytest.raises(UnknownNameError, match="797142c"):
        install_calvin.install_calvin(tmp_path, revision="797142d")


def test_pinned_commits_are_whole_and_begin_as_they_are_called():
    for revision, commit in install_calvin.CALVIN_ENV_COMMITS.items():
        assert len(commit) == 40
        assert commit.startswith(revision)


def test_the_default_folder_is_the_users_data_folder(monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", "/home/someone/data")
    assert str(default_folder()) == "/home/someone/data/calvinbench"


def test_the_command_fails_in_words_and_prints_what_to_export(tmp_path, capsys, monkeypatch):
    words = ["install-calvin", str(tmp_path / "in"), "--calvin-env-url", str(tmp_path / "nowhere")]
    assert cli.main(words) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "git could not fetch" in said.err
    installed = install_calvin.Installed(
        install_calvin.Checkout("/some where/calvin_env", "797142c", False),
        install_calvin.Checkout("/some where/calvin", "fa03f01", True),
    )
    monkeypatch.setattr(install_calvin, "install_calvin", lambda *_: installed)
    assert cli.main(["install-calvin"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "export CALVIN_ENV_ROOT='/some where/calvin_env'",
        "export CALVIN_ROOT='/some where/calvin'",
    ]
    assert cli.main(["install-calvin", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["variables"]["CALVIN_ROOT"] == "/some where/calvin"
