"""Random initial weights from a generator that is passed."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def weights_from(generator: torch.Generator) -> Iterator[None]:
    """Within this context, new modules draw their weights from `generator`.

    Modules can only draw from torch's global generator. It is seeded from `generator` here and restored afterwards.
    """
    seed = int(torch.randint(2**62, (), generator=generator))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield
