"""Moondream: a SigLIP-like vision encoder, an MLP and a Phi decoder."""
