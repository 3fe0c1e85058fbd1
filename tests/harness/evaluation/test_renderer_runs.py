"""Which renderer a run has: chosen by flag or suite, told in `run.json`, and never mixed unasked."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from calvinbench.envs.cameras import renderers
from calvinbench.envs.cameras.renderers import RendererError
from calvinbench.harness import cli
from calvinbench.harness.analysis.comparable import RunsDifferError, require_comparable
from calvinbench.harness.analysis.methods import labels

_SHORT = ("--chains", "1", "--max-steps", "2")


@pytest.fixture
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def told(folder: Path) -> dict:
    return json.loads((folder / "run.json").read_text())


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of one policy, drawn in three ways, and of another policy."""
    folder = tmp_path_factory.mktemp("runs")
    for name, flags in (
        ("ours", ()),
        ("coarse", ("--depth-bits", "16")),
        ("tiny", ("--renderer", "bullet-tiny")),
        ("expert", ("--policy", "expert")),
    ):
        policy = () if "--policy" in flags else ("--policy", "random")
        assert cli.main(["run", *policy, *flags, *_SHORT, "--out", str(folder / name)]) == 0
    return folder


def test_renderer_depth_buffer_and_reference_picture_are_told_for_policies_without_eyes_too(runs: Path):
    ours, coarse, tiny = (told(runs / name / "random") for name in ("ours", "coarse", "tiny"))
    assert not any(key.startswith("rgb") for key in ours["observation_keys"])
    assert [(run["renderer"], run["depth_bits"]) for run in (ours, coarse, tiny)] == [
        ("opengl-look", 24),
        ("opengl-look", 16),
        ("bullet-tiny", None),
    ]
    frames = {run["reference_frame"] for run in (ours, coarse, tiny)}
    assert len(frames) == 3
    assert all(len(frame) == 64 for frame in frames)
    assert told(runs / "expert" / "expert")["reference_frame"] == ours["reference_frame"]


def test_a_renderer_without_calvin_s_look_is_not_official(runs: Path):
    (because,) = [why for why in told(runs / "tiny/random")["official"]["because"] if "renderer" in why]
    assert "bullet-tiny does not have CALVIN's look" in because
    assert not any("renderer" in why for why in told(runs / "ours/random")["official"]["because"])


def test_a_suite_s_keys_reach_the_world(in_tmp: Path):
    (in_tmp / "mine.yaml").write_text(
        "policy: [random]\nchains: 1\nmax_steps: 2\nrenderer: opengl-look\ndepth_bits: 16\nout: here\n"
    )
    assert cli.main(["run", "mine.yaml"]) == 0
    run = told(in_tmp / "here/mine/random")
    assert (run["renderer"], run["depth_bits"]) == ("opengl-look", 16)
    assert cli.main(["run", "mine.yaml", "--depth-bits", "24", "--out", "there"]) == 0
    assert told(in_tmp / "there/mine/random")["depth_bits"] == 24


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--renderer", "opengl"), "Did you mean 'opengl-look'"),
        (("--renderer", "bullet-tiny", "--depth-bits", "24"), "depth_bits with the renderer opengl-look alone"),
    ],
)
def test_a_renderer_that_cannot_be_is_a_wrong_call(in_tmp: Path, capsys, flags, words):
    assert cli.main(["run", "--policy", "random", *_SHORT, *flags]) == 2
    said = capsys.readouterr()
    assert words in said.err
    assert "Traceback" not in said.err
    assert not list(in_tmp.rglob("run.json"))


def test_depth_bits_that_no_buffer_has_are_a_wrong_call(in_tmp: Path, capsys):
    (in_tmp / "mine.yaml").write_text("policy: [random]\nchains: 1\nmax_steps: 2\ndepth_bits: 12\n")
    assert cli.main(["run", "mine.yaml"]) == 2
    assert "expected depth_bits to be one of 16, 24, got 12" in capsys.readouterr().err


@pytest.mark.parametrize("policies", [("random",), ("random", "expert")])
def test_a_renderer_that_does_not_work_is_told_before_the_first_chain(in_tmp: Path, capsys, monkeypatch, policies):
    def fail(name: str) -> None:
        if name == "bullet-egl":
            raise RendererError("expected PyBullet's EGL plugin to draw, but it was killed by signal 11.")

    monkeypatch.setattr(renderers, "require_works", fail)
    flags = [word for policy in policies for word in ("--policy", policy)]
    assert cli.main(["run", *flags, *_SHORT, "--renderer", "bullet-egl"]) == 1
    said = capsys.readouterr()
    assert "was killed by signal 11" in said.err
    assert "Traceback" not in said.err
    assert said.out == ""
    assert list(in_tmp.rglob("*.json*")) == []


def test_a_run_does_not_go_on_with_another_renderer(runs: Path, in_tmp: Path, capsys):
    flags = ("run", "--policy", "random", "--chains", "2", "--max-steps", "2", "--out", str(runs / "ours"))
    assert cli.main([*flags, "--renderer", "bullet-tiny"]) == 2
    assert "renderer was 'opengl-look' and is now 'bullet-tiny'" in capsys.readouterr().err


def test_a_report_refuses_runs_drawn_unalike_and_takes_them_when_asked(runs: Path, in_tmp: Path, capsys):
    for name, words in (("tiny", "renderer: opengl-look and bullet-tiny"), ("coarse", "depth_bits: 24 and 16")):
        both = [str(runs / folder) for folder in ("ours", name)]
        assert cli.main(["report", *both, "--out", "there"]) == 2
        refused = capsys.readouterr().err
        assert words in refused
        assert "reference_frame" in refused
        assert "--any-renderer" in refused
        assert not (in_tmp / "there").exists()
    assert cli.main(["report", *both, "--out", "there", "--any-renderer"]) == 0
    assert cli.main(["report", str(runs / "ours"), str(runs / "tiny"), "--out", "there", "--any-renderer"]) == 0
    table = capsys.readouterr().out
    assert "random opengl-look" in table
    assert "random bullet-tiny" in table


@pytest.mark.parametrize(
    ("field", "value"), [("renderer", "another"), ("depth_bits", 99), ("reference_frame", "another")]
)
def test_only_what_is_seen_may_differ_when_asked(run_fake, field: str, value: object):
    run = run_fake("solver", chains=1)
    other = replace(run, description=replace(run.description, **{field: value}))
    with pytest.raises(RunsDifferError, match=rf"{field}: .* and {value}(.|\n)*--any-renderer"):
        require_comparable([run, other])
    require_comparable([run, other], any_renderer=True)
    elsewhere = replace(other, description=replace(other.description, scene="D"))
    with pytest.raises(RunsDifferError, match=r"scene: .* and D") as refused:
        require_comparable([run, elsewhere], any_renderer=True)
    assert field not in str(refused.value)
    with pytest.raises(RunsDifferError) as refused:
        require_comparable([run, elsewhere])
    assert "--any-renderer" not in str(refused.value)  # it would not help


def test_labels_tell_renderers_and_depth_buffers_apart(run_fake):
    run = run_fake("solver", chains=1)
    drawn = [
        replace(run, description=replace(run.description, renderer=renderer, depth_bits=bits))
        for renderer, bits in (("opengl-look", 24), ("bullet-tiny", None), ("opengl-look", 16))
    ]
    names = labels(drawn)
    assert len(set(names)) == 3
    assert "opengl-look" in names[0]
    assert "bullet-tiny" in names[1]
    assert "16" in names[2]
