"""Kosmos-2 (microsoft/kosmos-2-patch14-224), arXiv:2306.14824: a CLIP vision tower, a resampler to latents, a decoder.

What is particular to it; tests measure all of it but the cache:

- Image features are L2-normalised before the resampler, and scaled with the text embeddings by sqrt(width) inside the
  decoder. `get_image_features` does the first and the decoder the second; doing either again is wrong.
- The decoder does not derive positions from embeddings under left padding: they are passed, `cumsum(mask) + pad id`.
- With a cache of keys and values, image features are dropped in silence; none is used.
- Its own dropout is 0.1 in train mode.

The token order is the seed's: [text] [static camera] [gripper camera] [LRN], left-padded, so that [LRN] is always last
and, attention being causal, sees everything. Cameras are told apart by their place.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from tokenizers import Tokenizer
from torch import Tensor
from transformers import Kosmos2Config, Kosmos2Model
from transformers.models.kosmos2.configuration_kosmos2 import Kosmos2TextConfig, Kosmos2VisionConfig

from calvinbench.policies.backbones.backbone import Backbone, TokenIds
from calvinbench.policies.backbones.random_weights import weights_from
from calvinbench.policies.backbones.tiny_tokenizer import embedded_tokenizer

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
"""Of the published model's processor (the constants of OpenAI's CLIP)."""
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


class Kosmos2Backbone(Backbone):
    """Kosmos-2's `Kosmos2Model`, of any size."""

    name = "kosmos2"
    image_mean = CLIP_MEAN
    image_std = CLIP_STD

    def __init__(self, config: Kosmos2Config, tokenizer: Tokenizer) -> None:
        """Makes the model with random weights; they come from torch's global stream.

        Args:
            config: Sizes.
            tokenizer: With the special tokens of the config's text part.
        """
        super().__init__()
        text, vision = config.text_config, config.vision_config
        if not isinstance(text, Kosmos2TextConfig) or not isinstance(vision, Kosmos2VisionConfig):
            raise TypeError(f"expected a Kosmos2Config with a text and a vision part, got {config!r}.")
        if not isinstance(vision.image_size, int) or text.bos_token_id is None or text.pad_token_id is None:
            raise ValueError("expected a square image_size, a bos_token_id and a pad_token_id in the configuration.")
        self.model = Kosmos2Model(config)
        self.image_size = vision.image_size
        self.width = text.embed_dim
        self._tokenizer = tokenizer
        self._bos_id = text.bos_token_id
        self._pad_id = text.pad_token_id

    @classmethod
    def tiny(cls, generator: torch.Generator) -> "Kosmos2Backbone":
        """Two layers of width 128 in each part, 16 latents a picture of 112 pixels."""
        tokenizer = embedded_tokenizer()
        # The published standard deviation of 0.02 fits a width of 2048; at 128 it would leave the resampler's output
        # nearly the same for every picture.
        text = {
            "vocab_size": tokenizer.get_vocab_size(),
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
        config = Kosmos2Config(text_config=text, vision_config=vision, latent_query_num=16)
        with weights_from(generator):
            return cls(config, tokenizer)

    def encode(self, instruction: str) -> TokenIds:
        """`<s>` and the sentence."""
        return (self._bos_id, *self._tokenizer.encode(instruction, add_special_tokens=False).ids)

    def image_features(self, pixels: Float[Tensor, "B 3 size size"]) -> Float[Tensor, "B num_latents width"]:
        """The resampler's latents, not yet scaled: the decoder does it."""
        features: Tensor = self.model.get_image_features(pixels, return_dict=True).pooler_output
        return features

    def fuse(
        self,
        token_ids: Sequence[TokenIds],
        vision_tokens: Float[Tensor, "B num_vision width"],
        lrn: Float[Tensor, " width"],
    ) -> Float[Tensor, "B width"]:
        """The last hidden state at [LRN], the last position of every row."""
        batch_size, num_vision, _ = vision_tokens.shape
        text_length = max(len(row) for row in token_ids)
        padded = [[self._pad_id] * (text_length - len(row)) + list(row) for row in token_ids]
        ids = torch.tensor(padded, device=vision_tokens.device)  # (B, text)
        text = self.model.get_input_embeddings()(ids)
        embeddings = torch.cat(
            [text, torch.zeros_like(vision_tokens), lrn.to(text.dtype).expand(batch_size, 1, -1)], dim=1
        )  # (B, text + vision + 1, width); the decoder writes the vision tokens into their places
        mask = torch.ones(embeddings.shape[:2], dtype=torch.long, device=ids.device)
        mask[:, :text_length] = torch.tensor(
            [[0] * (text_length - len(row)) + [1] * len(row) for row in token_ids], device=ids.device
        )
        is_vision = torch.zeros_like(mask)
        is_vision[:, text_length : text_length + num_vision] = 1
        hidden: Tensor = self.model(
            inputs_embeds=embeddings,
            attention_mask=mask,
            position_ids=mask.cumsum(dim=1) * mask + self._pad_id,
            image_embeds=vision_tokens,
            image_embeds_position_mask=is_vision,
            use_cache=False,
        ).last_hidden_state
        return hidden[:, -1]
