"""The full-size backbones, reckoned without their memory; the documentation's table says the same."""

from pathlib import Path

import pytest

from calvinbench.policies.backbones.catalogue import catalogue
from calvinbench.policies.backbones.registry import BACKBONES
from calvinbench.policies.learned.sizes import size_in_words

PAGE = Path(__file__).parents[3] / "docs" / "backbones.md"
WITHOUT_HUB = {"minilm-effnet": "PyPI wheels", "cnn": "none"}


@pytest.fixture(scope="module")
def entries():
    return {entry.name: entry for entry in catalogue()}


@pytest.mark.parametrize(
    ("name", "num_parameters"),
    [
        ("kosmos2", 1.66e9),
        ("paligemma", 2.92e9),  # 2.9B, as its paper says
        ("llava", 6.93e9),  # LLaMA's 6.6B without its head, CLIP's 0.3B, the projector
        ("qwen-vl", 2.21e9),
        ("uform", 1.12e9),
        ("moondream", 1.76e9),  # 1.87B with its head
        ("flamingo", 3.91e9),
        ("minilm-effnet", 30.0e6),
        ("cnn", 6.1e6),
    ],
)
def test_full_sizes_are_those_of_the_published_models(entries, name, num_parameters):
    assert entries[name].num_parameters == pytest.approx(num_parameters, rel=0.01)


def test_memory_is_two_and_sixteen_bytes_a_parameter(entries):
    kosmos = entries["kosmos2"]
    assert kosmos.weights_gib == round(kosmos.num_parameters * 2 / 2**30, 1) == 3.1
    assert kosmos.training_gib == round(kosmos.num_parameters * 16 / 2**30, 1) == 24.8


def test_the_documentation_has_the_same_table(entries):
    rows = [line.strip("|\n").split("|") for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| ")]
    cells = {row[0].strip(): [cell.strip() for cell in row[1:]] for row in rows}
    for name in BACKBONES:
        entry = entries[name]
        assert cells[name] == [
            entry.model,
            entry.hub or WITHOUT_HUB[name],
            size_in_words(entry.num_parameters),
            f"{entry.weights_gib:.1f}",
            f"{entry.training_gib:.1f}",
            str(entry.width),
            str(entry.image_size),
            str(entry.num_image_tokens),
        ]
