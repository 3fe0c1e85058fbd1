"""Kosmos-2 (microsoft/kosmos-2-patch14-224), arXiv:2306.14824: a CLIP vision tower, a resampler to latents, a decoder.

Details that are easy to get wrong. Tests measure all of them but the cache:

- Image features are L2-normalised before the resampler, and scaled like text embeddings by sqrt(width) inside the
  decoder. `get_image_features` does the first and the decoder the second, so this file does neither.
- Positions count from pad id + 1. The decoder computes them from ids, but not from embeddings. They are passed here, so
  that padding inside a row (`Kind.PADDING`) counts too.
- With a cache of keys and values, image features are dropped without an error. No cache is used.
- The decoder has its own dropout of 0.1 in train mode.

Attention is causal in every layout, so that [LRN] sees what comes before it. The model distinguishes cameras by
position.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import Kosmos2Model, PreTrainedTokenizerBase
from typing_extensions import override

from calvinbench.policies.backbones.backbone import Parts
from calvinbench.policies.backbones.images.normalisation import CLIP_MEAN, CLIP_STD
from calvinbench.policies.backbones.prompts.prompt import Layout, Prompt, TokenBatch
from calvinbench.policies.backbones.prompts.prompt_composer import seed_prompt
from calvinbench.policies.backbones.settings import BackboneSettings
from calvinbench.policies.backbones.transformers_backbone import TransformersBackbone

ROBOVLMS_PROMPT = "An image of a robot "
"""RoboVLMs' text before the sentence, behind `<grounding>` (`get_text_function` in its data_utils.py, 8adc1d2)."""


class Kosmos2Backbone(TransformersBackbone):
    """Kosmos-2's `Kosmos2Model`, of any size."""

    name = "kosmos2"
    model_name = "Kosmos-2 (Microsoft)"
    hub_name = "microsoft/kosmos-2-patch14-224"
    unchecked = "published weights: not downloaded here; their names are those of transformers' own class"
    special_tokens = ("<image>", "</image>", "<grounding>")
    model_types = ("kosmos-2",)
    image_mean, image_std = CLIP_MEAN, CLIP_STD
    model: Kosmos2Model

    def __init__(self, model: Kosmos2Model, tokenizer: PreTrainedTokenizerBase, settings: BackboneSettings) -> None:
        """Takes the model; see `TransformersBackbone`."""
        super().__init__(model, tokenizer, settings)
        config: Any = model.config
        self.image_size = self.only_image_size(int(config.vision_config.image_size))
        self.num_image_tokens = int(config.latent_query_num)
        self.width = int(config.text_config.embed_dim)
        self.image_token_id = int(config.text_config.eos_token_id)  # any id will do: places are marked by a mask

    @classmethod
    @override
    def tiny_config(cls, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
        """Two layers of width 128 in each part, 16 latents an image of 112 pixels.

        The published standard deviation of 0.02 fits a width of 2048. At 128, the resampler's output would be nearly
        the same for every image.
        """
        text = {
            "vocab_size": len(tokenizer),
            "max_position_embeddings": 512,
            "embed_dim": 128,
            "layers": 2,
            "ffn_dim": 256,
            "attention_heads": 4,
            "init_std": 0.08,
        }
        vision = {
            "hidden_size": 128,
            "intermediate_size": 256,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "image_size": 112,
            "patch_size": 14,
            "initializer_range": 0.08,
        }
        return {"model_type": "kosmos-2", "text_config": text, "vision_config": vision, "latent_query_num": 16}

    @classmethod
    @override
    def full_config(cls) -> dict[str, Any]:
        """The numbers of the published model, which are transformers' defaults."""
        return {"model_type": "kosmos-2"}

    @property
    @override
    def parts(self) -> Parts:
        return Parts(
            vision=(self.model.vision_model,),
            connector=(self.model.image_to_text_projection,),
            language=(self.model.text_model,),
            text_embedding=self.model.get_input_embeddings(),
        )

    @override
    def compose(self, instruction: str) -> Prompt:
        """Composes the sequence of each layout.

        - seed: `<s>` text, static, gripper, [LRN].
        - native: `<s>`, each image between `<image>` and `</image>`, text, [LRN].
        - robovlms: `<s>`, gripper, static, a prompt and the text, [LRN], `</s>`.
        """
        begin = self.words("<s>", special=True)
        match self.settings.layout:
            case Layout.SEED:
                return seed_prompt(self, instruction, begin)
            case Layout.NATIVE:
                vision = self._framed("static") + self._framed("gripper")
                return begin + vision + self.words(instruction) + self.lrn_place()
            case Layout.ROBOVLMS:
                text = self.words("<grounding>", special=True) + self.words(ROBOVLMS_PROMPT + instruction)
                end = self.words("</s>", special=True)
                return begin + self.image("gripper") + self.image("static") + text + self.lrn_place() + end

    def _framed(self, camera: str) -> Prompt:
        """An image between its special tokens; empty for a camera that is left out."""
        tokens = self.image(camera)
        if not len(tokens):
            return tokens
        return self.words("<image>", special=True) + tokens + self.words("</image>", special=True)

    @override
    def vision_inputs(self, tokens: TokenBatch, vision_tokens: Float[Tensor, "B num_vision dim"]) -> dict[str, Any]:
        return {"image_embeds": vision_tokens, "image_embeds_position_mask": tokens.is_vision}

    @override
    def decoder_inputs(self, tokens: TokenBatch) -> dict[str, Any]:
        """Positions as the decoder counts them: from pad id + 1, and pad id for tokens that are not attended to."""
        config: Any = self.model.config
        is_token = torch.cumsum(tokens.attended, dim=1) > 0
        return {"position_ids": (tokens.positions + 1) * is_token + config.text_config.pad_token_id}
