"""Names of methods for figures: usual ones, and ones as long as a sentence."""

NAMES = (
    *("paligemma", "minilm-effnet", "cnn", "expert", "random", "window 16", "no history", "static camera"),
    *("qwen-vl", "kosmos2", "flamingo", "moondream, no instruction", "uform", "llava", "octo-small", "untrained cnn"),
)
LONG_NAMES = tuple(f"{name}: a policy whose name says from where it is and how it was trained" for name in NAMES)
