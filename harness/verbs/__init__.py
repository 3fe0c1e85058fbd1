"""The commands of `calvinbench` (in code: verbs), one file each. The fields of its dataclass are its flags.

The commands that work on finished runs are in `results/`. A new command is a file here, and a line in
`command_line.registry`. Only `cli` imports these modules.
"""
