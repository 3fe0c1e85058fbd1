"""Layers that compute their activations again in the backward pass."""

import copy

import torch
from torch import nn
from transformers import BertConfig, BertModel

from calvinbench.policies.backbones.recomputing import is_recomputed, recompute, transformers_layers


class Layer(nn.Module):
    """Counts how often it is computed."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.dropout = nn.Dropout(0.5)
        self.runs = 0

    def forward(self, hidden, *, scale=1.0):
        self.runs += 1
        return scale * self.dropout(self.linear(hidden)).tanh()


def runs_of(layer, hidden):
    layer.runs = 0
    output = layer(hidden, scale=2.0)
    if output.requires_grad:
        output.sum().backward()
    return layer.runs


def test_a_layer_is_computed_again_only_where_a_gradient_passes_through_it():
    layer = Layer()
    recompute(layer)
    recompute(layer)  # the second call changes nothing
    assert is_recomputed(layer)
    for mode in (True, False):
        layer.train(mode)
        assert runs_of(layer.requires_grad_(True), torch.ones(2, 3)) == 2
        layer.requires_grad_(False)
        assert runs_of(layer, torch.ones(2, 3, requires_grad=True)) == 2
        assert runs_of(layer, torch.ones(2, 3)) == 1
        with torch.no_grad():
            assert runs_of(layer.requires_grad_(True), torch.ones(2, 3)) == 1


def test_gradients_are_the_same_with_dropout_on():
    found = []
    for again in (False, True):
        torch.manual_seed(0)
        layer = Layer().train()
        if again:
            recompute(layer)
        layer(torch.ones(4, 3)).sum().backward()
        found.append(layer.linear.weight.grad)
    assert found[0].abs().sum() > 0
    assert torch.equal(*found)


def test_a_deep_copy_computes_with_its_own_weights():
    layer = Layer().eval()
    recompute(layer)
    other = copy.deepcopy(layer)
    nn.init.zeros_(other.linear.weight)
    nn.init.zeros_(other.linear.bias)
    hidden = torch.ones(1, 3, requires_grad=True)
    assert other(hidden).abs().sum() == 0
    assert layer(hidden).abs().sum() > 0


def test_the_layers_of_a_transformer_are_found():
    numbers = {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 8, "vocab_size": 9}
    model = BertModel(BertConfig(**numbers, num_hidden_layers=3))
    assert list(transformers_layers(model)) == list(model.encoder.layer)
