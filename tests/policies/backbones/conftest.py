"""Shared by tests of backbones."""

import pytest
import torch


@pytest.fixture
def generator() -> torch.Generator:
    """The same draws in every test."""
    return torch.Generator().manual_seed(0)
