"""LLaVA-1.5 (llava-hf/llava-1.5-7b-hf), arXiv:2310.03744: a CLIP vision tower, a two-layer projector, Vicuna (LLaMA).

RoboVLMs' `llava` is another model: LLaVA on MPT-7B, with remote code and another kind of decoder. Its checkpoints raise
an error.

Details that are easy to get wrong:

- Vision tokens are those of the layer before the last, without CLIP's class token.
- Images are not cropped to a square here, because ours are square.
"""

from typing import Any

from transformers import LlavaModel, PreTrainedTokenizerBase
from typing_extensions import override

from calvinbench.policies.backbones.backbone import Parts
from calvinbench.policies.backbones.images.normalisation import CLIP_MEAN, CLIP_STD
from calvinbench.policies.backbones.prompts.prompt import Layout, Prompt, words
from calvinbench.policies.backbones.prompts.prompt_composer import refuse_layout, seed_prompt
from calvinbench.policies.backbones.settings import BackboneSettings
from calvinbench.policies.backbones.transformers_backbone import TransformersBackbone


class LlavaBackbone(TransformersBackbone):
    """LLaVA's `LlavaModel`, of any size."""

    name = "llava"
    model_name = "LLaVA-1.5 7B on Vicuna; RoboVLMs' own is on MPT-7B"
    hub_name = "llava-hf/llava-1.5-7b-hf"
    unchecked = "published weights: not downloaded here; their names are those of transformers' own class"
    special_tokens = ("<image>",)
    model_types = ("llava",)
    image_mean, image_std = CLIP_MEAN, CLIP_STD
    model: LlavaModel

    def __init__(self, model: LlavaModel, tokenizer: PreTrainedTokenizerBase, settings: BackboneSettings) -> None:
        """Takes the model; see `TransformersBackbone`."""
        super().__init__(model, tokenizer, settings)
        config: Any = model.config
        self.image_size = self.only_image_size(int(config.vision_config.image_size))
        num_patches = (self.image_size // int(config.vision_config.patch_size)) ** 2
        self.num_image_tokens = num_patches + (config.vision_feature_select_strategy == "full")
        self.width = int(config.text_config.hidden_size)
        self.image_token_id = int(config.image_token_index)

    @classmethod
    @override
    def tiny_config(cls, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
        """Two layers of width 128 in each part, 16 tokens an image of 56 pixels."""
        vision = {
            "model_type": "clip_vision_model",
            "hidden_size": 128,
            "intermediate_size": 256,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "image_size": 56,
            "patch_size": 14,
            "initializer_range": 0.08,
        }
        text = {
            "model_type": "llama",
            "vocab_size": len(tokenizer),
            "hidden_size": 128,
            "intermediate_size": 256,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "max_position_embeddings": 512,
            "initializer_range": 0.08,
            "pad_token_id": tokenizer.pad_token_id,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
        }
        return {
            "model_type": "llava",
            "vision_config": vision,
            "text_config": text,
            "image_token_index": tokenizer.get_vocab()["<image>"],
            "image_seq_length": 16,
        }

    @classmethod
    @override
    def full_config(cls) -> dict[str, Any]:
        """The numbers of the published model: transformers' defaults, and a vocabulary padded to 32064."""
        text = {"model_type": "llama", "vocab_size": 32064, "max_position_embeddings": 4096, "rms_norm_eps": 1e-5}
        return {"model_type": "llava", "text_config": text}

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

        - seed: `<s>` text, static, gripper, [LRN].
        - native: `<s>USER: ` static, newline, gripper, newline, text, ` ASSISTANT:`, [LRN].
        """
        begin = words((self.bos_id,))
        match self.settings.layout:
            case Layout.SEED:
                return seed_prompt(self, instruction, begin)
            case Layout.NATIVE:
                # Text between two images is one piece: sentencepiece puts a space before each.
                first, *others = (self.image(camera) for camera in self.settings.cameras)
                vision = sum((self.words("\n") + other for other in others), first)
                text = self.words(f"\n{instruction} ASSISTANT:")
                return begin + self.words("USER: ") + vision + text + self.lrn_place()
            case Layout.ROBOVLMS:
                raise refuse_layout(self, "RoboVLMs' LLaVA is another model (on MPT-7B). Use 'native' or 'seed'.")
