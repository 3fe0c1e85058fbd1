"""The recipe of a training: what makes two trainings comparable, and what may change when one is resumed.

Read in this order: `roles` (the role of each setting), `history` (which settings changed, and when), `origin` (the
policy that a training began with).
"""
