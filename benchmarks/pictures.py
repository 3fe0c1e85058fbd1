"""How far our pictures are from those that the EGL plugin drew in calvin_env: `python benchmarks/pictures.py DIR`.

DIR holds `calvin_env/`, a checkout, and `calvin_parity/traj/`: recorded actions, and `egl_tK_TTT_CAMERA.png` taken
after step TTT. Our world takes the actions again, in parity mode, so that what stands in front of the cameras is the
same to the last bit. The plugin's first two pictures in a process have no shadows, whatever the scene; those of step 0
are these, and stand in rows of their own.
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
"""A pixel is off where one of its colours differs by more, of 255."""


def differences(file: Path, renderer: str, calvin_env: Path) -> Iterator[dict[str, object]]:
    """For each recorded picture of one recording, how far ours is from it."""
    number = file.stem.removeprefix("traj")
    recorded = {key.removesuffix(f"_{number}"): values for key, values in np.load(file).items()}
    scene = str(recorded["scene"]).removeprefix("calvin_scene_").removesuffix("_eval")
    env = PlayTableEnv(scene, calvin_env=calvin_env, renderer=renderer, simulation=PARITY)
    observation, _ = env.reset(options={name: recorded[f"init_{name}"] for name in ("robot_obs", "scene_obs")})
    for step in range(len(recorded["actions"]) + 1):
        for camera in CAMERA_SIZES:
            picture = file.parent / f"egl_t{number}_{step:03d}_{camera}.png"
            if picture.exists():
                apart = np.abs(observation[f"rgb_{camera}"].astype(int) - np.asarray(Image.open(picture)))
                yield {
                    "renderer": renderer,
                    "recording": f"{number}, scene {scene}",
                    "camera": camera,
                    "pictures": "the first" if step == 0 else "the others",
                    "mean": apart.mean(),
                    "off": 100 * (apart.max(axis=-1) > MAX_OFF).mean(),
                }
        if step < len(recorded["actions"]):
            observation, *_ = env.step(recorded["actions"][step])
    env.close()


def main() -> None:
    """Compares and prints a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder of calvin_env/ and calvin_parity/")
    parser.add_argument("--renderer", action="append", help="by default opengl-look and bullet-tiny")
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
    table = found.groupby(["renderer", "pictures", "recording", "camera"], sort=False).agg(
        compared=("mean", "size"), mean=("mean", "mean"), worst=("mean", "max"), off=("off", "mean")
    )
    names = {"mean": "apart, of 255", "worst": "worst picture", "off": f"% of pixels off by more than {MAX_OFF}"}
    print(table.rename(columns=names).reset_index().to_markdown(index=False, floatfmt=".2f"))


if __name__ == "__main__":
    main()
