"""Policies without learned weights.

`expert` (scripted), `random`, `fake` (for tests), and `deprived`, which withholds images or the instruction from
another policy.
"""
