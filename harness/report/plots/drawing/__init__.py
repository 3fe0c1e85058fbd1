"""How figures are drawn: axes, curves, rows, heat maps, and names that do not overlap."""
