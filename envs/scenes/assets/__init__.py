"""Drawings of the embedded scene, and the script that draws them."""
