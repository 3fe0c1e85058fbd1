"""Flags of `run` that have no effect, because the chains are finished."""

from collections.abc import Sequence

from calvinbench.harness.records.records import ERRORED, ChainRecord
from calvinbench.harness.rollout.videos import VideoSettings


def without_effect(
    videos: VideoSettings | None, finished: Sequence[ChainRecord], num_jobs: int, retry_errored: bool
) -> tuple[str, ...]:
    """Sentences that say which flags have no effect, and what to do instead.

    Args:
        videos: Which chains are recorded as videos; None for none.
        finished: Finished chains that are not run again.
        num_jobs: Number of chains to run now.
        retry_errored: Whether errored chains are run again.
    """
    sentences = []
    if retry_errored and finished and not num_jobs:
        sentences.append("--retry-errored has no effect, because no finished chain errored.")
    missing = 0 if videos is None else sum(_lacks_video(videos, record) for record in finished)
    if missing:
        sentences.append(
            f"{missing} finished chains have no video, and get none: a video is made while its chain runs. To get "
            "videos, run the chains again: with --overwrite (the old run is moved aside), or in another folder with "
            "--out DIR."
        )
    return tuple(sentences)


def _lacks_video(videos: VideoSettings, record: ChainRecord) -> bool:
    """Whether a finished chain has no video, but would have one if it had been run with these settings."""
    if not (videos.includes(record.chain) and videos.keeps(record.outcome == "solved")):
        return False
    return not videos.path(record.chain).exists() and bool(record.subtasks) and record.outcome != ERRORED
