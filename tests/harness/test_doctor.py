from calvinbench.harness import doctor


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
