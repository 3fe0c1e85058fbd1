"""Checkpoints of RoboVLMs, read as they are; read `checkpoint` first, then `plan`."""
