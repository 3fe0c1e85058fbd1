import os
import shutil

import pytest

from calvinbench.harness.diagnostics import doctor
from calvinbench.harness.diagnostics.doctor_checkouts import check_checkouts


def test_what_is_installed_works_here():
    findings = {finding.name: finding for finding in doctor.examine()}
    assert not [finding for finding in findings.values() if finding.is_trouble]
    assert {"torch", "pybullet", "assets", "renderer", "checkout of calvin_env", "checkout of calvin"} <= set(findings)
    assert "200x200" in findings["renderer"].detail


def test_what_breaks_is_failed_with_a_remedy():
    def look():
        raise RuntimeError("no such thing")

    finding = doctor._finding("thing", look, "buy one")
    assert (finding.status, finding.detail, finding.remedy) == ("failed", "RuntimeError: no such thing", "buy one")
    assert finding.is_trouble


def test_an_optional_package_is_no_trouble():
    assert not doctor.Finding("package calvin_env", doctor.MISSING, "", is_needed=False).is_trouble


@pytest.fixture
def findings(monkeypatch, tmp_path):
    """What `doctor` says of checkouts, by name, where CALVIN_ENV_ROOT is a given folder or names none."""

    def look(calvin_env=None):
        monkeypatch.setattr("calvinbench.envs.scenes.calvin_checkout.find_spec", lambda name: None)
        monkeypatch.delenv("CALVIN_ROOT", raising=False)
        monkeypatch.delenv("CALVIN_ENV_ROOT", raising=False)
        if calvin_env is not None:
            monkeypatch.setenv("CALVIN_ENV_ROOT", str(calvin_env))
        return {finding.name: finding for finding in check_checkouts()}

    return look


def test_missing_checkouts_are_no_trouble_and_have_a_remedy(findings):
    found = findings()
    assert [finding.status for finding in found.values()] == ["missing", "missing"]
    assert all("install-calvin" in finding.remedy and not finding.is_trouble for finding in found.values())


@pytest.mark.recorded
def test_checkouts_that_are_there_are_told_with_their_place(findings, recordings):
    found = findings(recordings / "calvin_env")
    assert found["checkout of calvin_env"].status == "ok"
    assert "scenes A, B, C, D are complete" in found["checkout of calvin_env"].detail
    assert str((recordings / "calvin").resolve()) in found["checkout of calvin"].detail


@pytest.mark.recorded
def test_a_damaged_checkout_is_told_with_the_file_and_a_changed_one_with_what_it_costs(findings, recordings, tmp_path):
    shutil.copytree(recordings / "calvin_env", tmp_path / "calvin_env", copy_function=os.symlink)
    mesh = tmp_path / "calvin_env" / "data" / "calvin_table_B" / "meshes" / "switch_link.obj"
    content = mesh.read_bytes()
    mesh.unlink()
    mesh.write_bytes(content.replace(b"0.1", b"0.2", 1))
    finding = findings(tmp_path / "calvin_env")["checkout of calvin_env"]
    assert finding.status == "ok"
    assert "files of B are not those of 797142c: such runs are not official" in finding.detail
    mesh.unlink()
    finding = findings(tmp_path / "calvin_env")["checkout of calvin_env"]
    assert finding.status == "failed"
    assert "switch_link.obj" in finding.remedy
    assert not finding.is_trouble


@pytest.mark.recorded
def test_a_checkout_that_is_named_is_the_one_looked_at_and_must_be_whole(findings, recordings, tmp_path):
    assert findings(recordings / "calvin_env")["checkout of calvin_env"].status == "ok"
    nowhere = {finding.name: finding for finding in check_checkouts(tmp_path)}["checkout of calvin_env"]
    assert nowhere.is_trouble
    assert str(tmp_path) in nowhere.remedy
    whole = {finding.name: finding for finding in check_checkouts(recordings / "calvin_env")}
    assert not [finding for finding in whole.values() if finding.is_trouble]
