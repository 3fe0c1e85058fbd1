"""The settings of a policy spec are read into the dataclass of its kind."""

import logging
from dataclasses import dataclass
from typing import get_args, get_type_hints

import pytest

from calvinbench.envs.names import UnknownNameError
from calvinbench.policies.backbones.prompts.prompt import Layout
from calvinbench.policies.backbones.settings import READOUTS
from calvinbench.policies.factories.untrained_settings import UntrainedSettings
from calvinbench.policies.heads.config import HEAD_PRESETS, POSE_ACTIVATIONS
from calvinbench.policies.learned.usage import DTYPES
from calvinbench.policies.spec import PolicySpecError
from calvinbench.policies.spec_settings import read_settings, require_settings, with_new_names


@dataclass(frozen=True, kw_only=True)
class CupSettings:
    num_cups: int = 1
    image_size: int | None = None
    is_full: bool = False


def test_settings_that_are_left_out_have_their_defaults():
    assert read_settings(CupSettings, {}, "cups") == CupSettings()
    read = read_settings(CupSettings, {"num_cups": "3", "is_full": "true"}, "cups")
    assert read == CupSettings(num_cups=3, is_full=True)


def test_a_setting_that_the_kind_does_not_have_gets_a_guess_or_is_said_to_be_one_too_many():
    with pytest.raises(UnknownNameError, match=r"Unknown setting of 'cups' 'num_cubs'\. Did you mean 'num_cups'\?"):
        read_settings(CupSettings, {"num_cubs": "3"}, "cups")
    with pytest.raises(UnknownNameError, match=r"'resolution'\. Did you mean 'image_size'\?"):
        read_settings(CupSettings, {"resolution": "3"}, "cups")
    with pytest.raises(PolicySpecError, match=r"expected no settings for 'cups', got 'num_cups=3'\. Write 'cups', or"):
        require_settings(None, {"num_cups": "3"}, "cups")
    require_settings(None, {"label": "mine"}, "cups")
    require_settings(CupSettings, {"label": "mine"}, "cups")


def test_an_old_name_is_read_as_the_new_one_with_a_warning(caplog):
    with caplog.at_level(logging.WARNING):
        assert with_new_names(CupSettings, {"picture_size": "8", "num_cups": "2"}) == {
            "image_size": "8",
            "num_cups": "2",
        }
    assert "'picture_size' of a policy spec is now called 'image_size'" in caplog.text
    with pytest.raises(PolicySpecError, match="expected 'image_size' once, got it also under its old name"):
        with_new_names(CupSettings, {"picture_size": "8", "image_size": "8"})
    assert with_new_names(None, {"picture_size": "8"}) == {"picture_size": "8"}


@pytest.mark.parametrize(
    ("name", "choices"),
    [
        ("layout", [str(layout) for layout in Layout]),
        ("readout", list(READOUTS)),
        ("head", list(HEAD_PRESETS)),
        ("pose_activation", list(POSE_ACTIVATIONS)),
        ("dtype", list(DTYPES)),
    ],
)
def test_the_choices_of_a_setting_are_those_that_there_are(name, choices):
    annotation = get_type_hints(UntrainedSettings)[name]
    literal = annotation if name == "dtype" else get_args(annotation)[0]
    assert list(get_args(literal)) == choices
