"""How far our images are from those that the EGL plugin drew in calvin_env: `python benchmarks/pictures.py DIR`.

DIR contains `calvin_env/`, a checkout, and `calvin_parity/traj/`: recorded actions, and `egl_tK_TTT_CAMERA.png`, taken
after step TTT. Our world runs the actions again in parity mode, so that the scene before the cameras is the same to the
last bit. The plugin's first two images in a process have no shadows, whatever the scene. These are the images of step
0, and have rows of their own.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from calvinbench.envs.observation import CAMERA_SIZES
from calvinbench.envs.play_table import PlayTableEnv
from calvinbench.envs.simulation import PARITY

MAX_OFF = 10
"""A pixel is off if one of its colours differs by more than this, of 255."""


def differences(file: Path, renderer: str, calvin_env: Path) -> Iterator[dict[str, object]]:
    """For each recorded image of one recording, how far ours is from it."""
    number = file.stem.removeprefix("traj")
    recorded = {key.removesuffix(f"_{number}"): values for key, values in np.load(file).items()}
    scene = str(recorded["scene"]).removeprefix("calvin_scene_").removesuffix("_eval")
    env = PlayTableEnv(scene, calvin_env=calvin_env, renderer=renderer, simulation=PARITY)
    observation, _ = env.reset(options={name: recorded[f"init_{name}"] for name in ("robot_obs", "scene_obs")})
    for step in range(len(recorded["actions"]) + 1):
        for camera in CAMERA_SIZES:
            image = file.parent / f"egl_t{number}_{step:03d}_{camera}.png"
            if image.exists():
                apart = np.abs(observation[f"rgb_{camera}"].astype(int) - np.asarray(Image.open(image)))
                yield {
                    "renderer": renderer,
                    "recording": f"{number}, scene {scene}",
                    "camera": camera,
                    "images": "the first" if step == 0 else "the others",
                    "mean": apart.mean(),
                    "off": 100 * (apart.max(axis=-1) > MAX_OFF).mean(),
                }
        if step < len(recorded["actions"]):
            observation, *_ = env.step(recorded["actions"][step])
    env.close()


def main() -> None:
    """Compares and prints a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder with calvin_env/ and calvin_parity/")
    parser.add_argument("--renderer", action="append", help="default: opengl-look and bullet-tiny")
    given = parser.parse_args()
    files = sorted((given.data / "calvin_parity" / "traj").glob("traj*.npz"))
    if not files:
        parser.error(f"expected recordings calvin_parity/traj/traj*.npz below '{given.data}', found none.")
    found = pd.DataFrame(
        row
        for renderer in given.renderer or ("opengl-look", "bullet-tiny")
        for file in files
        for row in differences(file, renderer, given.data / "calvin_env")
    )
    table = found.groupby(["renderer", "images", "recording", "camera"], sort=False).agg(
        compared=("mean", "size"), mean=("mean", "mean"), worst=("mean", "max"), off=("off", "mean")
    )
    names = {"mean": "difference, of 255", "worst": "worst image", "off": f"% of pixels off by more than {MAX_OFF}"}
    print(table.rename(columns=names).reset_index().to_markdown(index=False, floatfmt=".2f"))


if __name__ == "__main__":
    main()
