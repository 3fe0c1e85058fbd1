"""Configuration files as the seed and RoboVLMs write them; read `blocks` first."""
