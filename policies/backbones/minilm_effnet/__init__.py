"""A MiniLM sentence encoder and an EfficientNet with published weights, joined by a small transformer."""
