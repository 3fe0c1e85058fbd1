import platform

from calvinbench.harness.records import provenance


def test_a_session_says_versions_and_machine():
    session = provenance.this_session(worlds=3)
    assert session.worlds == 3
    assert session.python == platform.python_version()
    assert set(session.versions) == set(provenance.PACKAGES)
    assert session.versions["numpy"]
    assert "processors" in session.hardware


def test_a_package_that_is_not_installed_has_no_version():
    assert provenance.package_version("surely-not-installed") is None


def test_a_folder_that_is_not_a_checkout_has_no_commit(tmp_path):
    assert provenance._commit(tmp_path) is None
