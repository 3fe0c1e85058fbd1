"""The convolutional reference: no VLM, images and instruction meet in a small network."""
