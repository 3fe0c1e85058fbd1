"""Qwen2-VL (Qwen/Qwen2-VL-2B-Instruct), arXiv:2409.12191: a vision tower for any size, patches merged by four, Qwen2.

The seed names Qwen-VL. The first Qwen-VL needs transformers 4.32 and remote code, so the second one has this name here.
RoboVLMs' checkpoints of the first one raise an error. The same code also works with Qwen2.5-VL.

Details that are easy to get wrong:

- Positions have three parts (time, row, column), which the model derives from token ids and the images' grids. Each
  image must be between `<|vision_start|>` and `<|vision_end|>`. Otherwise two neighbours would count as one.
- Images may have any size that is a multiple of 28 pixels. The default is 224 (64 tokens); `image_size` sets another.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedTokenizerBase, Qwen2VLModel
from typing_extensions import override

from calvinbench.policies.backbones.backbone import Parts
from calvinbench.policies.backbones.images.normalisation import CLIP_MEAN, CLIP_STD
from calvinbench.policies.backbones.images.patch_grid import PatchGrid
from calvinbench.policies.backbones.packed_attention import speed_up
from calvinbench.policies.backbones.prompts.prompt import Layout, Prompt, TokenBatch
from calvinbench.policies.backbones.prompts.prompt_composer import refuse_layout
from calvinbench.policies.backbones.settings import BackboneSettings
from calvinbench.policies.backbones.transformers_backbone import TransformersBackbone

DEFAULT_IMAGE_SIZE = 224
_SYSTEM = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
_ANSWER = "<|im_end|>\n<|im_start|>assistant\n"


class QwenVLBackbone(TransformersBackbone):
    """Qwen2-VL's `Qwen2VLModel` or Qwen2.5-VL's, of any size."""

    name = "qwen-vl"
    model_name = "Qwen2-VL 2B Instruct (Alibaba); not the first Qwen-VL"
    hub_name = "Qwen/Qwen2-VL-2B-Instruct"
    unchecked = "published weights: not downloaded here; their names are those of transformers' own class"
    special_tokens = (
        "<|im_start|>",
        "<|im_end|>",
        "<|vision_start|>",
        "<|vision_end|>",
        "<|image_pad|>",
        "<|video_pad|>",
    )
    model_types = ("qwen2_vl", "qwen2_5_vl")
    image_mean, image_std = CLIP_MEAN, CLIP_STD
    model: Qwen2VLModel

    def __init__(self, model: Qwen2VLModel, tokenizer: PreTrainedTokenizerBase, settings: BackboneSettings) -> None:
        """Takes the model; see `TransformersBackbone`.

        Raises:
            ValueError: The settings' image_size is not a multiple of a merged patch.
        """
        super().__init__(model, tokenizer, settings)
        config: Any = model.config
        vision = config.vision_config
        speed_up(model.visual)
        self.grid = PatchGrid(vision.patch_size, vision.spatial_merge_size, vision.temporal_patch_size)
        self.image_size = settings.image_size or DEFAULT_IMAGE_SIZE
        self.num_image_tokens = self.grid.num_tokens(self.image_size)
        self.width = int(config.text_config.hidden_size)
        self.image_token_id = int(config.image_token_id)

    @classmethod
    @override
    def tiny_config(cls, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
        """Two layers of width 128 in each part."""
        vocabulary = tokenizer.get_vocab()
        vision = {
            "depth": 2,
            "embed_dim": 128,
            "hidden_size": 128,
            "num_heads": 4,
            "mlp_ratio": 2,
            "initializer_range": 0.08,
        }
        text = {
            "vocab_size": len(tokenizer),
            "hidden_size": 128,
            "intermediate_size": 256,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 2048,
            "initializer_range": 0.08,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [4, 6, 6]},
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        }
        return {
            "model_type": "qwen2_vl",
            "vision_config": vision,
            "text_config": text,
            "image_token_id": vocabulary["<|image_pad|>"],
            "video_token_id": vocabulary["<|video_pad|>"],
            "vision_start_token_id": vocabulary["<|vision_start|>"],
            "vision_end_token_id": vocabulary["<|vision_end|>"],
        }

    @classmethod
    @override
    def full_config(cls) -> dict[str, Any]:
        """The published model's numbers, from memory. The vision tower's are transformers' defaults."""
        text = {
            "vocab_size": 151936,
            "hidden_size": 1536,
            "intermediate_size": 8960,
            "num_hidden_layers": 28,
            "num_attention_heads": 12,
            "num_key_value_heads": 2,
            "rms_norm_eps": 1e-6,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
        }
        vision = {"depth": 32, "embed_dim": 1280, "hidden_size": 1536, "num_heads": 16, "mlp_ratio": 4}
        return {"model_type": "qwen2_vl", "vision_config": vision, "text_config": text, "tie_word_embeddings": True}

    @property
    @override
    def parts(self) -> Parts:
        return Parts(
            vision=(self.model.visual,),
            connector=(self.model.visual.merger,),
            language=(self.model.language_model,),
            text_embedding=self.model.get_input_embeddings(),
        )

    @override
    def compose(self, instruction: str) -> Prompt:
        """Composes the sequence of each layout. Each image is between `<|vision_start|>` and `<|vision_end|>`.

        - seed: text, static, gripper, [LRN].
        - native: the chat's beginning with its system message, static, gripper, text, the answer's beginning, [LRN].
        """
        vision = sum((self._framed(camera) for camera in self.settings.cameras), Prompt())
        text = self.words(instruction)
        match self.settings.layout:
            case Layout.SEED:
                return text + vision + self.lrn_place()
            case Layout.NATIVE:
                begin, end = self.words(_SYSTEM, special=True), self.words(_ANSWER, special=True)
                return begin + vision + text + end + self.lrn_place()
            case Layout.ROBOVLMS:
                raise refuse_layout(self, "RoboVLMs used the first Qwen-VL. Use 'native' or 'seed'.")

    def _framed(self, camera: str) -> Prompt:
        begin, end = (self.words(token, special=True) for token in ("<|vision_start|>", "<|vision_end|>"))
        return begin + self.image(camera) + end

    @override
    def image_inputs(self, pixels: Float[Tensor, "N 3 size size"]) -> dict[str, Tensor]:
        grid = self.grid.thw(self.image_size, len(pixels), pixels.device)
        return {"pixel_values": self.grid.cut(pixels), "image_grid_thw": grid}

    @override
    def decoder_inputs(self, tokens: TokenBatch) -> dict[str, Any]:
        """The inputs from which the model derives its three positions."""
        num_images = len(tokens.ids) * len(self.settings.cameras)
        grid = self.grid.thw(self.image_size, num_images, torch.device("cpu"))
        return {"image_grid_thw": grid, "mm_token_type_ids": tokens.is_vision.int()}
