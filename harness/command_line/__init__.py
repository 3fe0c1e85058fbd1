"""What all commands share: flags, help, messages and exit statuses.

Read in this order: `registry` (the list of commands), `usage` (examples and headings of a command's help), `flags`
(from the fields of a command's class), `setting_flags` and `defaults` (flags and defaults that follow from declared
settings), `arguments` (checks the words of a call), `help`, `console` (results go to standard output, everything else
to standard error), `listing` (descriptions for `calvinbench list`).

Other rooms that may import it: `verbs`, and the module `cli`.
"""
