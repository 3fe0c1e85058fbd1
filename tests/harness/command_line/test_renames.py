"""New names of methods: `--rename OLD=NEW`."""

import re

import pytest

from calvinbench.harness.verbs.results.renames import read_renames


def test_names_are_read_and_may_hold_an_equals_sign():
    assert read_renames(["cnn=CNN", "checkpoint:a,label=b=Ours"]) == {"cnn": "CNN", "checkpoint:a,label=b": "Ours"}


@pytest.mark.parametrize("pair", ["cnn", "=CNN", "cnn=", ""])
def test_remedy_the_example_of_the_error_is_a_rename(pair):
    with pytest.raises(ValueError, match="expected --rename OLD=NEW") as caught:
        read_renames([pair])
    (example,) = re.findall(r"Such as: --rename (\S+)", str(caught.value))
    assert read_renames([example]) == {"paligemma": "PaliGemma"}


def test_one_method_has_one_new_name():
    with pytest.raises(ValueError, match=r"got 'A' and 'B'\. Remove one of them"):
        read_renames(["cnn=A", "cnn=B"])
