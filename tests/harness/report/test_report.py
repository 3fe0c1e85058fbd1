import json
from dataclasses import replace

import pandas as pd
import pytest

from calvinbench.harness import cli
from calvinbench.harness.analysis.comparable import RunsDifferError, require_comparable
from calvinbench.harness.analysis.statistics import clopper_pearson
from calvinbench.harness.records.runs import load_run
from calvinbench.harness.report import report
from calvinbench.harness.report.report import write_report

FIGURES = ("survival", "tasks", "pairs", "latency", "tradeoff", "first-failures-idle", "first-failures-solver")


@pytest.mark.usefixtures("rendered_figures")
def test_a_report_has_tables_and_figures(run_fake, tmp_path):
    for policy in ("solver", "idle"):
        run_fake(policy, directory=tmp_path / "suite" / policy)
    written = write_report([tmp_path / "suite"])
    assert written.directory == tmp_path / "suite" / "report"
    names = sorted(path.name for path in written.directory.iterdir())
    assert names == sorted(
        [
            "table.md",
            "table.tex",
            "table.csv",
            "tasks.csv",
            "speed.md",
            "speed.csv",
            "pairs.md",
            "pairs.csv",
            "index.html",
        ]
        + ["smoothness.csv", "conditional.csv", "first-failures.csv", "report.json"]
        + [f"{figure}.{suffix}" for figure in FIGURES for suffix in ("pdf", "svg", "png")]
    )
    assert sorted(path.name for path in written.files) == names
    assert "solver" in (written.directory / "pairs.md").read_text().splitlines()[0]
    assert len(pd.read_csv(written.directory / "pairs.csv")) == 1
    assert (written.directory / "table.md").read_text() == written.markdown
    assert pd.read_csv(written.directory / "table.csv")["n"].tolist() == [6, 6]


def test_figures_are_saved_in_the_formats_that_are_asked_for(reported_suite, tmp_path):
    runs = [reported_suite / "solver", reported_suite / "idle"]
    written = write_report(runs, tmp_path / "png", formats=("png",), has_page=False)
    names = {path.name for path in (tmp_path / "png").iterdir()}
    assert {path.name for path in written.files} == names
    assert {f"{figure}.png" for figure in FIGURES} <= names
    assert not [name for name in names if name.endswith((".pdf", ".svg", ".html"))]
    numbers = write_report(runs, tmp_path / "none", formats=(), has_page=False)
    assert {path.name for path in numbers.files} == {name for name in names if not name.endswith(".png")}
    with pytest.raises(ValueError, match="figure format"):
        write_report(runs, tmp_path / "other", formats=("gif",))


def test_exact_intervals_are_those_of_the_whole_report_on_request(run_fake, tmp_path, capsys):
    run = run_fake("solver", directory=tmp_path / "solver")
    many = [replace(record, chain=6 * turn + record.chain) for turn in range(60) for record in run.records]
    lines = [json.dumps(record.to_json()) for record in many]
    (run.directory / "chains.jsonl").write_text("\n".join(lines) + "\n")
    given_as(run, chains=360)
    exact = clopper_pearson(4 * 60, 360)
    cell = f"[{100 * exact.low:.1f}, {100 * exact.high:.1f}]"
    for arguments, is_exact in (([], False), (["--intervals", "exact"], True)):
        assert cli.main(["report", str(run.directory), *arguments]) == 0
        files = {
            name: (run.directory / "report" / name).read_text() for name in ("table.md", "table.tex", "index.html")
        }
        assert {cell in text for text in (*files.values(), capsys.readouterr().out)} == {is_exact}
        assert ("Clopper-Pearson (exact)" in files["table.md"]) is is_exact
        methods = pd.read_csv(run.directory / "report" / "conditional.csv")["method"]
        assert (set(methods) == {"clopper-pearson"}) is is_exact
        assert cli.main(["report", str(run.directory), *arguments, "--json"]) == 0
        (said,) = json.loads(capsys.readouterr().out)["runs"]
        assert (said["success"][1]["interval"]["low"] == exact.low) is is_exact
        assert said["clustered_average_length"]["interval"] == {"low": 0.0, "high": 5.0}


def test_runs_given_one_by_one_are_reported_beside_them(run_fake, tmp_path):
    for policy in ("solver", "idle"):
        run_fake(policy, directory=tmp_path / policy)
    assert (
        write_report([tmp_path / "solver", tmp_path / "idle"], formats=(), has_page=False).directory
        == tmp_path / "report"
    )


def test_one_run_is_compared_with_nothing(run_fake, tmp_path):
    run_fake("solver", directory=tmp_path / "solver")
    written = write_report([tmp_path / "solver"], formats=("png",), has_page=False)
    assert not [path.name for path in written.files if path.name.startswith("pairs")]


def test_runs_without_a_chain_in_common_are_reported_and_not_compared(run_fake, tmp_path):
    for policy in ("solver", "idle"):
        run_fake(policy, directory=tmp_path / policy)
    (tmp_path / "idle" / "chains.jsonl").write_text("")
    written = write_report([tmp_path], formats=("png",), has_page=False)
    assert not [path.name for path in written.files if path.name.startswith("pairs")]
    assert "idle is not complete: 0 of 6 chains" in written.markdown


def test_a_second_report_is_not_taken_for_a_run(run_fake, tmp_path):
    run_fake("solver", directory=tmp_path / "solver")
    first = write_report([tmp_path], formats=(), has_page=False)
    assert write_report([tmp_path], formats=(), has_page=False).markdown == first.markdown


@pytest.mark.parametrize(
    "field",
    [
        *("chain_digest", "world", "scene", "asset_digest", "simulation", "renderer"),
        *("instructions", "instruction_digest"),
    ],
)
def test_runs_in_other_worlds_are_not_mixed(run_fake, field):
    run = run_fake("solver", chains=1)
    other = replace(run, description=replace(run.description, **{field: "another"}))
    require_comparable([run, run])
    with pytest.raises(RunsDifferError, match=f"{field}: .* and another"):
        require_comparable([run, other])


def test_runs_with_nothing_in_common_need_a_folder_for_the_report(run_fake, tmp_path, monkeypatch):
    run_fake("solver", directory=tmp_path / "solver", chains=1)
    monkeypatch.setattr(report.os.path, "commonpath", lambda paths: "/")
    with pytest.raises(ValueError, match="--out DIR"):
        write_report([tmp_path / "solver"])


@pytest.mark.parametrize(
    ("change", "words"), [({"max_steps": 9}, "max_steps: 10 and 9"), ({"chains": 3}, "chains: 6 and 3")]
)
def test_runs_on_other_terms_are_not_mixed(run_fake, tmp_path, change, words):
    run_fake("solver", directory=tmp_path / "a")
    run_fake("idle", directory=tmp_path / "b", **change)
    with pytest.raises(RunsDifferError, match=words):
        write_report([tmp_path])
    assert not (tmp_path / "report").exists()


def test_an_incomplete_run_is_reported_with_a_warning(run_fake, tmp_path):
    run = run_fake("solver")
    path = run.directory / "chains.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:2]))
    assert "not complete: 2 of 6 chains" in write_report([run.directory], formats=(), has_page=False).markdown


def test_a_run_without_a_finished_chain_can_be_reported(run_fake):
    run = run_fake("solver")
    (run.directory / "chains.jsonl").write_text("")
    assert "not complete: 0 of 6 chains" in write_report([run.directory], formats=(), has_page=False).markdown


# --- several tables ---------------------------------------------------------------------------------------------------


def given_as(run, **changes):
    """A run's folder, its description changed."""
    file = run.directory / "run.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_scenes_and_instructions_have_tables_of_their_own(run_fake, tmp_path):
    for name in ("a", "b", "c"):
        run_fake("solver", directory=tmp_path / name)
    given_as(load_run(tmp_path / "b"), scene="another", asset_digest="x")
    given_as(load_run(tmp_path / "c"), instructions="paraphrases/held out.yaml", instruction_digest="x")
    written = write_report([tmp_path], formats=("pdf",))
    titles = [part.title for part in written.parts]
    scene = load_run(tmp_path / "a").description.scene
    sentences = load_run(tmp_path / "a").description.instructions
    assert titles == [
        f"scene {scene}, instructions {sentences}",
        f"scene another, instructions {sentences}",
        f"scene {scene}, instructions held out.yaml",
    ]
    assert all(len(part.runs) == 1 and part.comparison is None for part in written.parts)
    folders = sorted(path.name for path in written.directory.iterdir() if path.is_dir())
    assert f"scene-{scene}-instructions-held-out.yaml" in folders
    assert all((written.directory / folder / "survival.pdf").is_file() for folder in folders)
    text = (written.directory / "table.md").read_text()
    assert text == written.markdown
    assert [line for line in text.splitlines() if line.startswith("## ")] == [f"## {title}" for title in titles]
    assert all(file.is_file() for file in written.files)


@pytest.mark.parametrize(
    ("suites", "title"),
    [(("study", "study"), "study"), (("study", "seeds"), "folder"), ((None, None), "report")],
)
def test_a_page_is_called_after_its_suite_or_the_folder_of_several(run_fake, tmp_path, suites, title):
    for name, suite in zip("ab", suites, strict=True):
        run_fake("solver", directory=tmp_path / "folder" / name)
        given_as(load_run(tmp_path / "folder" / name), suite=suite)
    written = write_report([tmp_path / "folder"], formats=())
    assert f"<h1>calvinbench: {title}</h1>" in (written.directory / "index.html").read_text()


def test_brackets_of_a_name_are_no_interval_on_the_page(run_fake, tmp_path):
    run = run_fake("idle", directory=tmp_path / "a")
    given_as(run, variant="pooling, no [LRN]")
    page = (write_report([run.directory], formats=()).directory / "index.html").read_text()
    assert "pooling, no [LRN]</td>" in page
    assert "<small>[LRN]" not in page


def test_other_terms_within_a_scene_are_still_refused(run_fake, tmp_path):
    for name in ("a", "b", "c"):
        run_fake("solver", directory=tmp_path / name)
    given_as(load_run(tmp_path / "b"), scene="another")
    given_as(load_run(tmp_path / "c"), scene="another", max_steps=9)
    with pytest.raises(RunsDifferError, match="max_steps: 10 and 9"):
        write_report([tmp_path])
    assert not (tmp_path / "report").exists()


def test_training_seeds_and_memory_settings_are_reported(run_fake, tmp_path):
    said = {"label": "vlm", "training_recipe": "r"}
    for seed, name in enumerate(("solver", "idle")):
        given_as(run_fake(name, directory=tmp_path / name), **said, training_seed=seed)
    memory = {"span": "window:8", "reset": "chain"}
    given_as(run_fake("solver", directory=tmp_path / "kept"), **said, training_seed=0, memory=memory)
    written = write_report([tmp_path], formats=("pdf",))
    names = {path.name for path in written.files}
    assert {"seeds.csv", "memory.pdf"} <= names
    assert pd.read_csv(written.directory / "seeds.csv")["seeds"].tolist() == ["0 1"]
    assert "mean of 2 training seeds" in (written.directory / "index.html").read_text()
