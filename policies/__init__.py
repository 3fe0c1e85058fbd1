"""Policies: observation in, action out, with memory that is passed explicitly.

Read in this order:

- `policy`, the interface; `check`, which checks that a policy keeps to it; `batch`, `chunk_rule` and `wrapper`, which
  policies share.
- The learned policy: `backbones/` (the VLMs), `heads/`, `learned/` (the model, its memory, its checkpoints).
- Its training: `demonstrations/` and `training/`. RoboVLMs' checkpoints and configurations: `robovlms/`.
- Other policies: `baselines/`, `adapters/` (policies that users bring), `shipped/` (checkpoints of this package).
- From a line of text to a policy: `spec` (the text), `spec_settings` and `spec_values` (its settings), `registry` (the
  kinds of policies), `factories/` (learned policies).
"""

if __name__ != "calvinbench.policies":
    raise ImportError(
        f"expected to be imported as 'calvinbench.policies', but was imported as '{__name__}'. "
        "A second copy of every class would appear. Install the project (`pip install -e .`) and "
        "write `import calvinbench.policies`."
    )
