"""The verbs of `calvinbench`: one file each, with its flags as fields, and one line of `command_line.registry`.

The verbs that work on finished runs are in `results/`.
"""
