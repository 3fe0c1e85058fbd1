"""Policy heads: from fused [LRN] features over time to action chunks. Each kind of head has one file.

Read in this order: `actions` (what the numbers of a chunk mean), `config`, `head` (the interface), `lstm`,
`feedforward`, `transformer`, `registry`.
"""
