"""The settings of `robovlms:FILE.pt`."""

from dataclasses import dataclass
from pathlib import Path

from calvinbench.policies.learned.use_settings import UseSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class RoboVLMsSettings(UseSettings):
    """Settings of a policy that is read from a checkpoint of RoboVLMs.

    Attributes:
        config: The checkpoint's configuration, a JSON file. By default FILE.json or FILE_config.json beside the
            checkpoint, or `configs/FILE.json` beside the checkpoint's folder, as RoboVLMs releases them.
        vlm: The folder with the VLM's config.json and tokenizer. By default the one that the configuration names.
    """

    config: Path | None = None
    vlm: Path | None = None
