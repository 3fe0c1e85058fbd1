"""Durations and speeds as text."""


def duration_text(seconds: float) -> str:
    """A duration as `2:05:09`; in days from 100 hours on."""
    whole = round(seconds)
    if whole >= 100 * 3600:
        return f"{whole / 86400:.1f} days"
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def speed_text(chains_per_hour: float) -> str:
    """Chains per hour, with a decimal below 10."""
    return f"{chains_per_hour:.0f}" if chains_per_hour >= 10 else f"{chains_per_hour:.1f}"
