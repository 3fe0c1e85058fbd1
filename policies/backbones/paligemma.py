"""PaliGemma (google/paligemma-3b-pt-224), arXiv:2407.07726: a SigLIP vision tower, one linear layer, Gemma.

Details that are easy to get wrong:

- Text and images attend to each other in both directions (a prefix). What follows is causal. `token_type_ids` say which
  is which. Without them, the mask of a row alone differs from that of a padded row.
- Gemma scales text embeddings by sqrt(width) inside its embedding, but not images. transformers 4 (and so RoboVLMs)
  divided images by sqrt(width) first. Doing so here would shrink them.
- [LRN] enters after the embedding, so it is not scaled. RoboVLMs scales it too (`scale_lrn`), so checkpoints of
  RoboVLMs need this setting.
- Positions count from 1.
- The weights are gated: the hub asks for a login.
"""

from typing import Any

from transformers import PaliGemmaModel, PreTrainedTokenizerBase
from typing_extensions import override

from calvinbench.policies.backbones.backbone import Parts
from calvinbench.policies.backbones.images.normalisation import HALF
from calvinbench.policies.backbones.prompts.prompt import Kind, Layout, Prompt, TokenBatch, words
from calvinbench.policies.backbones.prompts.prompt_composer import seed_prompt
from calvinbench.policies.backbones.settings import BackboneSettings
from calvinbench.policies.backbones.transformers_backbone import TransformersBackbone


class PaliGemmaBackbone(TransformersBackbone):
    """PaliGemma's `PaliGemmaModel`, of any size. PaliGemma 2 has the same class."""

    name = "paligemma"
    model_name = "PaliGemma 3B (Google)"
    hub_name = "google/paligemma-3b-pt-224"
    unchecked = "published weights: gated and not downloaded here; their names are those of transformers' own class"
    special_tokens = ("<image>",)
    model_types = ("paligemma",)
    image_mean, image_std = HALF, HALF
    takes_tensor = True
    model: PaliGemmaModel

    def __init__(self, model: PaliGemmaModel, tokenizer: PreTrainedTokenizerBase, settings: BackboneSettings) -> None:
        """Takes the model; see `TransformersBackbone`."""
        super().__init__(model, tokenizer, settings)
        config: Any = model.config
        self.image_size = self.only_image_size(int(config.vision_config.image_size))
        self.num_image_tokens = (self.image_size // int(config.vision_config.patch_size)) ** 2
        self.width = int(config.text_config.hidden_size)
        self.image_token_id = int(config.image_token_index)

    @classmethod
    @override
    def tiny_config(cls, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
        """Two layers of width 128 in each part, 16 tokens an image of 56 pixels."""
        vision = {
            "model_type": "siglip_vision_model",
            "hidden_size": 128,
            "intermediate_size": 256,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "image_size": 56,
            "patch_size": 14,
            "vision_use_head": False,
        }
        text = {
            "model_type": "gemma",
            "vocab_size": len(tokenizer),
            "hidden_size": 128,
            "intermediate_size": 256,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 1,
            "head_dim": 32,
            "max_position_embeddings": 512,
            "initializer_range": 0.08,
            "pad_token_id": tokenizer.pad_token_id,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
        }
        return {
            "model_type": "paligemma",
            "vision_config": vision,
            "text_config": text,
            "image_token_index": tokenizer.get_vocab()["<image>"],
            "projection_dim": 128,
            "hidden_size": 128,
            "vocab_size": len(tokenizer),
        }

    @classmethod
    @override
    def full_config(cls) -> dict[str, Any]:
        """The numbers of the published model: transformers' defaults, but with 64 more rows in the token embedding."""
        text = {
            "model_type": "gemma",
            "vocab_size": 257216,
            "hidden_size": 2048,
            "intermediate_size": 16384,
            "num_hidden_layers": 18,
            "num_attention_heads": 8,
            "num_key_value_heads": 1,
        }
        return {"model_type": "paligemma", "text_config": text, "image_token_index": 257152}

    @property
    @override
    def parts(self) -> Parts:
        return Parts(
            vision=(self.model.vision_tower,),
            connector=(self.model.multi_modal_projector,),
            language=(self.model.language_model,),
            text_embedding=self.model.get_input_embeddings(),
        )

    @override
    def compose(self, instruction: str) -> Prompt:
        r"""Composes the sequence of each layout.

        - seed: `<bos>` text, static, gripper, [LRN].
        - native: static, gripper, `<bos>` text and a newline, [LRN].
        - robovlms: `<eos>`, gripper, static, the text, [LRN], newline.
        """
        begin = words((self.bos_id,))
        match self.settings.layout:
            case Layout.SEED:
                return seed_prompt(self, instruction, begin)
            case Layout.NATIVE:
                vision = self.image("static") + self.image("gripper")
                return vision + begin + self.words(f"{instruction}\n") + self.lrn_place()
            case Layout.ROBOVLMS:
                begin = words((self.eos_id,))
                vision = self.image("gripper") + self.image("static")
                return begin + vision + self.words(instruction) + self.lrn_place() + self.words("\n")

    @override
    def decoder_inputs(self, tokens: TokenBatch) -> dict[str, Any]:
        """Positions from 1, and types: 0 for the prefix, 1 for causal tokens ([LRN], or all in RoboVLMs' layout)."""
        causal = tokens.kinds == Kind.LRN
        if self.settings.layout == Layout.ROBOVLMS:
            causal = tokens.kinds >= Kind.TEXT
        return {"position_ids": tokens.positions + 1, "token_type_ids": causal.long()}
