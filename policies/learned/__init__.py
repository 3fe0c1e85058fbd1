"""The learned policy: VLM, [LRN] and head.

Read in this order: `lrn`, `proprioception`, `vlm_lstm` (the model), `memory`, `chunks`, `pose_range`, `use_settings`
and `usage` (how a model acts), `vlm_lstm_policy` (the `Policy`), `policy_config`, `trainable_parts` and `trainable`
(which parts train), `checkpoint_folder` and `checkpoint`, `sizes`. `checkpoint_folder`, `trainable_parts` and
`use_settings` import no torch.

Other rooms may import all of it. It imports `backbones` and `heads`, and nothing of `training`.
"""
