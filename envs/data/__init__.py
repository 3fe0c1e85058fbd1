"""Data files of the world."""
