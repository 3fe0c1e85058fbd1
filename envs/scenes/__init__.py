"""Scenes: which files, bodies and surfaces a world is made of.

Read in this order: `scene`, `scene_files`, `panda`, `calvin_checkout` and `git_revision` (a checkout of calvin_env),
`calvin_scene`. Our own scene's files are in `assets/`.

Other rooms may import all of it. It imports no other room.
"""
