"""The base class of VLM backbones: images, an instruction and [LRN] in, the fused [LRN] feature of each frame out.

The steps can be called one by one, so that results are reused: `prompt` once per sentence, `vision_tokens` once per
frame, `fuse` once per step. A subclass defines what is specific to its family. `kosmos2` is an example of a family that
transformers has whole, `moondream` of one that is composed here.
"""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from calvinbench.policies.backbones.images.preprocessing import CAMERAS, CameraImages
from calvinbench.policies.backbones.images.resize import resize
from calvinbench.policies.backbones.prompts.prompt import Prompt, TokenBatch, collate
from calvinbench.policies.backbones.prompts.prompt_composer import PromptComposer
from calvinbench.policies.backbones.prompts.tiny_tokenizer import tiny_tokenizer
from calvinbench.policies.backbones.recomputing import recompute, transformers_layers
from calvinbench.policies.backbones.settings import MAX_POOLING, BackboneSettings
from calvinbench.policies.backbones.weights.random import weights_from


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a backbone. Together they hold all parameters.

    A parameter in several parts counts to the first of: text embedding, connector, vision, language.

    Attributes:
        vision: The vision tower.
        connector: Modules that map vision features to language tokens; may be empty.
        language: The language model, its text embedding included.
        text_embedding: The language model's token embedding.
    """

    vision: tuple[nn.Module, ...]
    connector: tuple[nn.Module, ...]
    language: tuple[nn.Module, ...]
    text_embedding: nn.Module


class Backbone(PromptComposer, nn.Module):
    """A VLM without its language-modelling head. Subclasses define what is specific to a family.

    A subclass's `__init__(config, tokenizer, settings)` makes it with random weights from torch's global generator.
    """

    model_name: ClassVar[str]
    """The full-size model: the name of the published weights and their authors."""
    hub_name: ClassVar[str | None]
    """The published weights on the hub; None if they are not there."""
    unchecked: ClassVar[str] = ""
    """What could not be checked, in one sentence; empty if everything was checked."""
    special_tokens: ClassVar[tuple[str, ...]] = ()
    """Special tokens of its prompts. The tiny tokenizer gets them too."""
    image_mean: tuple[float, float, float]
    """Mean of each channel (in 0..1) that the vision tower was trained with."""
    image_std: tuple[float, float, float]
    resample: str = "bicubic"
    """Filter that resizes images, one of `resize.FILTERS`."""
    image_size: int
    """Image side in pixels that the vision tower takes."""
    width: int
    """Size of a token's embedding and of the fused feature."""
    lrn_passes_layers: ClassVar[bool] = True
    """Whether [LRN] and vision tokens pass through the language model's layers. Otherwise they join the text later."""
    expected_length: int = 0
    """Number of tokens to which every batch is padded, see `expect`; 0 for the longest row of each batch."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, settings: BackboneSettings) -> None:
        nn.Module.__init__(self)
        PromptComposer.__init__(self, tokenizer, settings)

    # --- made in three ways -------------------------------------------------------------------------------------------

    @classmethod
    @abstractmethod
    def tiny_config(cls, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
        """The architecture in small numbers, for the tiny tokenizer. It differs from `full_config` only in numbers."""

    @classmethod
    @abstractmethod
    def full_config(cls) -> dict[str, Any]:
        """The published model's numbers."""

    @classmethod
    @abstractmethod
    def from_config(
        cls, config: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase, settings: BackboneSettings
    ) -> "Backbone":
        """The architecture in given numbers, with random weights from torch's global stream.

        Args:
            config: The numbers, as `config` returns them.
            tokenizer: The model's tokenizer.
            settings: How it is used.

        Raises:
            ValueError: The configuration does not fit this architecture.
        """

    @classmethod
    def require_known(cls, config: Mapping[str, Any]) -> None:
        """Raises an error for settings that would have no effect. `from_config` itself may ignore them.

        Raises:
            UnknownNameError: This architecture has no such setting.
        """

    @classmethod
    @abstractmethod
    def pretrained(cls, source: str | Path, settings: BackboneSettings, dtype: torch.dtype) -> "Backbone":
        """The published weights.

        Args:
            source: A name on the hub, or a local folder.
            settings: How it is used.
            dtype: Precision of the weights.

        Raises:
            BackboneSourceError: The source does not exist, cannot be reached, or has another architecture.
        """

    @classmethod
    def tiny(cls, generator: torch.Generator, settings: BackboneSettings | None = None) -> "Backbone":
        """The architecture in small numbers, with random weights and a tokenizer of its own, offline, in seconds.

        Args:
            generator: Generator that draws the weights.
            settings: How it is used.
        """
        tokenizer = tiny_tokenizer(cls.special_tokens)
        with weights_from(generator):
            return cls.from_config(cls.tiny_config(tokenizer), tokenizer, settings or BackboneSettings())

    @property
    @abstractmethod
    def config(self) -> dict[str, Any]:
        """The numbers that `from_config` needs, as JSON can write them."""

    @property
    @abstractmethod
    def parts(self) -> Parts:
        """The modules of each part."""

    # --- what is particular to a family -------------------------------------------------------------------------------

    @abstractmethod
    def image_features(self, pixels: Float[Tensor, "N 3 size size"]) -> Float[Tensor, "N num_image_tokens vision_dim"]:
        """Vision tokens of normalised images, as `decode` takes them."""

    @abstractmethod
    def decode(
        self,
        tokens: TokenBatch,
        vision_tokens: Float[Tensor, "B num_vision vision_dim"],
        lrn: Float[Tensor, " width"],
    ) -> Float[Tensor, "B L width"]:
        """The last hidden states.

        Args:
            tokens: The rows' sequences.
            vision_tokens: In the order of the sequence's cameras.
            lrn: The learnable token. It goes into the first layer's input unchanged, or multiplied like text
                embeddings, see `BackboneSettings.scale_lrn`.
        """

    def recomputable_layers(self) -> Iterator[nn.Module]:
        """The layers that `enable_gradient_checkpointing` computes again. A family adds layers of its own."""
        return transformers_layers(self)

    def enable_gradient_checkpointing(self) -> None:
        """Makes layers compute their activations again in the backward pass instead of keeping them.

        Layers through which no gradient passes do not change: they keep nothing, so there is nothing to save.
        """
        for layer in self.recomputable_layers():
            recompute(layer)

    def compile_parts(self) -> None:
        """Compiles the large parts with `torch.compile`, in place."""
        parts = self.parts
        for module in (*parts.vision, *parts.connector, *parts.language):
            module.compile()

    def cast(self, dtype: torch.dtype) -> None:
        """Changes the precision of the weights, in place.

        Rotary frequencies keep their precision. `to(dtype)` would round them: in bfloat16 that alone changes a feature
        at position 1500 by 13%.
        """
        for name, module in self.named_modules():
            for parameter in module.parameters(recurse=False):
                parameter.data = parameter.data.to(dtype)
            for buffer_name, buffer in module.named_buffers(prefix=name, recurse=False):
                if buffer.is_floating_point() and not buffer_name.endswith("inv_freq"):
                    buffer.data = buffer.data.to(dtype)

    # --- helpers for families -----------------------------------------------------------------------------------------

    def only_image_size(self, own: int) -> int:
        """The image size of a vision tower that takes one size only.

        Raises:
            ValueError: The settings ask for another size.
        """
        if self.settings.image_size not in (None, own):
            raise ValueError(
                f"expected image_size {own} or none for {self.name}, got {self.settings.image_size}: its vision tower "
                "has position embeddings for that size only."
            )
        return own

    @contextmanager
    def lrn_embedded(self, tokens: TokenBatch, lrn: Float[Tensor, " width"]) -> Iterator[None]:
        """Within this context, the text embedding returns [LRN] at its place.

        The vocabulary does not change. Models that derive positions or masks from ids still get ids.
        """
        if self.settings.scale_lrn and self.scales_embeddings:
            text_embedding: Any = self.parts.text_embedding
            lrn = lrn * text_embedding.embed_scale.to(lrn)

        def replace(module: nn.Module, arguments: Any, embedded: Tensor) -> Tensor:
            return torch.where(tokens.is_lrn[..., None], lrn.to(embedded.dtype), embedded)

        handle = self.parts.text_embedding.register_forward_hook(replace)
        try:
            yield
        finally:
            handle.remove()

    def embed(
        self,
        tokens: TokenBatch,
        vision_tokens: Float[Tensor, "B num_vision width"],
        lrn: Float[Tensor, " width"],
    ) -> Float[Tensor, "B L width"]:
        """Text, vision and [LRN] as one sequence of embeddings, for families composed here."""
        text_ids = tokens.ids.masked_fill(tokens.is_vision, self.pad_id)
        with self.lrn_embedded(tokens, lrn):
            embedded: Tensor = self.parts.text_embedding(text_ids)
        return embedded.masked_scatter(tokens.is_vision[..., None], vision_tokens.to(embedded.dtype))

    # --- what is the same for all -------------------------------------------------------------------------------------

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the weights."""
        return self.parts.text_embedding.weight.dtype  # type: ignore[return-value]

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self.parts.text_embedding.weight.device  # type: ignore[return-value]

    @property
    def scales_embeddings(self) -> bool:
        """Whether the text embedding multiplies its output, as in the Gemma family."""
        return isinstance(getattr(self.parts.text_embedding, "embed_scale", None), Tensor)

    @property
    def input_sizes(self) -> dict[str, int]:
        """Side in pixels to which each camera's images are resized."""
        return dict.fromkeys(CAMERAS, self.image_size)

    def expect(self, instructions: Sequence[str]) -> None:
        """Pads every batch to the longest of these sentences, so that its shape does not depend on its sentences."""
        self.expected_length = max((len(self.prompt(instruction)) for instruction in instructions), default=0)

    def preprocess(self, images: UInt8[Tensor, "B H W 3"]) -> Float[Tensor, "B 3 size size"]:
        """Resizes as PIL does, and normalises. Images that are not square are squeezed into a square."""
        resized = resize(images.to(self.device), self.image_size, self.resample)
        channels_first = resized.movedim(-1, -3).float() / 255  # (B, 3, size, size)
        mean, std = (channels_first.new_tensor(values)[:, None, None] for values in (self.image_mean, self.image_std))
        return ((channels_first - mean) / std).to(self.dtype)

    def vision_tokens(self, images: CameraImages, cameras: Sequence[str]) -> Float[Tensor, "B num_vision vision_dim"]:
        """Vision tokens of each frame, one camera after the other. All images pass the vision tower together.

        Args:
            images: One frame a row.
            cameras: In the order of the sequence.
        """
        pixels = torch.stack([self.preprocess(images.of(camera)) for camera in cameras], dim=1)  # (B, cameras, 3, ..)
        features = self.image_features(pixels.flatten(0, 1))  # (B cameras, num_image_tokens, vision_dim)
        return features.reshape(-1, len(cameras) * features.shape[1], features.shape[2])

    def fuse(
        self,
        prompts: Sequence[Prompt],
        vision_tokens: Float[Tensor, "B num_vision vision_dim"],
        lrn: Float[Tensor, " width"],
    ) -> Float[Tensor, "B width"]:
        """The feature of each row: at [LRN], which has seen text and images, or pooled over all tokens.

        Args:
            prompts: One a row. Rows may differ in length.
            vision_tokens: What `vision_tokens` returned.
            lrn: The learnable token.
        """
        tokens = collate(prompts, self.pad_id, vision_tokens.device, self.expected_length)
        hidden = self.decode(tokens, vision_tokens, lrn)  # (B, L, width)
        if self.settings.readout == MAX_POOLING:
            return hidden.masked_fill(~tokens.attended[..., None], -torch.inf).amax(dim=1)
        return hidden[tokens.is_lrn]

    def forward(
        self, images: CameraImages, instructions: Sequence[str], lrn: Float[Tensor, " width"]
    ) -> Float[Tensor, "B width"]:
        """The fused feature of each frame. Each frame passes through the VLM alone.

        Args:
            images: One frame a row.
            instructions: One sentence a row.
            lrn: The learnable token.

        Raises:
            ValueError: There is not one sentence a row, one is empty, or a camera is missing.
        """
        batch_size = images.static.shape[0]
        if len(instructions) != batch_size:
            raise ValueError(f"expected one instruction for each of {batch_size} frames, got {len(instructions)}.")
        prompts = [self.prompt(instruction) for instruction in instructions]
        return self.fuse(prompts, self.vision_tokens(images, prompts[0].cameras), lrn)
