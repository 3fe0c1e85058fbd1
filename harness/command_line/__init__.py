"""What all commands share: flags, help, messages, exit statuses.

Read in this order: `registry` (which commands there are), `usage`, `flags`, `arguments` (what is wrong with a call),
`help`, `console` (results on standard output, all else on standard error), `listing`.

The commands in `verbs` and `cli` import it.
"""
