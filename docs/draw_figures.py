"""Draws the figures of the gallery, `docs/figures.md`, from the runs in `results/`: `python docs/draw_figures.py`.

The lines that make a figure are those of the page itself: each block of Python there is run, and the axes that it
leaves are written to `docs/figures/NAME.png`, where NAME is in the image below the block.
"""

import re
from pathlib import Path

import numpy as np
from matplotlib import pyplot
from matplotlib.axes import Axes

from calvinbench.harness import plots

DOCS = Path(__file__).parent
_BLOCK = re.compile(r"```python\n(?P<code>.*?)```\n+(?:!\[[^\]]*\]\(figures/(?P<name>[\w-]+)\.png\))?", re.DOTALL)


def main() -> None:
    """Runs the page's blocks, in order, and writes the images."""
    namespace: dict[str, object] = {}
    (DOCS / "figures").mkdir(exist_ok=True)
    for block in _BLOCK.finditer((DOCS / "figures.md").read_text("utf-8")):
        exec(block["code"], namespace)  # noqa: S102  the page is ours
        if block["name"]:
            axes = namespace["axes"]
            if not isinstance(axes, Axes | np.ndarray):
                raise TypeError(f"expected the block of {block['name']} to leave axes, got {type(axes).__name__}.")
            plots.figure_of(axes).savefig(DOCS / "figures" / f"{block['name']}.png", dpi=110)
            pyplot.close("all")


if __name__ == "__main__":
    main()
