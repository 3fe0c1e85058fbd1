"""The harness: policies step worlds through chains; records become tables and figures.

Read in this order: `suite`, `rollout`, `executors`, `evaluation`, `records`, `statistics`, `tables`, `plots`,
`report`, `cli`.
"""

if __name__ != "calvinbench.harness":
    raise ImportError(
        f"expected to be imported as 'calvinbench.harness', but was imported as '{__name__}'. "
        "A second copy of every class would appear. Install the project (`pip install -e .`) and "
        "write `import calvinbench.harness`."
    )
