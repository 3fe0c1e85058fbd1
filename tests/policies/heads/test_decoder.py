"""Decoders: which number of the hidden layers becomes which number of which action."""

import math

import torch

from calvinbench.policies.heads.config import HeadConfig
from calvinbench.policies.heads.decoder import LinearDecoder, MLPDecoder, make_decoder


def test_the_linear_decoder_is_one_layer_action_after_action():
    decoder = make_decoder(HeadConfig(hidden_dim=1, chunk_length=2))
    assert isinstance(decoder, LinearDecoder)
    with torch.no_grad():
        decoder.linear.weight.zero_()
        decoder.linear.bias.copy_(torch.arange(14.0) / 10)
    chunk = decoder(torch.zeros(1))
    torch.testing.assert_close(chunk[0, :6], torch.tensor([0.0, 0.1, 0.2, 0.3, 0.4, 0.5]).tanh())
    torch.testing.assert_close(chunk[1, :6], torch.tensor([0.7, 0.8, 0.9, 1.0, 1.1, 1.2]).tanh())
    torch.testing.assert_close(chunk[:, 6], torch.tensor([0.6, 1.3]))


def test_the_mlp_has_a_branch_for_the_pose_and_one_for_the_gripper():
    decoder = make_decoder(HeadConfig(hidden_dim=1, chunk_length=2, decoder="mlp", mlp_widths=(2, 2)))
    assert isinstance(decoder, MLPDecoder)
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.fill_(0.5)
        decoder.pose[4].bias.copy_(torch.arange(12.0) / 10)
    # 1 -> 0.5 + 0.5 = 1 -> 0.5 (1 + 1) + 0.5 = 1.5 -> 0.5 (1.5 + 1.5) and the bias.
    chunk = decoder(torch.ones(1))
    torch.testing.assert_close(chunk[..., :6].flatten(), (1.5 + torch.arange(12.0) / 10).tanh())
    assert chunk[..., 6].tolist() == [2.0, 2.0]
    # -3 -> -1, which ReLU makes 0 -> 0.5 -> 0.5 (0.5 + 0.5) + 0.5.
    assert decoder(torch.full((1,), -3.0))[..., 6].tolist() == [1.0, 1.0]


def test_the_mlps_last_numbers_can_be_below_zero():
    decoder = MLPDecoder(
        HeadConfig(hidden_dim=1, chunk_length=1, decoder="mlp", mlp_widths=(2,), pose_activation="none")
    )
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.zero_()
        decoder.pose[2].bias.fill_(-3.0)
        decoder.gripper[2].bias.fill_(-2.0)
    assert decoder(torch.ones(1)).tolist() == [[-3.0] * 6 + [-2.0]]


def test_the_mlps_first_weights_are_xavier_uniform_with_no_bias():
    torch.manual_seed(0)
    decoder = MLPDecoder(HeadConfig(hidden_dim=64, decoder="mlp"))
    bound = math.sqrt(6 / (64 + 1024))
    largest = decoder.pose[0].weight.abs().max().item()
    # torch's own bound would be 1 / sqrt(64) = 0.125; this is 0.0743.
    assert 0.99 * bound < largest <= bound
    assert not any(module.bias.any() for module in decoder.gripper if hasattr(module, "bias"))
