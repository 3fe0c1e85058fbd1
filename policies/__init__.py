"""Policies: observation in, action out, with memory that is passed explicitly.

Read in this order:

- `policy`, the interface; `check` tells whether a policy keeps to it.
- The model: `backbones` (with a check of their own), `lrn`, `heads`, `vlm_lstm`.
- How it acts: `memory`, `chunks`, `usage`, `vlm_lstm_policy`.
- What is kept of it: `policy_config`, `checkpoint`; and what is read of others: `robovlms`.
- How it is trained: `config`, `trainable`, `losses`, `optimizer`.
- From a line of text to a policy: `spec`, `registry`, `learned_policies`.

Beside the learned policy stand `expert_policy`, `random_policy`, `fake_policy` and what users bring: `calvin_model`,
whose actions `calvin_action` reads, and `python_policy`.
"""

if __name__ != "calvinbench.policies":
    raise ImportError(
        f"expected to be imported as 'calvinbench.policies', but was imported as '{__name__}'. "
        "A second copy of every class would appear. Install the project (`pip install -e .`) and "
        "write `import calvinbench.policies`."
    )
