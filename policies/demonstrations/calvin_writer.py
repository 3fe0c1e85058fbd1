"""Writes the index of a split in CALVIN's layout: the files that public loaders read besides the frames.

- `calvin_agent`'s `DiskDataset` reads `ep_start_end_ids.npy`, `lang_annotations/auto_lang_ann.npy` (with its `emb`) and
  `statistics.yaml`.
- RoboVLMs' `DiskCalvinDataset` reads the annotations.
- `visualize_dataset.py` and the annotator read `scene_info.npy`, and `create_splits.py` reads `ep_lens.npy`.

`.hydra/merged_config.yaml` and `embeddings.npy` are not written. Only rollouts in CALVIN's own simulator read them.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from calvinbench.envs.scenes.scene import CALVIN_SCENES
from calvinbench.envs.system.atomic_write import whole_file, write_whole
from calvinbench.policies.demonstrations.calvin_frames import LOW_DIMENSIONAL, frame_name, read_arrays
from calvinbench.policies.demonstrations.calvin_pickle import save_dictionary

FIRST_FRAME = 100
"""A suitable number for the first frame: `calvin_agent` asserts that ends of episodes are above its window of 32."""
_MAX_WINDOW = 32
EMBEDDING_DIM = 384
"""Width of the sentence embeddings that CALVIN ships (MiniLM)."""

logger = logging.getLogger(__name__)


def write_index(
    folder: Path,
    episodes: Sequence[tuple[int, int]],
    annotations: Sequence[tuple[int, int, str, str]],
    scene: str,
) -> None:
    """Writes the index of a split. Call it when all frames are written. It reads each of them once.

    Sentence embeddings are NaN, because none are computed. So a model that reads them instead of the sentences fails
    immediately, and does not learn without language.

    Args:
        folder: The split's folder.
        episodes: First and last frame (included) of each episode, in order.
        annotations: First and last frame (included), task and sentence of each annotated stretch.
        scene: The scene, such as `D`. The name that is written for one of CALVIN's is `calvin_scene_D`.

    Raises:
        ValueError: Episodes overlap, or an annotation is in no episode.
        DataError: A frame is missing or damaged.
    """
    _require_order(episodes)
    for first, last, task, _ in annotations:
        if not any(start <= first < last <= end for start, end in episodes):
            raise ValueError(f"expected annotation '{task}' within an episode, got frames {first} to {last}.")
    if any(end <= _MAX_WINDOW for _, end in episodes) or any(last <= _MAX_WINDOW for _, last, _, _ in annotations):
        logger.warning(
            f"calvin_agent's loader cannot read frames of {folder}, because their numbers are too low: it asserts ends "
            f"above {_MAX_WINDOW}. Number the frames from {FIRST_FRAME}."
        )
    (folder / "lang_annotations").mkdir(parents=True, exist_ok=True)
    save_dictionary(folder / "lang_annotations" / "auto_lang_ann.npy", _language(annotations))
    statistics = yaml.safe_dump(_statistics(folder, episodes), default_flow_style=None, sort_keys=False, width=120)
    write_whole(folder / "statistics.yaml", statistics)
    numbers = np.array(episodes, dtype=np.int64).reshape(-1, 2)
    name = f"calvin_scene_{scene}" if scene in CALVIN_SCENES else scene
    save_dictionary(folder / "scene_info.npy", {name: [int(numbers.min()), int(numbers.max())]})
    _save(folder / "ep_lens.npy", numbers[:, 1] - numbers[:, 0] + 1)
    _save(folder / "ep_start_end_ids.npy", numbers)


def _require_order(episodes: Sequence[tuple[int, int]]) -> None:
    if not episodes:
        raise ValueError("expected at least one episode, got none.")
    last_end = -1
    for start, end in episodes:
        if not last_end < start <= end:
            raise ValueError(f"expected episodes one after another, got {start} to {end} after frame {last_end}.")
        last_end = end


def _language(annotations: Sequence[tuple[int, int, str, str]]) -> dict[str, Any]:
    """The dictionary of `auto_lang_ann.npy`."""
    return {
        "language": {
            "ann": [sentence for _, _, _, sentence in annotations],
            "task": [task for _, _, task, _ in annotations],
            # CALVIN has an axis in the middle, of which its loader takes element 0.
            "emb": np.full((len(annotations), 1, EMBEDDING_DIM), np.nan, dtype=np.float32),
        },
        "info": {"episodes": [], "indx": [(int(first), int(last)) for first, last, _, _ in annotations]},
    }


def _statistics(folder: Path, episodes: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """The content of `statistics.yaml`: transforms by hydra's names, and bounds of absolute actions."""
    total = {key: np.zeros(dim) for key, dim in LOW_DIMENSIONAL.items()}
    squares = {key: np.zeros(dim) for key, dim in LOW_DIMENSIONAL.items()}
    offsets = read_arrays(folder / frame_name(episodes[0][0]), tuple(LOW_DIMENSIONAL))
    low, high = offsets["actions"].copy(), offsets["actions"].copy()
    num_frames = 0
    for start, end in episodes:
        for number in range(start, end + 1):
            arrays = read_arrays(folder / frame_name(number), tuple(LOW_DIMENSIONAL))
            for key, values in arrays.items():
                # Relative to the first frame. Otherwise the squares of nearly constant numbers would lose their digits.
                total[key] += values - offsets[key]
                squares[key] += (values - offsets[key]) ** 2
            low, high = np.minimum(low, arrays["actions"]), np.maximum(high, arrays["actions"])
            num_frames += 1
    statistics: dict[str, Any] = {}
    for key in ("robot_obs", "scene_obs"):
        mean = total[key] / num_frames
        std = np.sqrt(np.maximum(squares[key] / num_frames - mean**2, 0.0))
        transform = "calvin_agent.utils.transforms.NormalizeVector"
        statistics[key] = [{"_target_": transform, "mean": (mean + offsets[key]).tolist(), "std": std.tolist()}]
    return {**statistics, "act_max_bound": high.tolist(), "act_min_bound": low.tolist()}


def _save(file: Path, numbers: Any) -> None:
    with whole_file(file) as temporary, temporary.open("wb") as opened:
        np.save(opened, numbers)
