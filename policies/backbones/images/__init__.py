"""Images before they enter a backbone: uint8 frames become normalised tensors, and patches become tokens.

Read in this order: `preprocessing`, `resize` and `pil_resize` (two ways to resize, each exactly as in the original),
`normalisation`, `patch_grid`.
"""
