"""VLM backbones: images, instruction and [LRN] in, the fused [LRN] feature out. One file a family."""
