"""Demonstrations on disk: episodes of frames, stretches of them annotated with a task and a sentence.

Read in this order: `demonstrations` (the interface), `compact` (our own form), `calvin_layout` (CALVIN's), `windows`
(what a training step sees), `augmentation`.
"""
