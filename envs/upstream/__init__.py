"""CALVIN's own simulator: a world that wraps an installed calvin_env, and recordings of it to compare ours with.

Read in this order: `simulator`, `upstream`, `recording`.
"""
