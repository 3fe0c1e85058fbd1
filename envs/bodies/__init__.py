"""What PyBullet simulates: the client, the robot and the table with its blocks.

Read in this order: `bullet` (one physics client), `robot`, `table`.

Other rooms may import all of it. It imports `observation` and `scenes` only.
"""
