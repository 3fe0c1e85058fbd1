"""From settings to a head."""

from calvinbench.policies.heads.config import HEADS, HeadConfig
from calvinbench.policies.heads.head import Head
from calvinbench.policies.import_string import import_object

__all__ = ["HEADS", "make_head"]


def make_head(feature_dim: int, config: HeadConfig) -> Head:
    """Makes the head that the settings name. Its weights come from torch's global random stream.

    Args:
        feature_dim: Width of the features, that of the VLM.
        config: Settings.
    """
    kind: type[Head] = import_object(HEADS[config.type])
    return kind(feature_dim, config)
