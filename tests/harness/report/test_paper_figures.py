"""The set of figures of a paper: its files, captions, and that LaTeX compiles it without a warning."""

import json
import shutil
import subprocess

import pytest

from calvinbench.envs.names import UnknownNameError
from calvinbench.harness.cli import main
from calvinbench.harness.report.paper_figures import VENUES, write_paper_figures

DOCUMENT = """\\documentclass[10pt%s]{article}
\\usepackage[letterpaper,textwidth=%gin,textheight=9in,columnsep=%gin]{geometry}
\\usepackage{graphicx}
\\begin{document}
\\input{figures}
\\end{document}
"""


@pytest.fixture(scope="module", params=["ieee", "iclr"])
def written(request, reported_suite, tmp_path_factory):
    return request.param, write_paper_figures([reported_suite], request.param, tmp_path_factory.mktemp("paper"))


def test_the_folder_holds_the_figures_and_their_captions(written):
    _, figures = written
    names = {file.name for file in figures.files}
    assert {"survival.pdf", "conditional.pdf", "tasks.pdf", "pairs.pdf", "first-failures.pdf", "figures.tex"} <= names
    assert {file.name for file in figures.directory.iterdir()} == names
    text = (figures.directory / "figures.tex").read_text()
    assert text.count("\\caption{") == text.count("\\includegraphics{") == len(names) - 1
    for said in ("n = 6 chains", "95\\%", "Wilson", "bootstrap", "sign-flip permutation", "Holm"):
        assert said in text
    assert "label{fig:survival}" in text


def test_latex_compiles_the_set_without_a_warning(written):
    venue, figures = written
    if shutil.which("pdflatex") is None:
        pytest.skip("pdflatex is not installed")
    widths = VENUES[venue]
    gap = widths.text_in - 2 * widths.column_in if widths.has_columns else 0.1
    options = ",twocolumn" if widths.has_columns else ""
    folder = figures.directory.parent / f"latex-{venue}"
    shutil.copytree(figures.directory, folder)
    (folder / "paper.tex").write_text(DOCUMENT % (options, widths.text_in, gap))
    for _ in range(2):  # the second time with labels
        done = subprocess.run(
            ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stdout[-2000:]
    log = (folder / "paper.log").read_text(errors="replace")
    assert [line for line in log.splitlines() if "Warning" in line or "Overfull" in line] == []


def test_the_command_writes_the_set(reported_suite, tmp_path, capsys):
    out = tmp_path / "figures"
    assert main(["figures", str(reported_suite), "--for", "corl", "--out", str(out), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["directory"] == str(out)
    assert len(said["methods"]) == 3
    assert (out / "figures.tex").exists()


def test_an_unknown_venue_is_refused(reported_suite, tmp_path):
    with pytest.raises(UnknownNameError):
        write_paper_figures([reported_suite], "iclrr", tmp_path)
