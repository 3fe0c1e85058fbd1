"""What a run is asked for and cannot do any more, because its chains are finished."""

from collections.abc import Sequence

from calvinbench.harness.records.records import ERRORED, ChainRecord
from calvinbench.harness.rollout.videos import VideoSettings


def without_effect(
    videos: VideoSettings | None, finished: Sequence[ChainRecord], num_jobs: int, retry_errored: bool
) -> tuple[str, ...]:
    """Sentences about what has no effect, and what to do instead; none where all that is asked for is done.

    Args:
        videos: Which chains are to be filmed.
        finished: Chains that are there and are not run again.
        num_jobs: Chains that are run now.
        retry_errored: Whether those that errored are run again.
    """
    said = []
    if retry_errored and finished and not num_jobs:
        said.append("--retry-errored has no effect, because no finished chain errored.")
    missing = 0 if videos is None else sum(_lacks_video(videos, record) for record in finished)
    if missing:
        said.append(
            f"{missing} finished chains have no video, and get none: a video is made while its chain runs. To get "
            "them, run the chains again: with --overwrite (the old run is moved aside), or in another folder with "
            "--out DIR."
        )
    return tuple(said)


def _lacks_video(videos: VideoSettings, record: ChainRecord) -> bool:
    """Whether a finished chain would have a video, had it been run with these settings."""
    if not (videos.films(record.chain) and videos.keeps(record.outcome == "solved")):
        return False
    return not videos.path(record.chain).exists() and bool(record.subtasks) and record.outcome != ERRORED
