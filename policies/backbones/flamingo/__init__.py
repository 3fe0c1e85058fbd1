"""Flamingo: a language model with gated cross-attention to a perceiver's image latents."""
