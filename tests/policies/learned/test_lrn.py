"""[LRN] begins at zero and is trained."""

import torch

from calvinbench.policies.learned.lrn import LearnableToken


def test_it_is_a_zero_vector_that_takes_gradients():
    lrn = LearnableToken(5)
    assert torch.equal(lrn(), torch.zeros(5))
    (lrn() * torch.arange(5.0)).sum().backward()
    assert lrn.embedding.grad.tolist() == [0, 1, 2, 3, 4]
