"""Compact letters: methods that are not significantly different share a letter.

The algorithm is insert and absorb (Piepho 2004, Journal of Computational and Graphical Statistics 13:456-466). It
starts with one group of all methods. Each significant pair splits the groups that hold both. Groups inside another are
dropped.
"""

from collections.abc import Collection, Mapping, Sequence

_ALPHABET = "abcdefghijklmnopqrstuvwxyz"


def compact_letters(names: Sequence[str], different: Collection[frozenset[str]]) -> Mapping[str, str]:
    """The letters of each method: two methods share a letter exactly if they are not significantly different.

    Args:
        names: The methods, the best first. It has the letter `a`.
        different: The pairs that are significantly different.
    """
    groups = [frozenset(names)] if names else []
    for pair in (pair for pair in different if pair <= set(names)):
        split = [part for group in groups for part in ([group - {one} for one in pair] if pair <= group else [group])]
        groups = [
            group
            for place, group in enumerate(split)
            if not any(group < other or (group == other and earlier < place) for earlier, other in enumerate(split))
        ]
    order = {name: place for place, name in enumerate(names)}
    groups.sort(key=lambda group: sorted(order[name] for name in group))
    letters = [_letter(number) for number in range(len(groups))]
    return {
        name: "".join(letter for letter, group in zip(letters, groups, strict=True) if name in group) for name in names
    }


def _letter(number: int) -> str:
    """A to z, then A to Z."""
    return (_ALPHABET + _ALPHABET.upper())[number] if number < 2 * len(_ALPHABET) else f"({number})"
