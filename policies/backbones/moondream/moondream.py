"""Moondream 2 (vikhyatk/moondream2, revision 2024-08-26), 1.87B: a SigLIP-like ViT, a two-layer MLP, a Phi-1.5 decoder.

It is composed here of transformers' `SiglipVisionModel` and `PhiModel` and a projection of our own. The facts are from
the public code at github.com/vikhyat/moondream, commit 211cc2f ("release 2024-08-26"). A test compares the two.

Why this revision: it is the last release with the names `vision_encoder.*` and `text_model.*`. RoboVLMs names no
revision, but its README asks for transformers 4.44 of August 2024, so it probably used this one. By the code's history,
the releases 2024-05-20 to 2024-08-26 are one architecture. Earlier ones project one copy of the features instead of
two. Later ones, from January 2025, are another architecture, although their tensors have the same shapes under new
names (`vision.*`, `text.*`): BOS and image attend in both directions, and tokenizer and prompt differ. They raise an
error that explains why.

Details that are easy to get wrong. The number in brackets is the relative error of the mistake in the feature of the
tiny random model:

- An image has 378 pixels, patches of 14, 729 tokens and no resampler. Mean and deviation are .5 (CLIP's: .1). Upstream
  squeezes any image with sides below 512 into this square, and adds pieces of larger images. Here it is always the one
  square.
- The projection gets each token's features twice, [whole image; joined pieces]. With one square both are the same.
  ([features; 0]: .3.)
- The ViT ends in a layer norm (.08 without). All its norms have eps 1e-5, where SigLIP has 1e-6 (4e-6). Its GELU is the
  tanh one, and so is the decoder's (exact GELUs: 3e-5 and 2e-4).
- RoPE applies to the first half of a head's numbers, 32 of 64 (to all of them: .1).
- `module.to(bfloat16)` also rounds the table of rotary frequencies: .1 in a sequence of 1,500 tokens with heads of 64
  and everything else in 32 bits. `pretrained` makes the model in its dtype, which keeps the table exact. A later call
  of `.to` rounds it.
- Attention is causal throughout, and positions count from BOS. The mask of 2025, with both directions over BOS and the
  first of two images, changes the last position by .06 on a small model with 729 tokens an image, and all positions by
  .2.
- In upstream's code, the decoder's last layer norm belongs to the language-modelling head (`lm_head.ln`). Here the
  feature is read after this norm, as in every other backbone; in the layout `robovlms` before it, as RoboVLMs does
  (.8).
- transformers 5 loads upstream's own code with a wrong table of cosines and without an error. No remote code runs here.

RoboVLMs' configuration for it also puts a perceiver between projection and decoder (`use_vision_resampler`: 64 latents,
trained from scratch, not part of Moondream). It is not supported. The layout `robovlms` is only its order of tokens.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase
from typing_extensions import override

from calvinbench.policies.backbones.backbone import Backbone, Parts
from calvinbench.policies.backbones.images.normalisation import HALF
from calvinbench.policies.backbones.moondream.modules import (
    TwiceProjection,
    make_decoder,
    make_vision_tower,
    require_numbers,
)
from calvinbench.policies.backbones.moondream.weights import pretrained_parts
from calvinbench.policies.backbones.prompts.prompt import Layout, Prompt, TokenBatch, words
from calvinbench.policies.backbones.prompts.prompt_composer import seed_prompt
from calvinbench.policies.backbones.settings import BackboneSettings
from calvinbench.policies.backbones.weights.published import uninitialised_weights

BEGIN = "<|endoftext|>"
"""Phi's tokenizer has one token for both beginning and end of a sequence."""
QUESTION, ANSWER = "\n\nQuestion: ", "\n\nAnswer:"
"""Text before and after the sentence, behind the image (`answer_question` of upstream's moondream.py)."""


class MoondreamBackbone(Backbone):
    """Moondream 2 as it was in 2024, of any size."""

    name = "moondream"
    model_name = "Moondream 2 of 2024-08-26 (vikhyatk)"
    hub_name = "vikhyatk/moondream2@2024-08-26"
    unchecked = "published weights and tokenizer: not downloaded here; their names are those of the public code"
    special_tokens = (BEGIN,)
    image_mean, image_std = HALF, HALF

    def __init__(
        self, config: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase, settings: BackboneSettings
    ) -> None:
        """Makes the model with random weights; see `from_config`."""
        super().__init__(tokenizer, settings)
        require_numbers(config, self.full_config())
        vision, text = config["vision"], config["text"]
        self._config = {part: dict(numbers) for part, numbers in config.items()}
        self.vision = make_vision_tower(vision)
        self.connector = TwiceProjection(vision["hidden_size"], config["connector"]["hidden_size"], text["hidden_size"])
        self.language = make_decoder(text)
        if settings.layout is Layout.ROBOVLMS:
            self.language.final_layernorm = nn.Identity()  # type: ignore[assignment]
        self.image_size = self.only_image_size(int(vision["image_size"]))
        self.num_image_tokens = (self.image_size // int(vision["patch_size"])) ** 2
        self.width = int(text["hidden_size"])
        self.image_token_id = self.special_id(BEGIN)  # any id will do: places are marked by their kind

    @classmethod
    @override
    def tiny_config(cls, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
        """Two layers of width 128 in each part, 16 tokens an image of 56 pixels.

        The published standard deviation of 0.02 fits a width of 2048. At 128, it would leave [LRN] nearly unchanged.
        """
        full = cls.full_config()
        vision = {
            "hidden_size": 128,
            "intermediate_size": 512,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "image_size": 56,
        }
        text = {
            "vocab_size": len(tokenizer),
            "hidden_size": 128,
            "intermediate_size": 512,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "initializer_range": 0.08,
        }
        return {
            "vision": full["vision"] | vision,
            "connector": {"hidden_size": 512},
            "text": full["text"] | text,
        }

    @classmethod
    @override
    def full_config(cls) -> dict[str, Any]:
        """The numbers in vision_encoder.py and configuration_moondream.py of the public code."""
        vision = {
            "hidden_size": 1152,
            "intermediate_size": 4304,
            "num_hidden_layers": 27,
            "num_attention_heads": 16,
            "image_size": 378,
            "patch_size": 14,
            "layer_norm_eps": 1e-5,
        }
        text = {
            "vocab_size": 51200,
            "hidden_size": 2048,
            "intermediate_size": 8192,
            "num_hidden_layers": 24,
            "num_attention_heads": 32,
            "max_position_embeddings": 2048,
            "initializer_range": 0.02,
            "layer_norm_eps": 1e-5,
            "rope_theta": 10000.0,
            "partial_rotary_factor": 0.5,
            "resid_pdrop": 0.0,
            "embd_pdrop": 0.0,
            "attention_dropout": 0.0,
        }
        return {"vision": vision, "connector": {"hidden_size": 8192}, "text": text}

    @classmethod
    @override
    def from_config(
        cls, config: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase, settings: BackboneSettings
    ) -> "MoondreamBackbone":
        return cls(config, tokenizer, settings)

    @classmethod
    @override
    def pretrained(cls, source: str | Path, settings: BackboneSettings, dtype: torch.dtype) -> "MoondreamBackbone":
        """The published weights. A folder has config.json, safetensors and tokenizer.json, as on the hub.

        `vikhyatk/moondream2` without a revision means the one of `hub_name`.
        """
        published = pretrained_parts(source, cls.full_config(), cls.hub_name)
        with uninitialised_weights(dtype):
            backbone = cls(published.config, published.tokenizer, settings)
        published.load_into(backbone)
        return backbone

    @property
    @override
    def config(self) -> dict[str, Any]:
        return {part: dict(numbers) for part, numbers in self._config.items()}

    @property
    @override
    def parts(self) -> Parts:
        return Parts(
            vision=(self.vision,),
            connector=(self.connector,),
            language=(self.language,),
            text_embedding=self.language.embed_tokens,
        )

    @override
    def compose(self, instruction: str) -> Prompt:
        """Composes the sequence of each layout.

        - seed: `<|endoftext|>`, text, static, gripper, [LRN].
        - native: `<|endoftext|>`, static, gripper, the text as a question, [LRN].
        - robovlms: `<|endoftext|>`, gripper, static, text without its last token, [LRN], that token. RoboVLMs puts
          [LRN] before the last token because it expects `</s>` there, but its text for Moondream has none. So [LRN],
          which is causal, does not see the last token of the sentence.
        """
        begin = words((self.special_id(BEGIN),))
        match self.settings.layout:
            case Layout.SEED:
                return seed_prompt(self, instruction, begin)
            case Layout.NATIVE:
                text = self.words(f"{QUESTION}{instruction}{ANSWER}")
                return begin + self.image("static") + self.image("gripper") + text + self.lrn_place()
            case Layout.ROBOVLMS:
                ids = self.text_ids(instruction.strip())
                before, last = words(ids[:-1]), words(ids[-1:])
                vision = self.image("gripper") + self.image("static")
                return begin + vision + before + self.lrn_place() + last

    @override
    def image_features(self, pixels: Float[Tensor, "N 3 size size"]) -> Float[Tensor, "N num_image_tokens width"]:
        """Tokens for the decoder: the ViT's features after its last norm, projected."""
        features: Tensor = self.vision(pixel_values=pixels).last_hidden_state
        projected: Tensor = self.connector(features)
        return projected

    @override
    def decode(
        self,
        tokens: TokenBatch,
        vision_tokens: Float[Tensor, "B num_vision width"],
        lrn: Float[Tensor, " width"],
    ) -> Float[Tensor, "B L width"]:
        hidden: Tensor = self.language(
            inputs_embeds=self.embed(tokens, vision_tokens, lrn),
            attention_mask=tokens.attended,
            position_ids=tokens.positions,
            use_cache=False,
        ).last_hidden_state
        return hidden
