"""Scenes: which files, bodies and surfaces a world is made of.

Read in this order:

1. `scene`: what a scene is, and the names of the scenes;
2. `scene_files`: the files that a scene refers to, and whether they are complete;
3. `panda`: the arm of our own scene, and the arm's constants;
4. `calvin_checkout` and `git_revision`: finding a checkout of calvin_env, and its revision;
5. `calvin_scene`: reading CALVIN's scenes A to D from a checkout;
6. `loading`: `load_scene`, a scene by its name.

`assets/` holds the files of our own scene.

Other rooms may import all of it. It imports `envs.names` and `envs.world_info` only.
"""
