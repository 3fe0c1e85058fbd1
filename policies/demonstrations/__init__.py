"""Demonstrations on disk: episodes of frames, with annotated stretches. An annotation has a task and a sentence.

Read in this order: `demonstrations` (the interface), `compact` (our own format), `calvin_layout` (CALVIN's), `opening`
(either one), `windows` (training samples), `augmentation`.
"""
