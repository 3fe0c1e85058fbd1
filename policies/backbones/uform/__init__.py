"""UForm-Gen: a vision transformer, a one-layer latent pooler and a Qwen decoder."""
