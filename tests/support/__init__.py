"""What several tests share: fakes, small worlds and small data. Import as `support.NAME`: `tests/` is on the path."""

from pathlib import Path

TESTS = Path(__file__).parents[1]
REPOSITORY = TESTS.parent
