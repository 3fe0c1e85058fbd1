"""The expert's demonstrations as a data set on disk.

Read in this order: `episode` (one episode), `forms` (how it is written), `episode_records`, `recorder`, `progress`.
"""
