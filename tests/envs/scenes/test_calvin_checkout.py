"""Where CALVIN's files are looked for, which revision they are, and what a folder that will not do is told."""

import sys
from pathlib import Path

import pytest

from calvinbench.envs.scenes.calvin_checkout import (
    CheckoutError,
    CheckoutNotFoundError,
    calvin_env_revision,
    find_calvin,
    find_calvin_env,
)
from support.checkouts import hollow_calvin_env, small_calvin


@pytest.fixture(autouse=True)
def nothing_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """No variable names a checkout, and no installed package is one."""
    for variable in ("CALVIN_ENV_ROOT", "CALVIN_ROOT"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("calvinbench.envs.scenes.calvin_checkout.find_spec", lambda name: None)


def test_where_there_is_none_the_three_ways_are_told():
    with pytest.raises(CheckoutNotFoundError, match=r"--calvin-env DIR.*CALVIN_ENV_ROOT.*install.*install-calvin"):
        find_calvin_env()
    assert find_calvin() is None


def test_the_given_folder_goes_before_the_variable_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    given, named = hollow_calvin_env(tmp_path / "given"), hollow_calvin_env(tmp_path / "named")
    monkeypatch.setenv("CALVIN_ENV_ROOT", str(named))
    assert find_calvin_env().root == named
    assert find_calvin_env(given).root == given


def test_a_checkout_of_calvin_leads_to_the_calvin_env_inside(tmp_path: Path):
    inside = hollow_calvin_env(tmp_path / "calvin" / "calvin_env")
    assert find_calvin_env(tmp_path / "calvin").root == inside


def test_an_installed_package_is_found_without_importing_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.undo()
    monkeypatch.delenv("CALVIN_ENV_ROOT", raising=False)
    package = hollow_calvin_env(tmp_path) / "calvin_env"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert find_calvin_env().root == tmp_path
    assert "calvin_env" not in sys.modules


def test_an_installed_package_without_its_data_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.undo()
    monkeypatch.delenv("CALVIN_ENV_ROOT", raising=False)
    (tmp_path / "calvin_env").mkdir()
    (tmp_path / "calvin_env" / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(CheckoutNotFoundError, match=r"came without `conf/` and `data/`\)\. Say where it is"):
        find_calvin_env()


@pytest.mark.parametrize(
    ("folders", "words"),
    [
        ((), r"there is no such folder"),
        (("pictures",), r"lacks conf/scene and data.*contains `conf/` and `data/`"),
        (("conf/scene",), r"lacks data.*download is incomplete"),
        (("calvin_models", "calvin_env"), r"empty or half downloaded.*submodule update --init calvin_env"),
    ],
)
def test_a_folder_that_is_no_checkout_is_told_what_it_lacks(tmp_path: Path, folders, words):
    named = tmp_path / "named"
    for folder in folders:
        (named / folder).mkdir(parents=True)
    with pytest.raises(CheckoutError, match=words):
        find_calvin_env(named)


def test_the_revision_is_git_s_or_else_told_by_the_source(tmp_path: Path):
    assert calvin_env_revision(tmp_path) is None
    button = tmp_path / "calvin_env" / "scene" / "objects" / "button.py"
    button.parent.mkdir(parents=True)
    button.write_text("self.state = ButtonState(self.light.get_state())")
    assert calvin_env_revision(tmp_path) == "797142c"
    button.write_text("self.state = ButtonState.OFF")
    assert calvin_env_revision(tmp_path) == "1431a46"
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_text("5a0eb8a" + "0" * 33)
    assert calvin_env_revision(tmp_path) == "5a0eb8a"


def test_calvin_is_the_given_one_or_lies_above_or_beside_calvin_env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    above = small_calvin(tmp_path / "one")
    inside = hollow_calvin_env(above / "calvin_env")
    assert find_calvin(calvin_env=inside) == above
    beside = small_calvin(tmp_path / "two" / "calvin")
    neighbour = hollow_calvin_env(tmp_path / "two" / "calvin_env")
    assert find_calvin(calvin_env=neighbour) == beside
    assert find_calvin(above, calvin_env=neighbour) == above
    monkeypatch.setenv("CALVIN_ROOT", str(above))
    assert find_calvin(calvin_env=neighbour) == above


def test_a_named_calvin_without_sentences_is_refused(tmp_path: Path):
    with pytest.raises(CheckoutError, match=r"lacks calvin_models/conf/annotations/new_playtable_validation.yaml"):
        find_calvin(tmp_path)
