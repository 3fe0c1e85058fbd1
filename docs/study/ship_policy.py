"""Puts a trained policy into the package, weights in 16 bits: `python docs/study/ship_policy.py CHECKPOINT NAME`.

Scores are to be taken with the shipped form: `calvinbench run --policy checkpoint:NAME`.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from calvinbench.policies.learned.checkpoint import load_checkpoint, save_checkpoint
from calvinbench.policies.shipped import shipped_folder


def main() -> None:
    """Reads the checkpoint and writes it again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("name")
    parser.add_argument("--chunk-rule", help="how its chunks become actions, if not as it was trained")
    said = parser.parse_args()
    read = load_checkpoint(said.checkpoint)
    rule = said.chunk_rule or read.config.chunk_rule
    config = replace(read.config, origin="shipped with calvinbench", chunk_rule=rule)
    folder = save_checkpoint(shipped_folder(said.name), read.model, config, read.notes, torch.float16)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    print(f"{folder}: {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
