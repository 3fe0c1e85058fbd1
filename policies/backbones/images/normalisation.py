"""Means and standard deviations of image channels (in 0..1) that vision towers were trained with."""

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
"""Of OpenAI's CLIP, arXiv:2103.00020."""
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
HALF = (0.5, 0.5, 0.5)
"""Of SigLIP, arXiv:2303.15343, both mean and deviation."""
IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""Of torchvision's ImageNet models, and of InternVL."""
IMAGENET_STD = (0.229, 0.224, 0.225)
