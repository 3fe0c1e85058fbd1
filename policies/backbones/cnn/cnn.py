"""A plain convolutional policy without a VLM: the reference that any VLM should beat. It can be trained on a CPU.

It has the same interface as the seven VLMs, so [LRN], head, memory and training are the same for it:

- Images: a few convolutions with separate weights and a separate image size for each camera. The static camera's 200
  pixels are halved, the gripper camera's 84 are kept. The result is a grid of tokens with position embeddings. Nothing
  is pooled.
- Text: one layer of a BERT over byte pairs of the embedded instructions. A sentence that occurs several times in a
  batch, as in all frames of a window, is encoded once.
- Read-out: the sentence modulates each camera's tokens (FiLM). Then [LRN] gets the positions where heat maps of the
  tokens are hot, and attends to text and both cameras in two layers.

Nothing is pretrained. There is no dropout and there are no batch statistics, so train mode gives the features of eval
mode.
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
from calvinbench.policies.backbones.weight_cache import WeightCache
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
    resample = "bicubic"  # as the recorder reduces images

    def __init__(
        self, config: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase, settings: BackboneSettings
    ) -> None:
        super().__init__(tokenizer, settings)
        self._texts = WeightCache(most=64)
        try:
            numbers = {camera: TowerNumbers(**config[camera]) for camera in ("static", "gripper")}
            readout, text = ReadoutNumbers(**config["readout"]), BertConfig(**config["text"])
            sides = {camera: each.side for camera, each in numbers.items()}
        except (KeyError, TypeError, ValueError, StrictDataclassError) as error:
            raise ValueError(
                f"expected the sizes of {self.name} with the names in `full_config`, got others: {error!r}."
            ) from error
        if settings.image_size is not None:
            raise ValueError(
                f"expected no image_size for {self.name}, got {settings.image_size}: each camera has its own size. Set "
                "image_size in the blocks 'static' and 'gripper' of a JSON file of numbers (size=FILE)."
            )
        if sides["static"] != sides["gripper"] or sides["static"] < 1:
            raise ValueError(f"expected layers that give the same grid of tokens for both cameras, got sides {sides}.")
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
                # The usual 0.02 fits a width of 768. At 128, features of different sentences would be nearly equal.
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
        """`tiny_config`, twice as wide. There is no published model."""
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
        """Raises an error, because nobody published weights for it.

        Raises:
            BackboneSourceError: Always.
        """
        raise BackboneSourceError(
            f"expected no source of weights for {cls.name}, got '{source}': there are no published weights. Leave vlm "
            "out, and train it from random weights."
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
        """The vision towers are not from transformers."""
        yield from super().recomputable_layers()
        for tower in self.towers.values():
            yield tower.layers  # type: ignore[misc]

    @override
    def compose(self, instruction: str) -> Prompt:
        """Composes the sequence in its only layout, the seed's.

        Raises:
            ValueError: The layout is not the seed's, or the sentence is too long.
        """
        if self.settings.layout is not Layout.SEED:
            raise refuse_layout(self, "it is not a pretrained VLM, so that it has no other order.")
        num_tokens = len(self.text_ids(instruction)) + 1
        if num_tokens > self.max_tokens:
            raise ValueError(
                f"expected an instruction of at most {self.max_tokens} tokens with '<s>', got {num_tokens}: "
                f"'{instruction[:60]}...'. Shorten it. The text encoder has no positions for more."
            )
        return seed_prompt(self, instruction, Prompt((self.bos_id,), (Kind.TEXT,)))

    @property
    @override
    def input_sizes(self) -> dict[str, int]:
        return dict(self._sizes)

    @override
    def preprocess(self, images: UInt8[Tensor, "B H W 3"], camera: str = STATIC) -> Float[Tensor, "B 3 size size"]:
        """Resizes each camera's images to its size. Images that already have it are not resized."""
        resized = resize(images.to(self.device), self._sizes[camera], self.resample)
        levels = resized.movedim(-1, -3).to(torch.float32)  # (B, 3, size, size), its own memory, channels last
        mean, std = self.image_mean[0], self.image_std[0]  # for all channels together, which is faster than one each
        return levels.mul_(1 / (255 * std)).sub_(mean / std).to(self.dtype)

    @override
    def image_features(
        self, pixels: Float[Tensor, "N 3 size size"], camera: str = STATIC
    ) -> Float[Tensor, "N num_image_tokens vision_dim"]:
        """Tokens of one camera's images, not yet modulated by a sentence."""
        tokens: Tensor = self.projections[camera](self.towers[camera](pixels))
        return tokens

    @override
    def vision_tokens(self, images: CameraImages, cameras: Sequence[str]) -> Float[Tensor, "B num_vision vision_dim"]:
        """Vision tokens of each camera, from the camera's own tower."""
        each = [self.image_features(self.preprocess(images.of(camera), camera), camera) for camera in cameras]
        return torch.cat(each, dim=1)

    @override
    def decode(
        self,
        tokens: TokenBatch,
        vision_tokens: Float[Tensor, "B num_vision vision_dim"],
        lrn: Float[Tensor, " width"],
    ) -> Float[Tensor, "B L width"]:
        """The last hidden states. Every row ends in the same number of image and [LRN] tokens, after its text."""
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
        """The fused feature. If it is read at [LRN], the other tokens are not assembled."""
        if self.settings.readout == MAX_POOLING:
            return super().fuse(prompts, vision_tokens, lrn)
        tokens = collate(prompts, self.pad_id, vision_tokens.device, self.expected_length)
        fused: Tensor = self.readout(self._look(tokens, vision_tokens), lrn)
        return fused

    def _look(self, tokens: TokenBatch, vision_tokens: Float[Tensor, "B num_vision vision_dim"]) -> Seen:
        """Text features, and image features modulated by the sentence.

        For inference, with the same sentences at each step, the text features are cached.
        """
        end = tokens.ids.shape[1] - vision_tokens.shape[1] - len(self.lrn_place())
        attended = tokens.attended[:, :end]

        def read() -> tuple[Tensor, Tensor]:
            text = self._text(tokens, end)  # (B, end, width)
            shares = (attended / attended.sum(1, keepdim=True)).to(text.dtype)
            return text, (shares[:, None] @ text)[:, 0]  # (B, width), the mean

        if self.text_encoder.training:  # dropout
            text, sentence = read()
        else:
            ids = tokens.ids[:, :end]
            said = (ids.shape, *ids.flatten().tolist(), *attended.flatten().tolist(), bool(self.expected_length))
            text, sentence = self._texts.get(said, self.text_encoder.parameters(), read)
        return Seen(text, attended, sentence, self.readout.modulate(vision_tokens, sentence))

    @override
    def train(self, mode: bool = True) -> "CNNBackbone":
        """Changes the mode, and forgets the texts, because training changes the weights."""
        self._texts.clear()
        super().train(mode)
        return self

    def _text(self, tokens: TokenBatch, end: int) -> Float[Tensor, "B end width"]:
        """Features of the text, which is everything before `end`. Equal rows are encoded once."""
        rows = distinct_rows(tokens, end, merge=not self.expected_length)
        text: Tensor = self.text_encoder(
            input_ids=rows.ids,
            attention_mask=rows.attended.long(),
            position_ids=rows.positions,
            use_cache=False,
        ).last_hidden_state
        return text[rows.row_of]
