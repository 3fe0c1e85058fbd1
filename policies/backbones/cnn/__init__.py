"""The convolutional reference, which has no VLM. Images and instruction meet in a small network."""
