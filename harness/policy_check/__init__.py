"""Finds out what looks wrong with a policy, before a day is spent on its chains: `calvinbench check`.

Read in this order: `shadow` (the policy is asked in the states that the expert visits), `agreement` (its directions
compared with the expert's), `probes` (does it use images and sentence, and repeat its answers), `actions` and
`answering` (the findings as text), `checking` (all of it within a given time).
"""
