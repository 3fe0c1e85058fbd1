"""Tests of numbers read runs, and do not change how they are made."""

from support.fake_runs import kept_runs, run_fake  # noqa: F401  fixtures
