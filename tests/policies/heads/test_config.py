"""Settings of heads: impossible settings raise an error, and presets have names."""

import subprocess
import sys

import pytest

from calvinbench.envs.names import UnknownNameError
from calvinbench.policies.heads.config import HEAD_PRESETS, HEADS, HeadConfig, head_preset
from calvinbench.policies.heads.registry import make_head


@pytest.mark.parametrize(
    "wrong",
    [{name: 0} for name in ("hidden_dim", "num_layers", "chunk_length", "num_heads", "max_window")]
    + [{"dropout": 1.0}, {"dropout": -0.1}],
    ids=str,
)
def test_sizes_that_cannot_be_are_refused(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=f"expected {name} of at least"):
        HeadConfig(**wrong)


@pytest.mark.parametrize("widths", [(), (4, 0)])
def test_widths_that_cannot_be_are_refused(widths):
    with pytest.raises(ValueError, match="expected mlp_widths of one or more widths of at least 1"):
        HeadConfig(mlp_widths=widths)


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [({"type": "lstn"}, "lstm"), ({"decoder": "lineal"}, "linear"), ({"pose_activation": "tan"}, "tanh")],
)
def test_unknown_names_are_refused_with_a_guess(wrong, meant):
    with pytest.raises(UnknownNameError, match=f"Did you mean '{meant}'"):
        HeadConfig(**wrong)


def test_a_transformers_width_is_shared_equally_among_its_heads():
    with pytest.raises(ValueError, match="expected hidden_dim to be a multiple of num_heads, got 20 and 8"):
        HeadConfig(type="transformer", hidden_dim=20)
    assert HeadConfig(type="lstm", hidden_dim=20).hidden_dim == 20


def test_presets_have_names():
    assert head_preset("seed") == HeadConfig("lstm", 1024, 2, 0.1, 10, "linear", "tanh")
    assert head_preset("robovlms") == HeadConfig("lstm", 1024, 4, 0.0, 10, "mlp", "tanh", (1024, 512, 256))
    assert {config.type for config in HEAD_PRESETS.values()} == set(HEADS)
    with pytest.raises(UnknownNameError, match="Did you mean 'robovlms'"):
        head_preset("robovlm")


def test_every_type_makes_a_head_that_says_its_memory():
    sizes = {"hidden_dim": 8, "chunk_length": 2, "max_window": 5}
    heads = {kind: make_head(4, HeadConfig(type=kind, **sizes)) for kind in HEADS}
    assert {kind: head.default_span for kind, head in heads.items()} == {
        "lstm": "unbounded",
        "feedforward": "none",
        "transformer": "window:5",
    }
    assert {kind: head.max_window for kind, head in heads.items()} == {
        "lstm": None,
        "feedforward": None,
        "transformer": 5,
    }


def test_settings_can_be_read_without_torch():
    script = "import sys, calvinbench.policies.heads.config; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
