"""What LaTeX would take for itself, and notes that stand below a table."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

SYMBOLS: Mapping[str, str] = MappingProxyType(
    {
        "\u2248": "$\\approx$",
        "\u2020": "$^{\\dagger}$",
        "\u2021": "$^{\\ddagger}$",
        "\u2192": "$\\rightarrow$",
        "<": "\\textless{}",
        ">": "\\textgreater{}",
    }
)
"""Signs that pdflatex does not know, or that its usual font shows as others."""
_ESCAPES = str.maketrans(
    {sign: f"\\{sign}" for sign in "&%$#_{}"}
    | {"\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}"}
    | {"|": "\\textbar{}", "`": "\\textasciigrave{}"}
    | dict(SYMBOLS)
)


def with_symbols(text: str) -> str:
    """Text that is escaped but for the signs of `SYMBOLS`, those in LaTeX too."""
    for sign, command in SYMBOLS.items():
        text = text.replace(sign, command)
    return text


def escape(text: str) -> str:
    """Plain text as LaTeX shows it."""
    return text.translate(_ESCAPES)


def notes_below(notes: Sequence[str]) -> str:
    """Notes as paragraphs in small letters, as wide as the line, to stand below a table; no package is needed."""
    paragraphs = [f"{escape(' '.join(note.split()))}\\par" for note in notes]
    opening = ["\\par\\smallskip", "\\noindent\\begin{minipage}{\\linewidth}\\footnotesize\\sloppy"]
    return "\n".join([*opening, *paragraphs, "\\end{minipage}"]) + "\n"
