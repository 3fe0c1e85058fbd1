"""From a spec to a learned policy: untrained in every size and with pretrained VLMs, and from a checkpoint."""

import json

import numpy as np
import pytest
import torch

from calvinbench.envs.observation import Observation
from calvinbench.policies.backbones.llava import LlavaBackbone
from calvinbench.policies.backbones.prompts.prompt import Layout
from calvinbench.policies.backbones.weights.sources import BackboneSourceError
from calvinbench.policies.check import made_up_observation
from calvinbench.policies.learned.checkpoint import save_checkpoint
from calvinbench.policies.policy import Memory
from calvinbench.policies.registry import make_policy
from calvinbench.policies.robovlms.config_keys import ConfigBlockError
from calvinbench.policies.spec import PolicySpecError


def act(policy):
    seen = Observation.stack([made_up_observation(np.random.default_rng(0))], policy.traits.observation_keys)
    return policy.act(seen, ["open the drawer"], policy.initial_state(1)).actions


def test_an_untrained_policy_says_so_and_follows_its_seed():
    first, again, other = (make_policy(f"untrained:llava,hidden_dim=8,seed={seed}") for seed in (0, 0, 1))
    assert first.traits.label.endswith("M, untrained)")
    assert other.traits.label.endswith("M, untrained, seed 1)")
    np.testing.assert_array_equal(act(first), act(again))
    assert np.abs(act(first) - act(other)).max() > 1e-3


def test_every_setting_of_the_spec_reaches_the_policy():
    policy = make_policy(
        "untrained:qwen-vl,head=robovlms,hidden_dim=8,num_layers=1,chunk_length=3,layout=native,cameras=static,"
        "image_size=56,memory_span=window:4,memory_reset=chain,chunk_rule=first:2,device=cpu,dtype=bfloat16"
    )
    config = policy.config
    assert (config.head.hidden_dim, config.head.num_layers, config.head.chunk_length) == (8, 1, 3)
    assert config.head.decoder == "mlp"
    assert config.backbone_settings.layout is Layout.NATIVE
    assert (policy.model.backbone.image_size, policy.model.backbone.num_image_tokens) == (56, 4)
    assert policy.traits.cameras == ("static",)
    assert policy.traits.memory == Memory("window:4", "chain")
    assert policy.traits.chunk_rule == "first:2"
    assert policy.model.backbone.dtype == torch.bfloat16
    assert np.isfinite(act(policy)).all()


@pytest.mark.parametrize(
    ("head", "span"), [("seed", "unbounded"), ("feedforward", "none"), ("transformer,hidden_dim=16", "window:16")]
)
def test_memory_is_by_default_what_suits_the_head(head, span):
    assert make_policy(f"untrained:kosmos2,head={head}").traits.memory.span == span


def test_a_memory_that_the_head_cannot_have_is_refused():
    with pytest.raises(
        ValueError, match="expected memory span 'none' for a head of type 'feedforward', got 'window:2'"
    ):
        make_policy("untrained:kosmos2,head=feedforward,memory_span=window:2")


@pytest.fixture
def vlm(tmp_path):
    backbone = LlavaBackbone.tiny(torch.Generator().manual_seed(3))
    backbone.model.save_pretrained(tmp_path)
    backbone.tokenizer.save_pretrained(tmp_path)
    levels = {"image_mean": backbone.image_mean, "image_std": backbone.image_std}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(levels))
    return tmp_path, backbone


def test_a_pretrained_vlm_gets_a_new_head_and_its_native_layout(vlm):
    folder, backbone = vlm
    policy = make_policy(f"untrained:llava,vlm={folder},hidden_dim=8")
    assert policy.traits.label.endswith("M, pretrained VLM, untrained head)")
    assert policy.config.backbone_settings.layout is Layout.NATIVE
    for key, weight in backbone.state_dict().items():
        assert torch.equal(policy.model.backbone.state_dict()[key], weight), key


def test_any_vlm_of_the_hub_goes_by_its_folder_or_name(vlm):
    folder, _ = vlm
    policy = make_policy(f"untrained:hf:{folder},hidden_dim=8,layout=seed")
    assert policy.traits.label.startswith(f"hf:{folder} (")
    assert np.isfinite(act(policy)).all()
    with pytest.raises(BackboneSourceError, match="expected to download 'ORG/NAME' from the Hugging Face hub"):
        make_policy("untrained:hf:ORG/NAME")


def test_published_weights_that_cannot_be_reached_say_what_to_do():
    with pytest.raises(BackboneSourceError, match=r"'microsoft/kosmos-2-patch14-224'.*name a local folder"):
        make_policy("untrained:kosmos2,vlm=published")


def test_a_checkpoint_runs_as_it_was_trained_unless_told_otherwise(tmp_path):
    trained = make_policy("untrained:kosmos2,hidden_dim=8,memory_span=window:3,memory_reset=chain,chunk_rule=first:2")
    folder = save_checkpoint(tmp_path / "policy", trained.model, trained.config)
    policy = make_policy(f"checkpoint:{folder}")
    assert policy.config == trained.config
    assert len(policy.traits.weights_digest) == 64
    np.testing.assert_array_equal(act(policy), act(trained))
    other = make_policy(f"checkpoint:{folder},memory_span=unbounded,memory_reset=subtask,chunk_rule=ensemble:0")
    assert other.traits.memory == Memory("unbounded", "subtask")
    assert other.traits.chunk_rule == "ensemble:0.0"


SEED_BLOCKS = """
{
    "act_head": {
        "type": "LSTMDecoder",
        "action_space": "continuous",
        "action_dim": 7,
        "hidden_size": 24,
        "num_layers": 3,
        "dropout": 0.2,
        "window_size": 1,              // one frame through the VLM
        "with_history": true,
        "history_type": "post"
    }
}
{
    "window_size": 5,
    "fwd_pred_next_n": 6
}
{
    "train_setup": {"freeze_backbone": true, "train_vision": true, "lora_enable": false, "learning_rate": 2e-5}
}
"""


def test_the_seeds_blocks_act_as_written(tmp_path):
    file = tmp_path / "blocks.json"
    file.write_text(SEED_BLOCKS)
    policy = make_policy(f"untrained:kosmos2,config={file}")
    head = policy.model.head
    assert (head.lstm.hidden_size, head.lstm.num_layers, head.lstm.dropout) == (24, 3, 0.2)
    assert policy.traits.chunk_length == 6
    assert policy.traits.memory == Memory("window:5", "subtask")
    kosmos = policy.model.backbone.model
    assert all(weight.requires_grad for weight in kosmos.vision_model.parameters())
    assert not any(weight.requires_grad for weight in kosmos.text_model.parameters())
    assert make_policy(f"untrained:kosmos2,config={file},hidden_dim=8").model.head.lstm.hidden_size == 8


def test_a_key_of_a_file_that_does_nothing_is_refused(tmp_path):
    file = tmp_path / "blocks.json"
    file.write_text('{"act_head": {"history_type": "pre"}}')
    with pytest.raises(ValueError, match="history_type"):
        make_policy(f"untrained:kosmos2,config={file}")


def test_a_backbone_is_made_in_given_numbers(tmp_path):
    file = tmp_path / "numbers.json"
    numbers = LlavaBackbone.tiny(torch.Generator()).config
    numbers["text_config"]["num_hidden_layers"] = 3
    file.write_text(json.dumps(numbers))
    policy = make_policy(f"untrained:llava,size={file},hidden_dim=8")
    assert len(policy.model.backbone.model.language_model.layers) == 3
    with pytest.raises(BackboneSourceError, match="for the backbone 'kosmos2', got model type 'llava'"):
        make_policy(f"untrained:kosmos2,size={file}")
    numbers["text_config"]["num_hiden_layers"] = 1
    file.write_text(json.dumps(numbers))
    with pytest.raises(
        ValueError, match=r"Unknown number of 'llava.text_config' 'num_hiden_layers'\. Did you mean 'num_h"
    ):
        make_policy(f"untrained:llava,size={file}")
    with pytest.raises(PolicySpecError, match="a JSON file with a backbone's numbers as size"):
        make_policy(f"untrained:llava,size={tmp_path / 'none.json'}")


def test_a_layout_that_a_backbone_does_not_have_is_refused_when_it_is_made():
    with pytest.raises(ValueError, match="expected another layout than 'native' for minilm-effnet"):
        make_policy("untrained:minilm-effnet,layout=native")


def test_settings_that_would_do_nothing_are_refused(vlm):
    folder, _ = vlm
    with pytest.raises(PolicySpecError, match=r"expected 'size' or pretrained weights, got size=full and"):
        make_policy(f"untrained:llava,vlm={folder},size=full")
    for name in ("kosmos2", "paligemma", "llava", "moondream", "flamingo"):
        with pytest.raises(ValueError, match=f"expected image_size .* or none for {name}, got 28"):
            make_policy(f"untrained:{name},image_size=28")


def test_what_a_spec_and_its_file_both_say_or_say_badly_is_refused(vlm, tmp_path):
    folder, _ = vlm
    with pytest.raises(PolicySpecError, match=r"nowhere else, got 'hf:.*' and vlm=published"):
        make_policy(f"untrained:hf:{folder},vlm=published")
    with pytest.raises(PolicySpecError, match="Write untrained:hf:ORG/NAME"):
        make_policy("untrained:hf:")
    file = tmp_path / "blocks.json"
    file.write_text('{"window_size": 5}')
    with pytest.raises(PolicySpecError, match="expected one head, got head=robovlms and the act_head of"):
        make_policy(f"untrained:kosmos2,config={file},head=robovlms")
    for text in ("{}", "[1]", '{"backbone_config": null}'):
        file.write_text(text)
        with pytest.raises(PolicySpecError, match="expected a mapping of a backbone's numbers in"):
            make_policy(f"untrained:flamingo,size={file}")
    numbers = LlavaBackbone.tiny(torch.Generator()).config
    numbers["text_config"]["num_attention_heads"] = "four"
    file.write_text(json.dumps(numbers))
    with pytest.raises(PolicySpecError, match="expected numbers for llava in"):
        make_policy(f"untrained:llava,size={file}")


def test_a_file_of_robovlms_brings_its_order_of_tokens(tmp_path):
    file = tmp_path / "robovlms.json"
    file.write_text('{"robovlm_name": "RoboKosMos", "model": "kosmos", "act_head": {"hidden_size": 16, "latent": 1}}')
    assert make_policy(f"untrained:kosmos2,config={file}").config.backbone_settings.layout is Layout.ROBOVLMS
    assert make_policy(f"untrained:kosmos2,config={file},layout=seed").config.backbone_settings.layout is Layout.SEED


@pytest.mark.parametrize("device", ["meta", "hpu", "cuda:99"])
def test_a_device_that_cannot_work_is_refused(device):
    with pytest.raises(PolicySpecError, match=f"expected a device that torch has here .*, got '{device}'"):
        make_policy(f"untrained:kosmos2,device={device}")


def test_the_pose_may_be_left_unbounded():
    head = make_policy("untrained:kosmos2,hidden_dim=8,pose_activation=none").model.head
    assert head.config.pose_activation == "none"


def test_lrn_is_scaled_with_the_text_where_that_is_asked_for_and_refused_where_nothing_is_scaled():
    plain, scaled = (
        make_policy(f"untrained:paligemma,hidden_dim=8,scale_lrn={switch},device=cpu") for switch in ("false", "true")
    )
    given, root = torch.full((128,), 0.5), 128**0.5
    for policy, times in ((plain, root), (scaled, 1.0)):
        policy.model.lrn.embedding.data = given * times
    assert np.array_equal(act(plain), act(scaled))
    with pytest.raises(PolicySpecError, match="'scale_lrn' has no effect because llava does not multiply"):
        make_policy("untrained:llava,scale_lrn=true")


def test_remedy_a_configuration_with_the_robots_state_is_replaced_by_a_setting_of_the_spec(tmp_path):
    file = tmp_path / "config.json"
    file.write_text('{"model": "kosmos2", "use_state": true}')
    with pytest.raises(ConfigBlockError, match="remove the key and write proprioception=true into the policy spec"):
        make_policy(f"untrained:kosmos2,config={file}")
    file.write_text('{"model": "kosmos2"}')
    policy = make_policy(f"untrained:kosmos2,config={file},proprioception=true,device=cpu")
    assert "robot_obs" in policy.traits.observation_keys
