"""Reads a data set with CALVIN's and RoboVLMs' own dataset classes, as they are; run by `test_calvin_writer.py`.

Usage: python public_readers.py REFERENCES DATA, where REFERENCES holds the checkouts `calvin` (github.com/mees/calvin)
and `RoboVLMs` (github.com/Robot-VLAs/RoboVLMs), and `site` with omegaconf, hydra-core, antlr4-python3-runtime and
einops. Prints one JSON object. Three things are made up, for the classes do not depend on them: pyhash, which
cannot be built for a Python of today, requests, and the `__init__` of RoboVLMs' packages, which import all of its other
data sets.
"""

import json
import sys
import types
from functools import reduce
from pathlib import Path

import numpy as np
import torch

REFERENCES, DATA = Path(sys.argv[1]), Path(sys.argv[2])
sys.path += [str(REFERENCES / "site"), str(REFERENCES / "calvin" / "calvin_models")]


def fnv1_32():
    def digest(text):
        value = 0x811C9DC5
        for byte in text.encode():
            value = ((value * 0x01000193) % 2**32) ^ byte
        return value

    return digest


sys.modules["pyhash"] = types.SimpleNamespace(fnv1_32=fnv1_32)
sys.modules.setdefault("requests", types.ModuleType("requests"))
for name in ("robovlms", "robovlms.data"):
    package = types.ModuleType(name)
    package.__path__ = [str(REFERENCES / "RoboVLMs" / name.replace(".", "/"))]
    sys.modules[name] = package


def read_with_calvin(split, key, dtype="rel_actions"):
    from calvin_agent.datasets.disk_dataset import DiskDataset
    from calvin_agent.datasets.utils.episode_utils import load_dataset_statistics
    from hydra.utils import instantiate
    from omegaconf import OmegaConf

    conf = REFERENCES / "calvin" / "calvin_models" / "conf" / "datamodule"
    play_basic = OmegaConf.load(conf / "transforms" / "play_basic.yaml")
    # Pictures' transforms are torchvision's, and say nothing of the data set.
    kept = {half: {key: play_basic[half][key] for key in ("robot_obs", "scene_obs")} for half in ("train", "val")}
    transforms = load_dataset_statistics(DATA / "training", DATA / "validation", OmegaConf.create(kept))
    made = {
        name: [instantiate(one) for one in steps]
        for name, steps in transforms["train" if split == "training" else "val"].items()
    }
    composed = {name: lambda x, steps=steps: reduce(lambda y, step: step(y), steps, x) for name, steps in made.items()}
    space = OmegaConf.load(conf / "observation_space" / "lang_rgbd_both_rel_act.yaml")
    space.actions = [dtype]
    dataset = DiskDataset(
        datasets_dir=DATA / split,
        obs_space=space,
        proprio_state=OmegaConf.load(conf / "proprioception_dims" / "robot_full.yaml"),
        key=key,
        lang_folder="lang_annotations",
        num_workers=0,
        transforms=composed,
    )
    windows = [dataset[index] for index in range(len(dataset))]
    return {
        "starts": dataset.episode_lookup.tolist(),
        "actions": [window["actions"][0].tolist() for window in windows],
        "red": [int(window["rgb_obs"]["rgb_static"][0, 0, 0, 0]) for window in windows],
        "shapes": {name: list(picture.shape) for name, picture in windows[0]["rgb_obs"].items()}
        | {name: list(depth.shape) for name, depth in windows[0]["depth_obs"].items()},
        "mean": torch.cat([window["robot_obs"][0] for window in windows]).mean().item(),
        "language": [list(window["lang"].shape) for window in windows],
        "language_is_nan": all(bool(window["lang"].isnan().all()) for window in windows),
    }


def read_with_robovlms(split):
    from robovlms.data.calvin_dataset import DiskCalvinDataset

    tokenizer = types.SimpleNamespace(padding_side="right", eos_token="</s>")
    dataset = DiskCalvinDataset(
        image_fn=lambda pictures: torch.stack([torch.from_numpy(np.array(picture)) for picture in pictures]),
        tokenizer=tokenizer,
        data_dir=DATA / split,
        window_size=8,
        fwd_pred_next_n=10,
        model_name="flamingo",
    )
    windows = [dataset[index] for index in range(len(dataset))]
    dataset.text_fn = lambda sentences: (torch.zeros(len(sentences), 4), torch.ones(len(sentences), 4))
    # The collater unfolds pictures as images do lie: channels first.
    for window in windows:
        for name, pictures in window["rgb_obs"].items():
            window["rgb_obs"][name] = pictures.permute(0, 3, 1, 2)
    batch = dataset.collater(windows[:2])
    return {
        "starts": dataset.episode_lookup.tolist(),
        "sentences": [window["lang"] for window in windows],
        "actions": [window["actions"][0].tolist() for window in windows],
        "red": [int(window["rgb_obs"]["rgb_static"][0, 0, 0, 0]) for window in windows],
        "last_masked": [int(window["action_mask"].sum()) for window in windows],
        "batch": {name: list(value.shape) for name, value in batch.items() if isinstance(value, torch.Tensor)},
        "gripper": sorted(set(batch["action"][..., -1].flatten().tolist())),
    }


if __name__ == "__main__":
    printed, sys.stdout = sys.stdout, sys.stderr
    found = {
        "calvin": {
            f"{split}, {key}": read_with_calvin(split, key)
            for split in ("training", "validation")
            for key in ("lang", "vis")
        },
        "calvin absolute": read_with_calvin("training", "vis", "actions"),
        "robovlms": read_with_robovlms("training"),
    }
    json.dump(found, printed)
