"""Trainings that ship with the package, as `calvinbench train NAME` takes them."""
