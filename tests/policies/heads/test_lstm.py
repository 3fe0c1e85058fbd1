"""The LSTM head: the sizes of its presets, and a state as torch would carry it."""

import torch

from calvinbench.policies.heads.config import HEAD_PRESETS, HeadConfig
from calvinbench.policies.heads.registry import make_head


def num_parameters(module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_seeds_preset_has_its_numbers_of_parameters():
    head = make_head(2048, HEAD_PRESETS["seed"])
    # 4 gates x 1024 x (inputs + 1024 + two biases), twice; then one linear layer to 10 actions of 7.
    assert num_parameters(head.lstm) == 4 * 1024 * (2048 + 1024 + 2) + 4 * 1024 * (1024 + 1024 + 2)
    assert num_parameters(head.decoder) == 1024 * 70 + 70
    assert head.lstm.dropout == 0.1


def test_the_preset_of_robovlms_has_its_layers():
    head = make_head(2048, HEAD_PRESETS["robovlms"])
    assert (head.lstm.num_layers, head.lstm.hidden_size, head.lstm.dropout) == (4, 1024, 0.0)
    widths = {name: list(weight.shape) for name, weight in head.decoder.named_parameters() if name.endswith("weight")}
    hidden = {0: [1024, 1024], 2: [512, 1024], 4: [256, 512]}
    assert widths == {
        **{f"pose.{place}.weight": shape for place, shape in {**hidden, 6: [60, 256]}.items()},
        **{f"gripper.{place}.weight": shape for place, shape in {**hidden, 6: [10, 256]}.items()},
    }


def test_the_state_is_that_of_torchs_lstm():
    torch.manual_seed(0)
    head = make_head(8, HeadConfig(hidden_dim=16, num_layers=3)).eval()
    features = torch.randn(2, 4, 8)
    _, (hidden, cell) = head.lstm(features)
    state = head(features).state
    torch.testing.assert_close((state.hidden, state.cell), (hidden, cell))
    forgot = state.forget(torch.tensor([True, False]))
    assert not forgot.hidden[:, 0].any()
    assert not forgot.cell[:, 0].any()
    assert torch.equal(forgot.cell[:, 1], cell[:, 1])
    assert state.cell[:, 0].abs().min() > 0
