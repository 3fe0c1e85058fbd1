"""The verbs of `calvinbench`: one file each, with its flags as fields, and one line of `registry`."""
