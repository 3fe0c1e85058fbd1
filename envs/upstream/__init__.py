"""CALVIN's own simulator, run beside ours: a world that wraps an installed calvin_env, and its recordings.

Read in this order: `simulator`, `upstream`, `recording`.
"""
