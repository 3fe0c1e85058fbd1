"""Any architecture of transformers works under `hf:`, or one error refuses it when it is made.

`docs/architectures.md` holds the verdict on each of them.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.architecture_table import RAW_ERROR, read_table, table
from support.tiny_architectures import NAMED, NOT_TRIED, REFUSED, WORKS, Verdict, verdict

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "architectures.md"
FEW = {
    "llava": Verdict(WORKS),
    "gemma3": Verdict(WORKS),
    "glm4v": Verdict(WORKS),
    "idefics3": Verdict(WORKS),
    "internvl": Verdict(WORKS),
    "qwen2_5_vl": Verdict(WORKS),
    "qwen3_vl": Verdict(WORKS),
    "smolvlm": Verdict(WORKS),
    "paligemma": Verdict(NAMED, "untrained:paligemma,vlm=FOLDER"),
    "idefics": Verdict(REFUSED, "expected a vision-language model, got IdeficsModel, which has no get_image_features"),
    "ovis2": Verdict(REFUSED, "it has unknown parts: visual_embeddings_table"),
    "shieldgemma2": Verdict(REFUSED, "transformers' AutoModel has no class for it"),
}


@pytest.mark.parametrize("model_type", FEW)
def test_some_architectures_work_and_others_are_refused_with_the_reason(model_type):
    assert verdict(model_type) == FEW[model_type]


def test_the_page_holds_these_verdicts():
    page = read_table(PAGE.read_text("utf-8"))
    assert {model_type: page[model_type] for model_type in FEW} == FEW
    assert read_table(table(page)) == page


@pytest.mark.slow
def test_no_architecture_raises_another_error_or_hangs(tmp_path):
    file = tmp_path / "architectures.md"
    environment = os.environ | {"PYTHONPATH": str(ROOT / "tests")}
    command = [sys.executable, "-m", "support.architecture_table", str(file)]
    subprocess.run(command, check=True, env=environment, cwd=ROOT)
    verdicts = read_table(file.read_text("utf-8"))
    assert {kind.result for kind in verdicts.values()} <= {WORKS, NAMED, REFUSED, NOT_TRIED}
    assert not [name for name, one in verdicts.items() if one.result == RAW_ERROR]
