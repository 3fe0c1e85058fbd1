"""New names of methods, as the command line takes them."""

from collections.abc import Sequence


def read_renames(pairs: Sequence[str]) -> dict[str, str]:
    """New names by old ones, from texts `OLD=NEW`.

    Raises:
        ValueError: A text has another form, or an old name is there twice.
    """
    renames: dict[str, str] = {}
    for pair in pairs:
        old, sign, new = (part.strip() for part in pair.rpartition("="))
        if not old or not sign or not new:
            raise ValueError(f"expected --rename OLD=NEW, got '{pair}'. Such as: --rename paligemma=PaliGemma")
        if old in renames:
            raise ValueError(
                f"expected one new name for '{old}', got '{renames[old]}' and '{new}'. Remove one of them."
            )
        renames[old] = new
    return renames
