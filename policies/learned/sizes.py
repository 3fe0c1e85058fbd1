"""A model's size as text."""


def size_in_words(num_parameters: int) -> str:
    """`1.7M` or `2.9B`."""
    return f"{num_parameters / 1e9:.1f}B" if num_parameters >= 1e9 else f"{num_parameters / 1e6:.1f}M"
