"""On a GPU, where there is one: the same actions as on the CPU, every precision, and training."""

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState, GradientState

from calvinbench.envs.observation import Observation
from calvinbench.policies.backbones.check import check_backbone, made_up_images
from calvinbench.policies.backbones.images.preprocessing import CameraImages
from calvinbench.policies.backbones.registry import BACKBONES, backbone_class
from calvinbench.policies.check import check_policy, made_up_observation
from calvinbench.policies.heads.config import HeadConfig
from calvinbench.policies.learned.trainable import TrainableParts, apply_trainable_parts
from calvinbench.policies.learned.vlm_lstm import VLMLSTM
from calvinbench.policies.registry import make_policy
from calvinbench.policies.training.acceleration import make_accelerator
from calvinbench.policies.training.log import read_log
from calvinbench.policies.training.trainer import Trainer
from support.small_training import make_training, write_data

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch has no CUDA device here")
SENTENCES = ["open the drawer", "take the blue block and rotate it to the right"]


@pytest.fixture(autouse=True)
def exact():
    """Products of 32-bit matrices in 32 bits, not in TF32."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.set_float32_matmul_precision(before[0])
    torch.backends.cudnn.allow_tf32 = before[1]


@pytest.mark.parametrize("name", list(BACKBONES))
def test_every_backbone_passes_on_the_gpu(name):
    check_backbone(backbone_class(name).tiny(torch.Generator().manual_seed(0)).to("cuda"))


def run(policy, steps=4):
    worlds = [np.random.default_rng(seed) for seed in range(2)]
    state, actions = policy.initial_state(2), []
    for step in range(steps):
        if step == 2:
            state = policy.reset_state(state, np.array([True, False]))
        seen = Observation.stack([made_up_observation(world) for world in worlds], policy.traits.observation_keys)
        action, state = policy.act(seen, SENTENCES, state)
        actions.append(action)
    return np.stack(actions)


@pytest.mark.parametrize("span", ["unbounded", "window:2"])
@pytest.mark.parametrize("rule", ["first", "first:3", "ensemble"])
@pytest.mark.parametrize("name", ["kosmos2", "qwen-vl"])
def test_a_policy_acts_as_on_the_cpu(name, span, rule):
    spec = f"untrained:{name},hidden_dim=32,memory_span={span},chunk_rule={rule}"
    np.testing.assert_allclose(
        run(make_policy(f"{spec},device=cuda")), run(make_policy(f"{spec},device=cpu")), atol=1e-4
    )


def test_a_policy_goes_to_the_gpu_by_itself_and_keeps_to_the_interface():
    policy = make_policy("untrained:kosmos2,hidden_dim=32,memory_span=window:3,chunk_rule=first:2")
    assert policy.model.backbone.device.type == "cuda"
    check_policy(policy)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", list(BACKBONES))
def test_sixteen_bits_are_nearly_right(name, dtype):
    spec = f"untrained:{name},hidden_dim=32,device=cuda"
    exact, near = run(make_policy(spec)), run(make_policy(f"{spec},dtype={dtype}"))
    assert np.abs(near - exact)[..., :6].max() < 0.1
    assert np.abs(near - exact)[..., :6].max() > 0


@pytest.mark.parametrize("settings", [{}, {"gradient_checkpointing": True}, {"lora_enable": True, "lora_r": 2}])
def test_a_step_of_training_runs_and_checkpointing_needs_less(settings):
    torch.manual_seed(0)
    model = VLMLSTM(backbone_class("kosmos2").tiny(torch.Generator().manual_seed(0)), HeadConfig(hidden_dim=16))
    apply_trainable_parts(model, TrainableParts(**settings))
    model.to("cuda").train()
    pictures = made_up_images(16)
    window = CameraImages(pictures.static.unflatten(0, (2, 8)), pictures.of("gripper").unflatten(0, (2, 8)))
    optimiser = torch.optim.AdamW([weight for weight in model.parameters() if weight.requires_grad], lr=1e-3)
    losses = []
    for _ in range(3):
        with torch.autocast("cuda", torch.bfloat16):
            loss = model(window, SENTENCES).chunks.float().square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss))
    assert losses[-1] < losses[0]


class KilledError(Exception):
    """What ends a sitting."""


class Killer:
    """Ends a sitting when it is told of a step."""

    def __init__(self, step):
        self._step = step

    def began(self, training):
        pass

    def logged(self, line):
        if line.step == self._step:
            raise KilledError

    def saved(self, training, step):
        return None

    def ended(self):
        pass


@pytest.fixture
def make_trainer(tmp_path):
    """Makes the real trainer on the GPU, for a folder's name, a backbone and a precision."""
    data = write_data(tmp_path / "data")

    def make(name, backbone, precision):
        AcceleratorState._reset_state(reset_partial_state=True)
        training = make_training(
            data,
            tmp_path / name,
            backbone=backbone,
            spec={"num_layers": "2"},  # with dropout between them
            precision=precision,
            gradient_accumulation_steps=2,
            max_gradient_norm=1.0,
            max_steps=12,
            max_epochs=9,
            save_every=4,
            log_every=1,
        )
        return Trainer(training, make_accelerator(precision), lambda: 0.0)

    yield make
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("backbone", ["cnn", "kosmos2"])
def test_the_trainer_takes_steps_in_16_bits_and_goes_on_from_its_state(make_trainer, backbone, precision):
    whole = make_trainer("whole", backbone, precision)
    before = {name: weight.detach().cpu().clone() for name, weight in whole.training.model.named_parameters()}
    whole.run()
    lines = read_log(whole.training.settings.out)
    assert [line.step for line in lines] == list(range(1, 13))
    assert all(np.isfinite(line.loss) for line in lines)
    with pytest.raises(KilledError):
        make_trainer("killed", backbone, precision).run([Killer(6)])
    resumed = make_trainer("killed", backbone, precision)
    assert resumed.progress.step == 4
    scaler = resumed._accelerator.scaler
    assert (scaler is not None) == (precision == "fp16")
    if scaler is not None:  # its scale is part of the state: it began at 2^16, and steps that overflow halve it
        assert scaler.get_scale() <= 2**16
    resumed.run()
    # The scale of fp16's loss is that of the unbroken training; sums on a GPU may differ in their last digits.
    if scaler is not None:
        assert scaler.get_scale() == whole._accelerator.scaler.get_scale()
    again = read_log(resumed.training.settings.out)
    assert [line.step for line in again] == list(range(1, 13))
    assert [line.loss for line in again] == pytest.approx([line.loss for line in lines], rel=5e-2)
    for name, weight in resumed.training.model.named_parameters():
        assert weight.dtype == torch.float32, name
        assert torch.isfinite(weight).all(), name
    moved = [
        name
        for name, weight in whole.training.model.named_parameters()
        if not torch.equal(weight.detach().cpu(), before[name])
    ]
    assert len(moved) > len(before) / 2
