"""Which calvinbench this is, for `calvinbench --version` and bug reports."""

import platform

from calvinbench.harness.records.provenance import checkout_commit, package_version


def version_lines() -> tuple[str, ...]:
    """Versions of calvinbench, with its commit in a checkout, of Python and of torch. It imports none of them."""
    commit = checkout_commit()
    return (
        f"calvinbench {package_version('calvinbench') or 'not installed'}" + (f" (commit {commit})" if commit else ""),
        f"Python {platform.python_version()}",
        f"torch {package_version('torch') or 'not installed'}",
    )
