"""Checks whether a data set is complete and usable, before days of training depend on it.

Read in this order: `files`, `frames`, `annotations`, `contents`, `contact_sheet`, `verdict`; `before_training` has the
checks that `train` makes; `images` compares the images of a data set with those of our renderers.
"""
