"""Demonstrations on disk: episodes of frames, with stretches annotated by a task and a sentence.

Read in this order: `demonstrations` (the interface), `compact` (our own format), `calvin_layout` (CALVIN's), `opening`
(either one), `windows` (training samples), `augmentation`.
"""
