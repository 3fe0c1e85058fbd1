"""Numbers of things in words: `1 chain`, `2 chains`."""


def counted(number: int, noun: str) -> str:
    """A number with its noun, which takes an s unless there is exactly one.

    Args:
        number: How many there are.
        noun: What they are, in the singular.
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
