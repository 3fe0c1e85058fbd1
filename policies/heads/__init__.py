"""Policy heads: fused [LRN] features over time in, action chunks out. One file a kind of head.

Read in this order: `actions` (what the numbers of a chunk mean), `config`, `head` (the interface), `lstm`,
`feedforward`, `transformer`, `registry`.
"""
