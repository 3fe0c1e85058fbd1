"""Compact letters: two methods share one exactly if they are not significantly different."""

from itertools import combinations

import numpy as np
import pytest

from calvinbench.harness.analysis.multiple_comparisons import compact_letters


def pairs(*texts):
    return [frozenset(text) for text in texts]


@pytest.mark.parametrize(
    ("different", "letters"),
    [
        ((), "a a a a"),
        (("AD",), "a ab ab b"),
        (("AB", "AC", "AD"), "a b b b"),
        (("AC", "AD", "BD"), "a ab bc c"),
        (("AB", "AC", "AD", "BC", "BD", "CD"), "a b c d"),
        (("AC",), "a ab b ab"),
    ],
)
def test_small_cases_by_hand(different, letters):
    assert list(compact_letters("ABCD", pairs(*different)).values()) == letters.split()


def require_sharing(names, different):
    letters = compact_letters(names, different)
    for one, other in combinations(names, 2):
        shares = bool(set(letters[one]) & set(letters[other]))
        assert shares == (frozenset((one, other)) not in different)
    assert all(letters[name] for name in names)


def test_any_pattern_of_differences_is_shown_exactly():
    generator = np.random.default_rng(0)
    for _ in range(60):
        names = list("ABCDEFGH")[: generator.integers(2, 9)]
        different = [frozenset(pair) for pair in combinations(names, 2) if generator.random() < 0.4]
        require_sharing(names, different)


def test_pairs_of_other_methods_do_not_count_and_nothing_has_no_letters():
    assert dict(compact_letters("AB", pairs("AX"))) == {"A": "a", "B": "a"}
    assert compact_letters((), ()) == {}
