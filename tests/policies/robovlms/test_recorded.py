"""Against outputs of RoboVLMs' own code (commit 8adc1d2) on tiny random checkpoints that it saved."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from calvinbench.envs.observation import Observation
from calvinbench.policies.backbones.images.preprocessing import CameraImages
from calvinbench.policies.backbones.prompts.prompt import Kind, Prompt
from calvinbench.policies.learned.vlm_lstm_policy import VLMLSTMPolicy
from calvinbench.policies.registry import make_policy
from calvinbench.policies.robovlms.checkpoint import load_planned
from calvinbench.policies.robovlms.plan import plan_import
from calvinbench.policies.training.losses import ChunkLabels, chunk_loss

pytestmark = pytest.mark.recorded
REPOSITORY = Path(__file__).parents[3]
AGREED = 1e-5
CAMERAS = {"hand": ("gripper", "static"), "nohand": ("static",)}
"""In the order of RoboVLMs' sequence."""


class Recording(NamedTuple):
    """A checkpoint, imported with and without the gripper camera, and the outputs."""

    folder: object
    name: str
    plans: dict
    models: dict
    outputs: dict
    gradient_norms: dict

    def spec(self):
        return f"robovlms:{self.folder / self.name}.pt,config={self.folder / self.name}_config.json"


def pytest_generate_tests(metafunc):
    """Every recording that is there; without any, one run that the fixture `recordings` skips."""
    if "recorded_name" in metafunc.fixturenames:
        default = REPOSITORY.parent / "shared" / "data"
        found = Path(os.environ.get("CALVINBENCH_TEST_DATA", default)).glob("robovlms-*-tiny")
        metafunc.parametrize("recorded_name", sorted(each.name for each in found) or ["none"], scope="module")


@pytest.fixture(scope="module")
def recording(recorded_name, recordings):
    folder = recordings / recorded_name
    if not folder.is_dir():
        pytest.skip(f"no recordings of RoboVLMs at {recordings}")
    name = next(folder.glob("*_config.json")).name.removesuffix("_config.json")
    plan = plan_import(folder / f"{name}.pt", folder / f"{name}_config.json")
    static = replace(plan.config, backbone_settings=replace(plan.config.backbone_settings, cameras=("static",)))
    plans = {"hand": plan, "nohand": replace(plan, config=static)}
    models = {hand: load_planned(one) for hand, one in plans.items()}
    with np.load(folder / f"{name}_io.npz") as arrays:
        outputs = {key: arrays[key] for key in arrays.files}
    norms = json.loads((folder / f"{name}_gradnorm.json").read_text())
    return Recording(folder, name, plans, models, outputs, norms)


@pytest.fixture(params=["hand", "nohand"])
def hand(request):
    return request.param


def difference(ours, theirs):
    return float(np.abs(np.asarray(ours, dtype=np.float64) - np.asarray(theirs, dtype=np.float64)).max())


def frames(outputs):
    static, gripper = (torch.from_numpy(outputs[f"step_in/rgb_{camera}_u8"]) for camera in ("static", "gripper"))
    return CameraImages(static, gripper)


def goals(outputs, hand="hand"):
    return [str(goal) for goal in outputs[f"step_{hand}/goal"]]


def test_pictures_are_preprocessed_alike_to_the_last_bit_of_a_level(recording):
    backbone = recording.models["hand"].backbone
    for camera in ("static", "gripper"):
        ours = backbone.preprocess(frames(recording.outputs).of(camera))
        assert difference(ours, recording.outputs[f"step_hand/pix_{camera}"]) < 1e-6


def test_text_ids_are_alike(recording, hand):
    backbone, outputs = recording.models[hand].backbone, recording.outputs
    for step in (0, 8):
        prompt = backbone.prompt(goals(outputs, hand)[step])
        ours = [number for number, kind in zip(prompt.ids, prompt.kinds, strict=True) if kind is Kind.TEXT]
        assert ours == outputs[f"step_{hand}/text_ids_t{step}"][0].tolist()


def test_features_are_alike_from_uint8_frames_and_from_recorded_pixels(recording, hand):
    model, outputs = recording.models[hand], recording.outputs
    expected = outputs[f"step_{hand}/lstm_in"]
    with torch.no_grad():
        from_frames = model.encode(frames(outputs), goals(outputs))
        pixels = [torch.from_numpy(outputs[f"step_hand/pix_{camera}"]) for camera in CAMERAS[hand]]
        tokens = torch.cat([model.backbone.image_features(each) for each in pixels], dim=1)
        prompts = [model.backbone.prompt(goal) for goal in goals(outputs)]
        from_pixels = model.backbone.fuse(prompts, tokens, model.lrn())
    assert difference(from_frames, expected) < AGREED
    assert difference(from_pixels, expected) < AGREED


def rollout(policy, outputs, hand):
    """Chunks and actions of the recorded steps, through the policy alone."""
    predicted = []
    predict = policy.predict

    def listen(*arguments):
        output = predict(*arguments)
        predicted.append(output[0][0].numpy())
        return output

    policy.predict = listen
    actions, state = [], policy.initial_state(1)
    seen = frames(outputs)
    for step, goal in enumerate(goals(outputs)):
        if step in outputs[f"step_{hand}/reset_before_steps"]:
            state = policy.reset_state(state, np.array([True]))
        shown = {f"rgb_{camera}": seen.of(camera)[step : step + 1].numpy() for camera in CAMERAS[hand]}
        decision = policy.act(observation_of(shown), [goal], state)
        actions.append(decision.actions[0])
        state = decision.state
    return np.array(predicted), np.array(actions)


def observation_of(pictures):
    nothing = dict.fromkeys(field for field in Observation.__dataclass_fields__)
    return Observation(**(nothing | {"robot_obs": np.zeros((1, 15))} | pictures))


def test_ten_steps_of_the_policy_are_alike(recording, hand):
    plan, outputs = recording.plans[hand], recording.outputs
    policy = VLMLSTMPolicy(recording.models[hand], plan.config)
    chunks, actions = rollout(policy, outputs, hand)
    low, high = plan.config.pose_range.low, plan.config.pose_range.high
    expected_pose = low + (outputs[f"step_{hand}/pred_arm"] + 1) / 2 * (high - low)
    assert difference(chunks[..., :6], expected_pose) < AGREED
    assert difference(chunks[..., 6:], outputs[f"step_{hand}/pred_gripper_logit"]) < AGREED
    assert difference(actions, outputs[f"step_{hand}/action"]) < AGREED


def test_the_spec_makes_the_same_policy(recording):
    policy = make_policy(recording.spec() + ",device=cpu")
    _, actions = rollout(policy, recording.outputs, "hand")
    assert difference(actions, recording.outputs["step_hand/action"]) < AGREED
    assert policy.traits.memory.span == f"window:{recording.plans['hand'].written['window_size']}"
    assert policy.traits.memory.reset == "subtask"
    assert policy.traits.chunk_rule == "first"
    assert policy.traits.label.endswith(f", RoboVLMs {recording.name})")


# --- training: two windows of four frames, the second sentence shorter ------------------------------------------------


def padded_prompts(backbone, text_ids, text_mask, num_frames):
    """RoboVLMs' training batch: padded on the right, then images after the first token, [LRN] before the last.

    In a padded row [LRN] and the last token are so behind the padding, and [LRN] behind the end of the text.
    """
    prompts = []
    for ids, mask in zip(text_ids.tolist(), text_mask.tolist(), strict=True):
        kinds = tuple(Kind.TEXT if here else Kind.PADDING for here in mask)
        text = Prompt(tuple(ids), kinds)
        pictures = backbone.picture("gripper") + backbone.picture("static")
        first, middle, last = (Prompt(text.ids[part], text.kinds[part]) for part in _parts())
        prompts += [first + pictures + middle + backbone.lrn_place() + last] * num_frames
    return prompts


def _parts():
    return slice(0, 1), slice(1, -1), slice(-1, None)


def train_forward(model, outputs, hand, prompts=None):
    """Features and chunks of the recorded batch."""
    pictures = {camera: torch.from_numpy(outputs[key]) for camera, key in _BATCH.items()}
    batch_size, num_frames = pictures["static"].shape[:2]
    tokens = [model.backbone.image_features(pictures[camera].flatten(0, 1)) for camera in CAMERAS[hand]]
    if prompts is None:
        prompts = padded_prompts(model.backbone, outputs["in/text"], outputs["in/text_mask"], num_frames)
    features = model.backbone.fuse(prompts, torch.cat(tokens, dim=1), model.lrn())
    features = features.unflatten(0, (batch_size, num_frames))
    return features, model.head(features).chunks


_BATCH = {"static": "in/rgb", "gripper": "in/hand_rgb"}


def loss_of(chunks, outputs, ratio):
    labels = torch.from_numpy(outputs["in/action_chunck"])
    valid = torch.from_numpy(outputs["in/chunck_mask"]) > 0
    return chunk_loss(chunks, ChunkLabels(labels[..., :6], 2 * labels[..., 6] - 1, valid), ratio)


def test_a_training_batch_is_alike(recording, hand):
    outputs = recording.outputs
    with torch.no_grad():
        features, chunks = train_forward(recording.models[hand], outputs, hand)
    assert difference(features, outputs[f"train_{hand}/lstm_in"][:, :, 0]) < AGREED
    assert difference(chunks[..., :6], outputs[f"train_{hand}/pred_arm"]) < AGREED
    assert difference(chunks[..., 6:], outputs[f"train_{hand}/pred_gripper_logit"]) < AGREED


def test_losses_and_gradients_are_alike(recording):
    model, outputs, plan = recording.models["hand"], recording.outputs, recording.plans["hand"]
    model.zero_grad()
    _, chunks = train_forward(model, outputs, "hand")
    loss = loss_of(chunks, outputs, plan.written["arm_gripper_loss_ratio"])
    assert difference(loss.pose.detach(), outputs["train_hand/loss_arm_act"]) < AGREED
    assert difference(loss.gripper.detach(), outputs["train_hand/loss_gripper_act"]) < AGREED
    assert difference(loss.gripper_accuracy, outputs["train_hand/acc_gripper_act"]) < AGREED
    loss.total.backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    ours = {row.theirs: row.ours[0] for row in plan.rows if row.ours}
    arrays = {key.removeprefix("train_hand/grad/model."): key for key in outputs if "/grad/" in key}
    assert len(arrays) == 4
    for theirs, key in arrays.items():
        assert difference(gradients[ours[theirs]], outputs[key]) < AGREED * np.abs(outputs[key]).max(), theirs
    norms = {theirs.removeprefix("model."): norm for theirs, norm in recording.gradient_norms["grad_norm"].items()}
    without = {theirs.removeprefix("model.") for theirs in recording.gradient_norms["no_grad"]}
    assert norms.keys() | without >= ours.keys()
    for theirs in norms.keys() & ours.keys():
        # (Of keys' biases the gradient is zero but for rounding: softmax does not see them.)
        assert difference(gradients[ours[theirs]].norm(), norms[theirs]) < AGREED * norms[theirs] + 1e-8, theirs
    for theirs in without & ours.keys():
        assert gradients[ours[theirs]] is None, theirs
    model.zero_grad()


# --- mistakes must be seen --------------------------------------------------------------------------------------------


def feature_difference(recording, prompts):
    outputs = recording.outputs
    with torch.no_grad():
        features, _ = train_forward(recording.models["hand"], outputs, "hand", prompts)
    return difference(features, outputs["train_hand/lstm_in"][:, :, 0])


def test_the_order_of_pictures_is_seen(recording):
    outputs, model = recording.outputs, recording.models["hand"]
    swapped = {**outputs, "in/rgb": outputs["in/hand_rgb"], "in/hand_rgb": outputs["in/rgb"]}
    with torch.no_grad():
        features, _ = train_forward(model, swapped, "hand")
    assert difference(features, outputs["train_hand/lstm_in"][:, :, 0]) > 1e-2


def test_the_place_of_lrn_is_seen(recording):
    outputs, backbone = recording.outputs, recording.models["hand"].backbone
    prompts = padded_prompts(backbone, outputs["in/text"], outputs["in/text_mask"], 4)
    moved = [
        Prompt((*one.ids[:-2], one.ids[-1], one.ids[-2]), (*one.kinds[:-2], one.kinds[-1], one.kinds[-2]))
        for one in prompts
    ]
    assert feature_difference(recording, moved) > 5e-2


def test_padding_that_is_attended_to_is_seen(recording):
    outputs, backbone = recording.outputs, recording.models["hand"].backbone
    attended = np.ones_like(outputs["in/text_mask"])
    assert feature_difference(recording, padded_prompts(backbone, outputs["in/text"], attended, 4)) > 1e-2


@pytest.mark.parametrize("span", ["window:3", "unbounded"])
def test_another_memory_is_seen(recording, span):
    plan = recording.plans["hand"]
    config = replace(plan.config, memory=replace(plan.config.memory, span=span))
    _, actions = rollout(VLMLSTMPolicy(recording.models["hand"], config), recording.outputs, "hand")
    assert difference(actions, recording.outputs["step_hand/action"]) > AGREED


def test_a_forgotten_reset_is_seen(recording):
    outputs = {**recording.outputs, "step_hand/reset_before_steps": np.array([0])}
    policy = VLMLSTMPolicy(recording.models["hand"], recording.plans["hand"].config)
    _, actions = rollout(policy, outputs, "hand")
    assert difference(actions[8:], outputs["step_hand/action"][8:]) > AGREED
