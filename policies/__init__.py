"""Policies: observation in, action out, with memory that is passed explicitly.

Read in this order: `policy` (the interface), `backbones`, `lrn`, `lstm_head`, `vlm_lstm`, `vlm_lstm_policy`, `spec`,
`registry`. Beside the learned policy stand `expert_policy`, `random_policy`, `fake_policy` and what users bring:
`calvin_model`, whose actions `calvin_action` reads, and `python_policy`. `check` tells whether a policy keeps to the
interface.
"""

if __name__ != "calvinbench.policies":
    raise ImportError(
        f"expected to be imported as 'calvinbench.policies', but was imported as '{__name__}'. "
        "A second copy of every class would appear. Install the project (`pip install -e .`) and "
        "write `import calvinbench.policies`."
    )
