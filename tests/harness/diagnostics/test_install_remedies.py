"""Remedies that need git or pip: what install-calvin, a checkout's errors and doctor advise is done, and it works."""

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from functools import partial
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from calvinbench.envs.cameras.renderers import require_works
from calvinbench.envs.instructions import load_instructions
from calvinbench.envs.play_table import PlayTableEnv
from calvinbench.envs.scenes.calvin_checkout import VALIDATION_SENTENCES, CheckoutError, find_calvin, find_calvin_env
from calvinbench.envs.scenes.loading import load_scene
from calvinbench.harness import cli
from calvinbench.harness.diagnostics import doctor, install_calvin
from calvinbench.harness.diagnostics.doctor_checkouts import check_checkouts
from calvinbench.harness.diagnostics.install_calvin import InstallError
from support.checkouts import hollow_calvin_env, small_calvin
from support.git_repositories import bare_repository, git

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="needs the program git")
PROJECT = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]


@pytest.fixture(autouse=True)
def nothing_is_found(monkeypatch, tmp_path):
    """A machine without checkouts."""
    for name in ("CALVIN_ROOT", "CALVIN_ENV_ROOT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr("calvinbench.envs.scenes.calvin_checkout.find_spec", lambda name: None)


@pytest.fixture
def sources(tmp_path, monkeypatch):
    """Repositories of both on this machine; every scene of this calvin_env counts as whole."""
    monkeypatch.setattr(install_calvin, "_require_calvin_env", lambda root: find_calvin_env(root))
    calvin_env = bare_repository(tmp_path, "calvin_env", {"conf/scene/a.yaml": "a: 1\n", "data/a.urdf": "<robot/>\n"})
    calvin = bare_repository(tmp_path, "calvin", small_calvin(tmp_path / "calvin_files"))
    return calvin_env, calvin


@pytest.fixture
def install(sources, monkeypatch):
    """`install_calvin` that takes both from the repositories on this machine."""
    (env_url, env_commit), (url, commit) = sources
    real = install_calvin.install_calvin
    settings = {"calvin_env_commit": env_commit, "calvin_commit": commit}
    monkeypatch.setattr(install_calvin, "install_calvin", partial(real, **settings))
    return partial(real, calvin_env_url=env_url, calvin_url=url, **settings)


def error_of(call, kind=InstallError):
    with pytest.raises(kind) as raised:
        call()
    return str(raised.value)


@needs_git
@pytest.mark.parametrize("way", ["choose another folder", "move this one away"])
def test_remedy_what_stands_in_the_way_is_moved_or_another_folder_named(tmp_path, install, way):
    mine = tmp_path / "in" / "calvin_env"
    mine.mkdir(parents=True)
    (mine / "thesis.txt").write_text("mine")
    said = error_of(lambda: install(tmp_path / "in"))
    assert "Choose another folder, or move this one away" in said
    folder = tmp_path / "in"
    if way == "move this one away":
        mine.rename(tmp_path / "elsewhere")
    else:
        folder = tmp_path / "other"
    installed = install(folder)
    assert find_calvin_env(installed.calvin_env.path).revision == installed.calvin_env.commit[:7]


@needs_git
def test_remedy_a_folder_that_cannot_be_written_is_another_one(tmp_path, install):
    (tmp_path / "file").write_text("")
    said = error_of(lambda: install(tmp_path / "file" / "below"))
    assert said.endswith("Choose another folder.")
    assert not install(tmp_path / "free").calvin.was_there


@needs_git
def test_remedy_without_git_the_folders_are_copied_and_named(tmp_path, install, monkeypatch):
    installed = install(tmp_path / "another machine")
    with monkeypatch.context() as patched:
        patched.setenv("PATH", str(tmp_path))
        said = error_of(lambda: install(tmp_path / "here"))
    assert "clone on another machine and copy the folders here" in said
    (env_variable, variable) = re.findall(r"[A-Z_]+_ROOT", said)
    shutil.copytree(tmp_path / "another machine", tmp_path / "here")
    monkeypatch.setenv(env_variable, str(tmp_path / "here" / "calvin_env"))
    monkeypatch.setenv(variable, str(tmp_path / "here" / "calvin"))
    assert find_calvin_env().root == tmp_path / "here" / "calvin_env"
    assert load_instructions("calvin").seen
    assert find_calvin_env().revision == installed.calvin_env.commit[:7]


@needs_git
def test_remedy_another_address_is_given_by_the_flag_that_the_error_names(tmp_path, install, sources, capsys):
    (env_url, _), (url, _) = sources
    words = ["install-calvin", str(tmp_path / "in")]
    flags = {"--calvin-env-url": str(tmp_path / "nowhere"), "--calvin-url": str(tmp_path / "nowhere")}
    for address in (env_url, url):
        assert cli.main([*words, *(word for pair in flags.items() for word in pair)]) == 1
        (flag,) = re.findall(r"another address by (--[a-z-]+) URL", capsys.readouterr().err)
        assert flags[flag] != address
        flags[flag] = address
    assert cli.main([*words, *(word for pair in flags.items() for word in pair)]) == 0
    exported = dict(line.removeprefix("export ").split("=") for line in capsys.readouterr().out.splitlines())
    assert find_calvin(shlex.split(exported["CALVIN_ROOT"])[0])
    assert find_calvin_env(shlex.split(exported["CALVIN_ENV_ROOT"])[0])


@needs_git
def test_remedy_what_install_calvin_clones_is_found_without_a_word(install):
    said = error_of(find_calvin_env, CheckoutError)
    assert "`calvinbench install-calvin` clones" in said
    installed = install()
    assert str(find_calvin_env().root) == installed.calvin_env.path
    assert str(find_calvin()) == installed.calvin.path


@needs_git
def test_remedy_an_empty_submodule_is_fetched_by_the_command_that_the_error_names(tmp_path, sources, monkeypatch):
    (env_url, _), (url, _) = sources
    work, user = tmp_path / "work", tmp_path / "user"
    git(tmp_path, "clone", "--quiet", url, str(work))
    git(work, "submodule", "--quiet", "add", env_url, "calvin_env")
    git(work, "commit", "--quiet", "-m", "with calvin_env")
    git(tmp_path, "clone", "--quiet", str(work), str(user))
    said = error_of(lambda: find_calvin_env(user), CheckoutError)
    (command,) = re.findall(r"Run `(git [^`]+)`", said)
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")  # git takes submodules from folders only if it is told to
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "protocol.file.allow")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "always")
    subprocess.run(shlex.split(command), check=True, capture_output=True)
    assert find_calvin_env(user).root == user / "calvin_env"


def test_remedy_the_folder_that_holds_the_files_is_named(tmp_path):
    whole = hollow_calvin_env(tmp_path / "outer" / "inner" / "calvin_env")
    said = error_of(lambda: find_calvin_env(tmp_path / "outer"), CheckoutError)
    assert "Name the folder that contains `conf/` and `data/`" in said
    assert find_calvin_env(whole).root == whole
    calvin = small_calvin(tmp_path / "calvin")
    said = error_of(lambda: find_calvin(calvin / "calvin_models"), CheckoutError)
    assert "Name the folder that contains `calvin_models/`" in said
    assert (find_calvin(calvin) / VALIDATION_SENTENCES).is_file()


@pytest.mark.parametrize("way", ["flag", "variable"])
def test_remedy_a_missing_checkout_that_doctor_names_is_given(tmp_path, monkeypatch, way):
    missing, of_calvin = check_checkouts()
    assert (missing.status, of_calvin.status) == ("missing", "missing")
    (variable,) = set(re.findall(r"CALVIN_ENV_ROOT", missing.remedy))
    assert "--calvin-env DIR" in missing.remedy
    whole = hollow_calvin_env(tmp_path / "calvin_env")
    if way == "variable":
        monkeypatch.setenv(variable, str(whole))
    found, _ = check_checkouts(whole if way == "flag" else None)
    assert found.status != "missing"  # it is found; that this one is hollow is the next thing that it says
    assert str(whole) in found.remedy


def pip_commands():
    remedies = [remedy for _, _, remedy in doctor._CHECKS] + [doctor._BUILD_PYBULLET, "pip install calvinbench"]
    nowhere = install_calvin.Checkout("", "", was_there=False)
    texts = [*remedies, install_calvin.Installed(nowhere, nowhere).pip_command]
    found = [command for text in texts for command in re.findall(r"pip install (?:'[^']*'|[^;&:,'])*", text)]
    commands = {command.split(". ")[0].strip() for command in found}
    assert len(commands) >= 7
    return sorted(commands)


@pytest.mark.parametrize("command", pip_commands())
def test_remedy_pip_knows_every_option_and_package_of_what_doctor_and_install_calvin_advise(command):
    """Nothing is installed: pip's own parser reads the options, and versions agree with what the project needs."""
    words = shlex.split(command)
    assert words[:2] == ["pip", "install"]
    options = [word for word in words[2:] if word.startswith("-")]
    packages = [Requirement(word) for word in words[2:] if not word.startswith("-")]
    assert packages
    pip = [sys.executable, "-m", "pip", "install", *options, "--dry-run", "--no-index", "--no-deps"]
    done = subprocess.run([*pip, "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(option in done.stdout for option in options)
    needed = {Requirement(text).name: Requirement(text).specifier for text in PROJECT["dependencies"]}
    for package in packages:
        if package.specifier:
            assert package.specifier == needed[package.name]
            assert metadata.version(package.name) in package.specifier
        elif package.name in needed:
            assert metadata.version(package.name) in SpecifierSet(str(needed[package.name]))


def test_remedy_the_renderer_that_doctor_falls_back_on_draws():
    (remedy,) = [remedy for name, _, remedy in doctor._CHECKS if name == "renderer"]
    (renderer,) = re.findall(r"--renderer ([a-z-]+)", remedy)
    require_works(renderer)
    world = PlayTableEnv(cameras=("static",), renderer=renderer)
    observation, _ = world.reset(seed=0)
    world.close()
    assert observation["rgb_static"].std() > 0


def test_remedy_doctor_is_called_once_for_each(capsys, tmp_path):
    assert cli.main(["doctor", "--calvin", "--calvin-data", str(tmp_path)]) == 2
    assert "Call doctor once for each" in capsys.readouterr().err
    for words in (["--calvin"], ["--calvin-data", str(tmp_path)]):
        cli.main(["doctor", *words])
        assert "got both" not in capsys.readouterr().err


def run_remedy(said, folder):
    """Runs the git command that an error names, in the checkout."""
    (command,) = re.findall(r"`(git checkout [^`]+)`", said)
    subprocess.run(shlex.split(command), cwd=folder, check=True, capture_output=True)


@needs_git
@pytest.mark.parametrize("damage", ["[", "no_task: [sentence]\n"])
def test_remedy_damaged_sentences_are_checked_out_again(tmp_path, damage):
    address, _ = bare_repository(tmp_path, "calvin", small_calvin(tmp_path / "files"))
    git(tmp_path, "clone", "--quiet", address, "calvin")
    folder = tmp_path / "calvin"
    (folder / VALIDATION_SENTENCES).write_text(damage)
    said = error_of(lambda: load_instructions("calvin", calvin=folder), CheckoutError)
    run_remedy(said, folder)
    assert load_instructions("calvin", calvin=folder).seen["open_drawer"] == ("do open_drawer",)


@needs_git
@pytest.mark.recorded
@pytest.mark.parametrize("damage", ["[", "objects: 3\n"])
def test_remedy_a_damaged_scene_is_checked_out_again(tmp_path, recordings, damage):
    folder = tmp_path / "calvin_env"
    shutil.copytree(recordings / "calvin_env", folder, ignore=shutil.ignore_patterns(".git"))
    git(folder, "init", "--quiet")
    git(folder, "add", "--force", "conf")
    git(folder, "commit", "--quiet", "-m", "all")
    (folder / "conf" / "scene" / "calvin_scene_D.yaml").write_text(damage)
    run_remedy(error_of(lambda: load_scene("D", folder), CheckoutError), folder)
    assert load_scene("D", folder).name == "D"
