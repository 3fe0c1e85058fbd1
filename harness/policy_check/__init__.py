"""What looks wrong with a policy, before a day is spent on its chains: `calvinbench check`.

Read in this order: `shadow` (the policy is asked in the states of the expert's way), `agreement` (its actions against
the expert's), `sequences` and `probes` (does it look, listen, answer alike when asked twice), `verdicts` (in words),
`checking` (all of it within so many seconds).
"""
