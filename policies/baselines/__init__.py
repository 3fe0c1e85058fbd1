"""Policies without learned weights.

`expert` (scripted), `random`, `fake` (for tests), and `deprived`, which withholds images or the instruction from
another policy. `rows` is the base class of policies with a tuple of rows as their state.
"""
