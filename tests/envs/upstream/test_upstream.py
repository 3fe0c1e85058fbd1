"""Against the real calvin_env where it can be imported; each test steps it in a process of its own."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from calvinbench.envs.scenes.calvin_checkout import CalvinEnv
from calvinbench.envs.upstream.recording import record_upstream, upstream_failure
from calvinbench.envs.upstream.simulator import (
    SOURCE_DIGESTS,
    UpstreamError,
    UpstreamPackage,
    import_upstream,
    source_digest,
)
from calvinbench.envs.upstream.upstream import SCENE_FILES


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


MAKE = "import numpy as np\nfrom calvinbench.envs.upstream.upstream import UpstreamPlayTableEnv\n"


@pytest.mark.recorded
@pytest.mark.slow
def test_recordings_of_upstream_are_replayed_to_the_last_bit(upstream, recordings):
    replayed = 0
    for file in sorted((recordings / "calvin_parity" / "traj").glob("traj*.npz")):
        with np.load(file) as kept:
            number = file.stem.removeprefix("traj")
            # `D_eval` is what the recordings of scene D are labelled with; to the last bit they are those of `D`.
            scene = str(kept[f"scene_{number}"]).removeprefix("calvin_scene_").removesuffix("_eval")
            settings = {"scene": scene, "cameras": [], "calvin_env": str(upstream.checkout.root)}
            initial = (kept[f"init_robot_obs_{number}"], kept[f"init_scene_obs_{number}"])
            ours = record_upstream(settings, *initial, kept[f"actions_{number}"])
            assert np.array_equal(ours.robot_obs, kept[f"robot_obs_{number}"]), file
            assert np.array_equal(ours.scene_obs, kept[f"scene_obs_{number}"]), file
            assert ours.revision == upstream.revision
            replayed += 1
    assert replayed, "no recording was found"


@pytest.mark.recorded
@pytest.mark.slow
def test_its_pictures_are_the_recorded_ones_pixel_by_pixel(upstream, recordings):
    traj = recordings / "calvin_parity" / "traj"
    with np.load(traj / "traj0.npz") as kept:
        initial = (kept["init_robot_obs_0"], kept["init_scene_obs_0"])
        actions = kept["actions_0"][:40]
    settings = {"scene": "D", "calvin_env": str(upstream.checkout.root)}
    shown = record_upstream(settings, *initial, actions, image_every=20).images
    compared = 0
    for step in (0, 20, 40):
        for camera in ("static", "gripper"):
            file = traj / f"tiny_t0_{step:03d}_{camera}.png"
            if file.is_file():
                assert np.array_equal(shown[camera][step // 20], np.asarray(Image.open(file).convert("RGB"))), file
                compared += 1
    assert compared, "no recorded picture was found"


@pytest.mark.slow
def test_it_speaks_gymnasium_and_its_episodes_do_not_depend_on_earlier_ones(upstream):
    code = MAKE + (
        "from gymnasium.utils.env_checker import check_env\n"
        "env = UpstreamPlayTableEnv(cameras=('gripper',), depth=True, render_mode=None)\n"
        "check_env(env, skip_render_check=True)\n"
        "first = env.reset(seed=3)[0]\n"
        "for _ in range(5): moved = env.step(np.array([1, 0, -1, 0, 0, 0, -1]))[0]\n"
        "again = env.reset(seed=3)[0]\n"
        "assert not np.array_equal(env.reset(seed=4)[0]['scene_obs'], again['scene_obs'])\n"
        "for key in first: assert np.array_equal(first[key], again[key]), key\n"
        "assert moved['robot_obs'][14] == -1 and again['robot_obs'][14] == 1\n"
        "assert again['rgb_gripper'].shape == (84, 84, 3) and 0.01 < again['depth_gripper'].min() < 2\n"
        "env.close()\n"
    )
    assert run(code) == ""


@pytest.mark.slow
def test_actions_are_neither_changed_nor_refused_for_being_integers_or_between_open_and_closed(upstream):
    code = MAKE + (
        "env = UpstreamPlayTableEnv(cameras=())\n"
        "_, info = env.reset(seed=0)\n"
        "action = np.array([1.0, 0, 0, 0, 0, 0, 0.3])\n"
        "_, _, _, _, after = env.step(action)\n"
        "assert action.tolist() == [1.0, 0, 0, 0, 0, 0, 0.3]\n"
        "assert np.allclose(after['target_position'] - info['target_position'], [0.02, 0, 0], atol=1e-12)\n"
        "observation, *_ = env.step(np.array([0, 0, 1, 0, 0, 0, -1]))\n"
        "assert observation['robot_obs'][14] == -1\n"
    )
    run(code)


@pytest.mark.slow
def test_it_passes_check_world(upstream):
    code = MAKE + (
        "from calvinbench.envs.check import check_world\n"
        "env = UpstreamPlayTableEnv(cameras=('gripper',), depth=True)\n"
        "check_world(env)\n"
        "assert env.traits.simulation == 'upstream' and env.traits.calvin_env == env.calvin_env_revision\n"
    )
    run(code)


@pytest.mark.slow
def test_a_chain_runs_on_it_as_on_our_own_world(upstream):
    code = MAKE + (
        "from calvinbench.envs.chain_env import ChainEnv\n"
        "from calvinbench.envs.chains import published\n"
        "from calvinbench.envs.instructions import embedded_instructions\n"
        "env = ChainEnv(UpstreamPlayTableEnv(cameras=()), embedded_instructions(), max_steps=3)\n"
        "_, info = env.reset(options={'chain': published()[0]})\n"
        "assert info['task'] == published()[0].subtasks[0]\n"
        "for _ in range(3): _, _, terminated, truncated, info = env.step(np.array([0, 0, 0, 0, 0, 0, 1.0]))\n"
        "assert (terminated, truncated, info['outcome']) == (False, True, 'timed_out')\n"
    )
    run(code)


@pytest.mark.slow
def test_a_run_on_it_says_which_calvin_env_it_was(upstream, tmp_path):
    where = ["--scene", "D", "--simulation", "upstream", "--chains", "1", "--max-steps", "5", "--out", str(tmp_path)]
    code = f"from calvinbench.harness import cli\nassert cli.main(['run', '--policy', 'expert', *{where!r}]) == 0\n"
    run(code)
    description = json.loads((tmp_path / "expert" / "run.json").read_text())
    assert description["simulation"] == "upstream"
    assert description["calvin_env"] == upstream.revision
    assert description["world"] == "calvinbench.envs.upstream.upstream:UpstreamPlayTableEnv"


@pytest.mark.slow
def test_a_second_simulation_in_the_process_is_refused(upstream):
    code = MAKE + (
        "from calvinbench.envs.bodies.bullet import BulletClient\n"
        "from calvinbench.envs.upstream.simulator import UpstreamError\n"
        "client = BulletClient()\n"
        "try: UpstreamPlayTableEnv(cameras=())\n"
        "except UpstreamError as error: print(error)\n"
    )
    assert "a process without another Bullet simulation" in run(code)


def test_the_revision_is_a_known_one_or_called_unknown(upstream):
    assert upstream.revision in SOURCE_DIGESTS or upstream.revision.startswith("unknown (")


def test_a_changed_source_is_not_passed_off_as_a_known_revision(upstream, tmp_path):
    root = upstream.checkout.root
    shutil.copytree(root / "calvin_env", tmp_path / "calvin_env")
    assert source_digest(tmp_path) == source_digest(root)
    with (tmp_path / "calvin_env" / "robot" / "robot.py").open("a") as source:
        source.write("# another word\n")
    changed = UpstreamPackage(CalvinEnv(tmp_path, upstream.checkout.revision), upstream.entry)
    assert changed.revision == "unknown (no git files)"


def make_source(root, text):
    for folder in ("conf/scene", "data", "calvin_env/envs"):
        (root / folder).mkdir(parents=True)
    (root / "calvin_env" / "__init__.py").touch()
    (root / "calvin_env" / "envs" / "play_table_env.py").write_text(text)
    return root


def test_a_missing_package_is_named_with_what_to_install(tmp_path):
    root = make_source(tmp_path / "upstream", "import omegaconf_that_is_not_there\n")
    with pytest.raises(UpstreamError, match=r"status 1: .*omegaconf_that_is_not_there.*pip install omegaconf"):
        record_upstream({"calvin_env": str(root)}, np.zeros(15), np.zeros(24), np.zeros((1, 7)))


def test_a_folder_without_source_is_told_from_a_checkout(tmp_path):
    for folder in ("conf/scene", "data"):
        (tmp_path / folder).mkdir(parents=True)
    with pytest.raises(UpstreamError, match="expected calvin_env's source at"):
        import_upstream(tmp_path)


def test_another_copy_than_the_imported_one_is_refused(tmp_path):
    roots = [make_source(tmp_path / name, "") for name in ("one", "two")]
    code = (
        "from calvinbench.envs.upstream.simulator import UpstreamError, import_upstream\n"
        f"assert import_upstream({str(roots[0])!r}).revision == 'unknown (no git files)'\n"
        f"try: import_upstream({str(roots[1])!r})\n"
        "except UpstreamError as error: print(error)\n"
    )
    assert "it can import only one" in run(code)


def test_an_interpreter_that_is_not_there_is_told_in_words():
    with pytest.raises(UpstreamError, match="expected a Python interpreter at '/nowhere/python'"):
        record_upstream({}, np.zeros(15), np.zeros(24), np.zeros((1, 7)), python="/nowhere/python")


def test_a_process_that_a_signal_ended_is_told_as_such():
    assert "signal 11 ended it" in upstream_failure(-11, "")


def test_scenes_are_calvins():
    assert set("ABCD") <= set(SCENE_FILES)
