"""UForm-Gen2 (unum-cloud/uform-gen2-qwen-500m), 1.12B: a CLIP-like ViT-H, a pooler to 256 latents, Qwen1.5-0.5B-Chat.

The published code is remote code that does not run on transformers 5. This is the same architecture, composed of
transformers' `Qwen2Model` and of `modules`. Details that are easy to get wrong, with the relative error of the mistake
on the tiny model:

- Images have 336 pixels (any multiple of 14 works). They are padded to a square with the mean colour and resized
  bilinearly (bicubic: .01 on a photograph). An image is 256 vision tokens whatever its size.
- The position embedding is for 224 pixels. It is stretched bicubically by (24 + 0.1) / 16, not to the size 24 (.085 of
  the positions). The class token has no position, and the pooler sees its feature too (without it: .008).
- GELU is the exact one (tanh: 1e-4), and layer norms have eps 1e-6.
- The pooler works in the tower's width (1280), and its output is mapped to the decoder's width (1024). UForm's
  repository (`torch_decoders.py`, of the first UForm-Gen) maps first. Weights of one do not fit the other.
- The pooler has its own dropout of 0.1 in train mode.
- Native prompt: Qwen1.5's chat, with ` <image> ` before the instruction. It has seen only one image. The gripper
  camera's image follows the static camera's, as a second ` <image>`.
- RoboVLMs' text is `<image> ` and the instruction, where `<image>` stays a token of the text. The images come first
  (gripper, static). RoboVLMs pools over all tokens and has no [LRN] (`readout="max-pooling"`). In a batch it also pools
  padding, which ours does not. With [LRN], ours comes last.

The decoder is causal, so [LRN] at the end sees everything. It distinguishes cameras by position. Rotary positions are
relative, so left padding needs no position ids.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase, Qwen2Config, Qwen2Model
from typing_extensions import override

from calvinbench.policies.backbones.backbone import Backbone, Parts
from calvinbench.policies.backbones.images.normalisation import CLIP_MEAN, CLIP_STD
from calvinbench.policies.backbones.prompts.prompt import Layout, Prompt, TokenBatch
from calvinbench.policies.backbones.prompts.prompt_composer import seed_prompt
from calvinbench.policies.backbones.settings import BackboneSettings
from calvinbench.policies.backbones.uform.modules import LatentPooler, PoolerNumbers, VisionNumbers, VisionTower
from calvinbench.policies.backbones.uform.weights import IMAGE_TOKEN, published_folder
from calvinbench.policies.backbones.weights.published import uninitialised_weights

CHAT_BEGIN = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n "
CHAT_END = "<|im_end|>\n<|im_start|>assistant\n"


class UFormBackbone(Backbone):
    """UForm-Gen2, of any size."""

    name = "uform"
    model_name = "UForm-Gen2 (Unum Cloud): ViT-H, pooler, Qwen1.5-0.5B-Chat"
    hub_name = "unum-cloud/uform-gen2-qwen-500m"
    unchecked = (
        "the published weights, their config.json and Qwen1.5's tokenizer were not at hand: sizes are the published "
        "code's defaults, and agreement with that code was measured on random weights"
    )
    special_tokens = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", IMAGE_TOKEN)
    image_mean = CLIP_MEAN
    image_std = CLIP_STD
    resample = "bilinear"

    def __init__(
        self, config: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase, settings: BackboneSettings
    ) -> None:
        super().__init__(tokenizer, settings)
        try:
            vision, pooler = VisionNumbers(**config["vision"]), PoolerNumbers(**config["pooler"])
            decoder = Qwen2Config(**config["text"])
            self.image_size = settings.image_size or int(config["image_size"])
        except (KeyError, TypeError, StrictDataclassError) as error:
            raise ValueError(f"expected UForm's sizes by the names in `full_config`, got others: {error!r}.") from error
        if self.image_size % vision.patch_size:
            raise ValueError(
                f"expected an image_size that is a multiple of {vision.patch_size} pixels, got {self.image_size}."
            )
        self.image_token_id = self.special_id(IMAGE_TOKEN)
        if self.image_token_id >= decoder.vocab_size:
            raise ValueError(
                f"expected a decoder with the token '{IMAGE_TOKEN}' ({self.image_token_id}), got one of "
                f"{decoder.vocab_size} tokens. The tokenizer belongs to another model."
            )
        self.num_image_tokens = pooler.num_latents
        self.width = decoder.hidden_size
        self.image_encoder = VisionTower(vision)
        self.image_pooler = LatentPooler(pooler, vision.width, self.width)
        self.text_decoder = Qwen2Model(decoder)
        self._config = {
            "image_size": int(config["image_size"]),
            "vision": asdict(vision),
            "pooler": asdict(pooler),
            "text": dict(config["text"]),
        }

    @classmethod
    @override
    def tiny_config(cls, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
        """Two layers of width 128, 16 latents of an image of 84 pixels. Positions are stretched as at full size."""
        return {
            "image_size": 84,
            "vision": {
                "width": 160,
                "num_layers": 2,
                "num_heads": 4,
                "patch_size": 14,
                "positions_size": 56,
                "layer_scale": 1.0,
            },
            "pooler": {"num_latents": 16, "num_heads": 4, "intermediate_size": 320, "dropout": 0.1},
            # The decoder's usual 0.02 fits a width of 1024. At 128, features would be nearly the same for all images.
            "text": {
                "vocab_size": len(tokenizer),
                "hidden_size": 128,
                "intermediate_size": 256,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "num_key_value_heads": 4,
                "max_position_embeddings": 1024,
                "rms_norm_eps": 1e-6,
                "rope_theta": 1e6,
                "initializer_range": 0.08,
            },
        }

    @classmethod
    @override
    def full_config(cls) -> dict[str, Any]:
        return {
            "image_size": 336,
            "vision": {
                "width": 1280,
                "num_layers": 32,
                "num_heads": 16,
                "patch_size": 14,
                "positions_size": 224,
                "layer_scale": 1e-5,
            },
            "pooler": {"num_latents": 256, "num_heads": 16, "intermediate_size": 3200, "dropout": 0.1},
            "text": {
                "vocab_size": 151936,
                "hidden_size": 1024,
                "intermediate_size": 2816,
                "num_hidden_layers": 24,
                "num_attention_heads": 16,
                "num_key_value_heads": 16,
                "max_position_embeddings": 32768,
                "rms_norm_eps": 1e-6,
                "rope_theta": 1e6,
                "initializer_range": 0.02,
            },
        }

    @classmethod
    @override
    def from_config(
        cls, config: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase, settings: BackboneSettings
    ) -> "UFormBackbone":
        return cls(config, tokenizer, settings)

    @property
    @override
    def config(self) -> dict[str, Any]:
        return {key: dict(value) if isinstance(value, dict) else value for key, value in self._config.items()}

    @property
    @override
    def parts(self) -> Parts:
        return Parts(
            vision=(self.image_encoder,),
            connector=(self.image_pooler,),
            language=(self.text_decoder,),
            text_embedding=self.text_decoder.get_input_embeddings(),
        )

    @override
    def recomputable_layers(self) -> Iterator[nn.Module]:
        """The vision tower is not from transformers."""
        yield from super().recomputable_layers()
        yield from self.image_encoder.blocks

    @override
    def compose(self, instruction: str) -> Prompt:
        static, gripper = self.image("static"), self.image("gripper")
        match self.settings.layout:
            case Layout.SEED:
                return seed_prompt(self, instruction, Prompt())
            case Layout.NATIVE:
                images = static + (self.words(" ") + gripper if gripper else Prompt())
                said = self.words(f" {instruction}") + self.words(CHAT_END, special=True)
                return self.words(CHAT_BEGIN, special=True) + images + said + self.lrn_place()
            case Layout.ROBOVLMS:
                said = self.words(IMAGE_TOKEN, special=True) + self.words(f" {instruction.strip()}")
                return gripper + static + said + self.lrn_place()

    @override
    def preprocess(self, images: UInt8[Tensor, "B H W 3"]) -> Float[Tensor, "B 3 size size"]:
        """Pads to a square with the mean colour, resizes and normalises."""
        _, height, width, _ = images.shape
        if height == width:
            return super().preprocess(images)
        side = max(height, width)
        colour = images.new_tensor([int(255 * mean) for mean in CLIP_MEAN])
        square = colour.expand(len(images), side, side, 3).clone()
        top, left = (side - height) // 2, (side - width) // 2
        square[:, top : top + height, left : left + width] = images
        return super().preprocess(square)

    @override
    def image_features(self, pixels: Float[Tensor, "N 3 size size"]) -> Float[Tensor, "N num_image_tokens vision_dim"]:
        """The pooler's latents, in the decoder's width."""
        tokens: Tensor = self.image_pooler(self.image_encoder(pixels))
        return tokens

    @override
    def decode(
        self,
        tokens: TokenBatch,
        vision_tokens: Float[Tensor, "B num_vision vision_dim"],
        lrn: Float[Tensor, " width"],
    ) -> Float[Tensor, "B L width"]:
        hidden: Tensor = self.text_decoder(
            inputs_embeds=self.embed(tokens, vision_tokens, lrn),
            attention_mask=tokens.attended.long(),
            position_ids=tokens.positions,
            use_cache=False,
        ).last_hidden_state
        return hidden

    @classmethod
    @override
    def pretrained(cls, source: str | Path, settings: BackboneSettings, dtype: torch.dtype) -> "UFormBackbone":
        """The published weights. `weights.published_folder` says what the folder must have."""
        published = published_folder(source, cls.hub_name, cls.full_config())
        with uninitialised_weights(dtype):
            backbone = cls(published.config, published.tokenizer, settings)
        published.load_into(backbone)
        return backbone
