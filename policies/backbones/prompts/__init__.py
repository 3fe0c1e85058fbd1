"""Prompts: an instruction becomes token ids, in the order that a backbone needs.

Read in this order: `prompt`, `prompt_composer`, `tiny_tokenizer` (for small models with random weights).
"""
