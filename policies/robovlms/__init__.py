"""Checkpoints and configurations of RoboVLMs.

Read in this order: `checkpoint` and `settings` (`robovlms:FILE.pt`), `plan` (which weight goes where), `weights`,
`families` (which VLMs); then the configurations: `config_blocks`, `config_file`, `config_keys`, `config_vocabulary` and
`config_optimization`.

Other rooms may import all of it. It imports `learned`, and `training.optimization` for the settings of a training.
"""
