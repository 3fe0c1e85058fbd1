"""A plain convolutional policy, no VLM: the reference that any VLM should beat. Made to be trained on a CPU.

Behind the same interface, so that [LRN], head, memory and training are the same for it as for the seven:

- Images: a few convolutions with weights of their own for each camera, and a size of its own (the static camera's 200
  pixels are halved, the gripper camera's 84 stay). A grid of tokens with an embedding of place each; nothing is pooled.
- Text: one layer of a BERT over byte pairs of the embedded instructions. A sentence that is there several times in a
  batch, as in all frames of a window, is read once.
- Read-out: the sentence modulates each camera's tokens (FiLM); [LRN] gets the places where heat maps of them are hot,
  and attends to text and both cameras in two layers.

Nothing is pretrained. There is no dropout and no batch statistics: train mode gives the features of eval mode.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from transformers import BertConfig, BertModel, PreTrainedTokenizerBase
from typing_extensions import override

from calvinbench.policies.backbones.backbone import Backbone, Parts
from calvinbench.policies.backbones.cnn.modules import Readout, ReadoutNumbers, Seen, Tower, TowerNumbers
from calvinbench.policies.backbones.images.preprocessing import CameraImages
from calvinbench.policies.backbones.images.resize import resize
from calvinbench.policies.backbones.minilm_effnet.modules import ImageProjection
from calvinbench.policies.backbones.prompts.prompt import Kind, Layout, Prompt, TokenBatch, collate, distinct_rows
from calvinbench.policies.backbones.prompts.prompt_composer import refuse_layout, seed_prompt
from calvinbench.policies.backbones.settings import MAX_POOLING, BackboneSettings
from calvinbench.policies.backbones.weights.sources import BackboneSourceError

STATIC = "static"


class CNNBackbone(Backbone):
    """A convolutional tower for each camera, a small text encoder and a read-out, of any size."""

    name = "cnn"
    model_name = "Plain convolutional reference policy with FiLM, no VLM"
    hub_name = None
    lrn_passes_layers = False
    image_mean = (0.5, 0.5, 0.5)
    image_std = (0.25, 0.25, 0.25)
    resample = "bicubic"  # as demonstrations are made smaller when they are recorded

    def __init__(
        self, config: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase, settings: BackboneSettings
    ) -> None:
        super().__init__(tokenizer, settings)
        try:
            numbers = {camera: TowerNumbers(**config[camera]) for camera in ("static", "gripper")}
            readout, text = ReadoutNumbers(**config["readout"]), BertConfig(**config["text"])
            sides = {camera: each.side for camera, each in numbers.items()}
        except (KeyError, TypeError, ValueError, StrictDataclassError) as error:
            raise ValueError(
                f"expected {self.name}'s sizes, as `full_config` names them, got others: {error!r}."
            ) from error
        if settings.image_size is not None:
            raise ValueError(
                f"expected no image_size for {self.name}, got {settings.image_size}: each camera has a size of its "
                "own, image_size in the blocks 'static' and 'gripper' of a JSON file of numbers (size=FILE)."
            )
        if sides["static"] != sides["gripper"] or sides["static"] < 1:
            raise ValueError(f"expected layers that make the same grid of tokens of both cameras, got sides {sides}.")
        self._config = {**{camera: asdict(each) for camera, each in numbers.items()}, "readout": asdict(readout)}
        self._config["text"] = dict(config["text"])
        self._sizes = {camera: each.image_size for camera, each in numbers.items()}
        self.image_size = self._sizes[STATIC]
        self.num_image_tokens = sides["static"] ** 2
        self.image_token_id = self.pad_id  # never embedded
        self.width = text.hidden_size
        self.max_tokens = text.max_position_embeddings
        self.text_encoder = BertModel(text, add_pooling_layer=False)
        self.towers = nn.ModuleDict({camera: Tower(numbers[camera]) for camera in settings.cameras})
        self.projections = nn.ModuleDict(
            {
                camera: ImageProjection(numbers[camera].layers[-1][-1], self.width, self.num_image_tokens)
                for camera in settings.cameras
            }
        )
        self.readout = Readout(readout, self.width, len(settings.cameras), self.num_image_tokens)

    @classmethod
    @override
    def tiny_config(cls, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
        """The usual size, for the tiny tokenizer: 36 tokens an image."""
        return {
            "static": {"image_size": 100, "layers": [[5, 4, 2, 32], [3, 2, 0, 64], [3, 2, 1, 128]]},
            "gripper": {"image_size": 84, "layers": [[5, 4, 2, 32], [3, 2, 1, 64], [3, 2, 1, 128]]},
            "text": {
                "vocab_size": len(tokenizer),
                "hidden_size": 128,
                "num_hidden_layers": 1,
                "num_attention_heads": 4,
                "intermediate_size": 256,
                "max_position_embeddings": 128,
                "hidden_dropout_prob": 0.0,
                "attention_probs_dropout_prob": 0.0,
                # The usual 0.02 fits a width of 768; at 128 sentences would be nearly the same.
                "initializer_range": 0.08,
            },
            "readout": {
                "block_width": 64,
                "num_blocks": 1,
                "num_maps": 16,
                "grid_width": 32,
                "num_layers": 2,
                "num_heads": 4,
                "intermediate_size": 512,
            },
        }

    @classmethod
    @override
    def full_config(cls) -> dict[str, Any]:
        """Nobody published it, it is `tiny_config` twice as wide."""
        return {
            "static": {"image_size": 100, "layers": [[5, 4, 2, 64], [3, 2, 0, 128], [3, 2, 1, 256]]},
            "gripper": {"image_size": 84, "layers": [[5, 4, 2, 64], [3, 2, 1, 128], [3, 2, 1, 256]]},
            "text": {
                "vocab_size": 512,
                "hidden_size": 256,
                "num_hidden_layers": 2,
                "num_attention_heads": 8,
                "intermediate_size": 1024,
                "max_position_embeddings": 128,
                "hidden_dropout_prob": 0.0,
                "attention_probs_dropout_prob": 0.0,
                "initializer_range": 0.06,
            },
            "readout": {
                "block_width": 128,
                "num_blocks": 2,
                "num_maps": 32,
                "grid_width": 32,
                "num_layers": 2,
                "num_heads": 8,
                "intermediate_size": 1024,
            },
        }

    @classmethod
    @override
    def from_config(
        cls, config: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase, settings: BackboneSettings
    ) -> "CNNBackbone":
        return cls(config, tokenizer, settings)

    @classmethod
    @override
    def pretrained(cls, source: str | Path, settings: BackboneSettings, dtype: torch.dtype) -> "CNNBackbone":
        """Raises an error: nobody published weights of it.

        Raises:
            BackboneSourceError: Always.
        """
        raise BackboneSourceError(
            f"expected no source of weights for {cls.name}, got '{source}': nobody published any. Leave vlm out, and "
            "train it from random weights."
        )

    @property
    @override
    def config(self) -> dict[str, Any]:
        return {key: dict(value) for key, value in self._config.items()}

    @property
    @override
    def parts(self) -> Parts:
        return Parts(
            vision=tuple(self.towers.values()),
            connector=(*self.projections.values(), self.readout),
            language=(self.text_encoder,),
            text_embedding=self.text_encoder.get_input_embeddings(),
        )

    @override
    def recomputable_layers(self) -> Iterator[nn.Module]:
        """The vision towers are none of transformers'."""
        yield from super().recomputable_layers()
        for tower in self.towers.values():
            yield tower.layers  # type: ignore[misc]

    @override
    def compose(self, instruction: str) -> Prompt:
        """Composes the sequence in the only layout that it has, the seed's.

        Raises:
            ValueError: The layout is not the seed's, or the sentence is too long.
        """
        if self.settings.layout is not Layout.SEED:
            raise refuse_layout(self, "it is no VLM that was pretrained, so there is no other order.")
        num_tokens = len(self.text_ids(instruction)) + 1
        if num_tokens > self.max_tokens:
            raise ValueError(
                f"expected an instruction of at most {self.max_tokens} tokens with '<s>', got {num_tokens}: "
                f"'{instruction[:60]}...'. Shorten it; the text encoder has no position for more."
            )
        return seed_prompt(self, instruction, Prompt((self.bos_id,), (Kind.TEXT,)))

    @property
    @override
    def input_sizes(self) -> dict[str, int]:
        return dict(self._sizes)

    @override
    def preprocess(self, images: UInt8[Tensor, "B H W 3"], camera: str = STATIC) -> Float[Tensor, "B 3 size size"]:
        """Each camera has its size. Images that have it already are not resized."""
        resized = resize(images.to(self.device), self._sizes[camera], self.resample)
        levels = resized.movedim(-1, -3).to(torch.float32)  # (B, 3, size, size), its own memory, channels last
        mean, std = self.image_mean[0], self.image_std[0]  # of all channels, which is quicker than one each
        return levels.mul_(1 / (255 * std)).sub_(mean / std).to(self.dtype)

    @override
    def image_features(
        self, pixels: Float[Tensor, "N 3 size size"], camera: str = STATIC
    ) -> Float[Tensor, "N num_image_tokens vision_dim"]:
        """Tokens of one camera's images, which no sentence has modulated yet."""
        tokens: Tensor = self.projections[camera](self.towers[camera](pixels))
        return tokens

    @override
    def vision_tokens(self, images: CameraImages, cameras: Sequence[str]) -> Float[Tensor, "B num_vision vision_dim"]:
        """Each camera's go through its own tower."""
        each = [self.image_features(self.preprocess(images.of(camera), camera), camera) for camera in cameras]
        return torch.cat(each, dim=1)

    @override
    def decode(
        self,
        tokens: TokenBatch,
        vision_tokens: Float[Tensor, "B num_vision vision_dim"],
        lrn: Float[Tensor, " width"],
    ) -> Float[Tensor, "B L width"]:
        """Every row ends in the same number of image and [LRN] tokens. The tokens before them are text."""
        seen = self._look(tokens, vision_tokens)
        rows = torch.cat([seen.text, seen.vision], dim=1)
        if self.settings.readout == MAX_POOLING:
            return rows
        return torch.cat([rows, self.readout(seen, lrn)[:, None]], dim=1)

    @override
    def fuse(
        self,
        prompts: Sequence[Prompt],
        vision_tokens: Float[Tensor, "B num_vision vision_dim"],
        lrn: Float[Tensor, " width"],
    ) -> Float[Tensor, "B width"]:
        """Where the feature is read at [LRN], other rows are not assembled."""
        if self.settings.readout == MAX_POOLING:
            return super().fuse(prompts, vision_tokens, lrn)
        tokens = collate(prompts, self.pad_id, vision_tokens.device, self.expected_length)
        fused: Tensor = self.readout(self._look(tokens, vision_tokens), lrn)
        return fused

    def _look(self, tokens: TokenBatch, vision_tokens: Float[Tensor, "B num_vision vision_dim"]) -> Seen:
        """Text, and images as the sentence makes one see them."""
        end = tokens.ids.shape[1] - vision_tokens.shape[1] - len(self.lrn_place())
        attended = tokens.attended[:, :end]
        text = self._text(tokens, end)  # (B, end, width)
        shares = (attended / attended.sum(1, keepdim=True)).to(text.dtype)
        sentence = (shares[:, None] @ text)[:, 0]  # (B, width), the mean
        return Seen(text, attended, sentence, self.readout.modulate(vision_tokens, sentence))

    def _text(self, tokens: TokenBatch, end: int) -> Float[Tensor, "B end width"]:
        """Features of text, which is all before `end`; equal rows are read once."""
        rows = distinct_rows(tokens, end, merge=not self.expected_length)
        text: Tensor = self.text_encoder(
            input_ids=rows.ids,
            attention_mask=rows.attended.long(),
            position_ids=rows.positions,
            use_cache=False,
        ).last_hidden_state
        return text[rows.row_of]
