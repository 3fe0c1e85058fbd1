"""The defaults that `calvinbench train --help` shows are the real ones."""

import re

import pytest

from calvinbench.harness.command_line.defaults import default_in_words
from calvinbench.harness.command_line.flags import flags_of
from calvinbench.harness.command_line.help import verb_help
from calvinbench.harness.training.call import KEYS, make_call
from calvinbench.harness.verbs.train import Train

CALL = make_call({"policy": "untrained:cnn", "data": "data", "out": "out"})
FLAGS = {flag.field: flag for flag in flags_of(Train)}


def real_default(key):
    """What a training has that says nothing of a key."""
    owners = (CALL, CALL.settings, CALL.settings.optimization, CALL.settings.trainable)
    return next(getattr(owner, key) for owner in owners if key in type(owner).__dataclass_fields__)


@pytest.mark.parametrize("key", sorted({*KEYS} - {"policy", "data", "out"}))
def test_the_default_in_the_help_is_the_real_one(key):
    shown = re.fullmatch(r"\(default: (.+)\)", FLAGS[key].default)[1]
    real = real_default(key)
    if real in (None, ()):
        assert not re.fullmatch(r"[\d.e-]+|true|false|None", shown)  # words that say what happens without a value
    else:
        assert shown == default_in_words(real)
        assert (shown == "true") is real if isinstance(real, bool) else type(real)(shown) == real
    assert "efault" not in FLAGS[key].help


def test_defaults_stand_in_the_text_of_the_help(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    text = " ".join(verb_help("train", Train).split())
    assert "--learning-rate X Learning rate after warm-up. (default: 2e-5)" in text
    assert "--lora-r N With --lora-enable: rank of the adapters. (default: 64)" in text


@pytest.mark.parametrize(
    ("value", "words"), [(2e-5, "2e-5"), (0.25, "0.25"), (1.0, "1"), (True, "true"), (0, "0"), ("fp16", "fp16")]
)
def test_a_default_is_written_as_one_would_type_it(value, words):
    assert default_in_words(value) == words
