"""Cameras and the renderers behind them.

Read in this order: `cameras` (poses and sizes), `renderers` (who draws), `opengl_look` (our own rasteriser set up for a
scene). The rasteriser itself is `rendering`.
"""
