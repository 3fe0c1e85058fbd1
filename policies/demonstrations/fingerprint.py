"""A digest of a split, by which a resumed training notices that its data changed.

It covers the annotations, and the names and sizes of episode files in our compact format. It reads no frame, so it does
not notice a frame that was replaced by another of the same size.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from calvinbench.policies.demonstrations.demonstrations import Demonstrations


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The fingerprint of a split.

    Attributes:
        digest: SHA-256 of its annotations, and of names and sizes of its files.
        num_episodes: Episodes that have annotations.
        num_annotations: Annotated stretches.
        num_frames: Frames of all annotations.
    """

    digest: str
    num_episodes: int
    num_annotations: int
    num_frames: int

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Fingerprint":
        """Reads what `dataclasses.asdict` made."""
        return cls(**values)

    def changes_since(self, before: "Fingerprint") -> str:
        """Describes the differences: `"440 annotations then, 512 now; 8 episodes more"`."""
        words = [
            f"{was} {name} then, {now} now"
            for name, was, now in (
                ("annotations", before.num_annotations, self.num_annotations),
                ("annotated frames", before.num_frames, self.num_frames),
            )
            if was != now
        ]
        more = self.num_episodes - before.num_episodes
        if more:
            words.append(f"{abs(more)} episode{'' if abs(more) == 1 else 's'} {'more' if more > 0 else 'fewer'}")
        return "; ".join(words) or "as many episodes and annotations as before, with other content"


def fingerprint(data: Demonstrations, split: str) -> Fingerprint:
    """Computes the fingerprint of a split.

    Args:
        data: The split.
        split: Its name, which is also the name of its folder.
    """
    whole = sha256()
    for annotation in data.annotations:
        whole.update(json.dumps(asdict(annotation), sort_keys=True).encode() + b"\n")
    for file in sorted((Path(data.description.path) / split).glob("episode_*.safetensors")):
        whole.update(f"{file.name} {file.stat().st_size}\n".encode())
    return Fingerprint(
        whole.hexdigest(),
        len({annotation.episode for annotation in data.annotations}),
        len(data.annotations),
        sum(annotation.num_frames for annotation in data.annotations),
    )
