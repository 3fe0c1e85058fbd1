"""Keys of RoboVLMs' files (github.com/Robot-VLAs/RoboVLMs at 8adc1d2) that have no effect here, each with the reason.

Some may only have the value that is used anyway, and raise an error for another value. The others are idle.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from calvinbench.policies.robovlms.config_keys import ConfigKeys

SECTIONS = (
    *("act_head", "train_setup", "trainer", "train_dataset", "tokenizer", "vlm"),
    *("vision_resampler", "vision_encoder"),
)
BACKBONES_THERE: Mapping[str, str] = MappingProxyType(
    {
        "kosmos": "kosmos2",
        "paligemma": "paligemma",
        "llava": "llava",
        "qwen": "qwen-vl",
        "uform": "uform",
        "moondream": "moondream",
        "flamingo": "flamingo",
    }
)
"""Values of RoboVLMs' `model`, with the backbone's name here."""
_FORWARD = "no images are predicted here, only actions"
_DISCRETE = "actions are numbers here, not tokens of the language model"
_RESAMPLER = (
    "RoboVLMs puts a perceiver resampler of its own between projection and decoder (its MoonDream has one), but "
    "backbones here are as published"
)
_STATE = (
    "RoboVLMs' encoder of the robot's state is not supported, so that a checkpoint with one cannot be imported. A "
    "policy that is trained here can use the state through this project's own encoder: remove the key and write "
    "proprioception=true into the policy spec"
)
_ADAPTER = "the connector is trained as the rest of the VLM is; freeze_backbone freezes both"
_LOGGING = "of the trainer that made the file: where and what it logs, on which machines"
_PATH = "a place on the machine that made the file"
_FIXED: tuple[tuple[str, tuple[Any, ...], str], ...] = (
    ("act_head.action_dim", (7,), "an action is six numbers of pose and the gripper"),
    ("act_head.latent", (1,), "there is one [LRN]"),
    ("act_head.window_size", (1,), "the VLM sees one frame a step; how much the head remembers is the top-level one"),
    ("act_head.token_source", ("all",), "pooling is over all tokens"),
    ("act_head.fill_zero", (False,), "[LRN] is attended to"),
    ("train_setup.predict_action", (True,), "predicting actions is what a policy does"),
    ("train_setup.predict_forward", (False,), _FORWARD),
    ("train_setup.predict_forward_hand", (False,), _FORWARD),
    ("train_setup.predict_caption", (False,), "no captions are predicted here, only actions"),
    ("train_setup.bits", (-1,), "weights are not quantised; it would need bitsandbytes and a backward pass through it"),
    ("train_setup.reinit", (False,), "random VLMs are made by untrained:BACKBONE,size=full"),
    ("train_setup.train_decoder_layers", (-1,), "the language model is trained whole, by adapters, or not at all"),
    ("train_setup.train_full_decoder", (False,), "what it means is freeze_backbone: false"),
    ("train_setup.freeze_mm_mlp_adapter", (False,), _ADAPTER),
    ("fwd_head", (), _FORWARD),
    ("act_encoder", (), "past actions are not encoded; nothing in RoboVLMs reads it either"),
    ("use_state", (False,), _STATE),
    ("use_clip_norm", (False,), "there is no second loss on CLIP's text features"),
    ("use_vision_resampler", (False,), _RESAMPLER),
    ("use_mim_obs_loss", (False,), _FORWARD),
    ("use_mu_law", (False,), "actions are scaled linearly (norm_action); mu-law would need its inverse at each step"),
    ("regular_action", (False,), "actions are scaled by norm_action, not by a mean and a deviation"),
    ("tcp_rel", (False,), "actions are relative in the robot's base frame, as CALVIN's rel_actions are"),
    ("discrete_action_history", (False,), _DISCRETE),
    ("warmup_ratio", (), "warm-up is warmup_epochs and warmup_steps; nothing in RoboVLMs reads the ratio"),
)
"""Key, its possible values, and the reason."""
_IDLE: tuple[tuple[str, str], ...] = (
    ("act_head.n_bin", _DISCRETE),
    ("act_head.min_action", _DISCRETE),
    ("act_head.max_action", _DISCRETE),
    ("train_setup.freeze_resampler", _RESAMPLER),
    ("train_setup.train_resampler", "Flamingo's resampler is of its connector, which is trained as the rest is"),
    ("train_setup.tune_mm_mlp_adapter", _ADAPTER),
    ("train_setup.mm_use_im_start_end", "the layout sets the tokens around an image"),
    ("train_setup.mm_use_im_patch_token", "the layout sets the tokens around an image"),
    ("train_setup.mm_projector_lr", "all parameters are trained at one rate; RoboVLMs does not read it either"),
    ("use_obs_queries", _FORWARD),
    ("use_pixel_loss", _FORWARD),
    ("fwd_loss_ratio", _FORWARD),
    ("cap_loss_ratio", "no captions are predicted here, only actions"),
    ("vl_cotrain_ratio", "there is no second task beside actions"),
    ("use_time_causal_attn", "the VLM sees one frame a step, so that no frame attends to another"),
    ("vision_masked_ratio", "images are not masked; RoboVLMs does not mask them either"),
    ("use_tube_mask", "images are not masked; RoboVLMs does not mask them either"),
    ("seq_len", "a sample is one window"),
    ("data_scale", "all of a data set is used"),
    ("finetune", "nothing in RoboVLMs' CALVIN training reads it"),
    ("use_multi_modal_emb", "nothing in RoboVLMs' CALVIN training reads it"),
    ("no_video_pretrained_model", "nothing in RoboVLMs' CALVIN training reads it"),
    ("kl_div_ratio", "there is no such loss"),
    ("clip_norm_ratio", "there is no such loss"),
    ("mu_val", "of use_mu_law, which is not used"),
    ("x_mean", "of regular_action, which is not used"),
    ("x_std", "of regular_action, which is not used"),
    ("train_weights", "data sets are not weighted against each other"),
    ("model_load_path", "weights come from the checkpoint's file"),
    ("model_load_source", "weights come from the checkpoint's file"),
    ("resume", "weights come from the checkpoint's file"),
    ("task_name", _LOGGING),
    ("exp_name", _LOGGING),
    ("gpus", _LOGGING),
    ("num_nodes", _LOGGING),
    ("model_url", _PATH),
    ("model_path", _PATH),
    ("model_config", _PATH),
    ("output_root", _PATH),
    ("output_dir", _PATH),
    ("log_root", _PATH),
    ("log_dir", _PATH),
    ("cache_root", _PATH),
    ("raw_config_path", _PATH),
    ("config", _PATH),
    ("llava", _PATH),
    ("llava_config", _PATH),
    ("qwen", _PATH),
    ("val_dataset", "policies are compared by chains in the world, not by a loss on a data set"),
)
_IDLE_SECTIONS: tuple[tuple[str, str], ...] = (
    ("trainer", _LOGGING),
    ("train_dataset", "the data set is set by the `train` command"),
    ("vision_resampler", _RESAMPLER),
    ("vision_encoder", "the vision tower is the backbone's own"),
    ("tokenizer", "the tokenizer is the VLM folder's own, and no sentence is cut"),
    ("vlm", "the VLM is built from its own folder and the backbone's name"),
)
"""Sections whose other keys have no effect."""


def pass_over(keys: ConfigKeys) -> None:
    """Takes all keys that have no effect.

    Raises:
        ConfigBlockError: A key asks for something that is not supported, or is present although idle keys are errors.
    """
    for key, accepted, reason in _FIXED:
        keys.require(key, accepted, reason)
    for key, reason in _IDLE:
        keys.take_idle(key, reason)
    for name, reason in _IDLE_SECTIONS:
        keys.take_idle_section(name, reason)
