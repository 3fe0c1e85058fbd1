"""Diagnostics: what works on this machine, and whether the world equals CALVIN's recordings.

Read in this order: `finding`, `doctor_checkouts`, `doctor`, `parity`, `install_calvin`.

The command line may import all of it.
"""
