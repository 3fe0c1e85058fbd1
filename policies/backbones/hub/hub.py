"""Any other VLM of the hub, `hf:ORG/NAME`, that `AutoModel` knows. It needs no file of its own and no remote code.

The model itself says what a family's file would say. Its signature says how it takes images. Its preprocessor file
gives image size and normalisation, its chat template the prompt, and its vocabulary the tokens around an image.
`docs/architectures.md` lists which architectures work. Others raise an error when the backbone is made.
"""

import inspect
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from jinja2 import TemplateError
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES  # type: ignore[attr-defined]
from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES
from typing_extensions import override

from calvinbench.policies.backbones.backbone import Parts
from calvinbench.policies.backbones.hub.files import ImageFormat, read_chat_template, read_image_format
from calvinbench.policies.backbones.hub.peft_adapters import base_folder, is_adapter
from calvinbench.policies.backbones.hub.probe import in_words, refused, require_usable
from calvinbench.policies.backbones.images.patch_grid import PatchGrid
from calvinbench.policies.backbones.prompts.prompt import Kind, Layout, Prompt, TokenBatch
from calvinbench.policies.backbones.prompts.prompt_composer import refuse_layout, seed_prompt
from calvinbench.policies.backbones.prompts.tiny_tokenizer import tiny_tokenizer
from calvinbench.policies.backbones.settings import BackboneSettings
from calvinbench.policies.backbones.transformers_backbone import TransformersBackbone
from calvinbench.policies.backbones.weights.sources import BackboneSourceError, local_folder

DEFAULT_IMAGE_SIZE = 224
"""Image side in pixels, for vision towers that take any size."""
_SENTENCE = "\u2603"
"""Placeholder for the user's sentence while a chat template is filled in. No template contains a snowman."""
_FRAMES = (
    ("<fake_token_around_image><global-img>", "<fake_token_around_image>"),
    ("<fake_token_around_image>", "<fake_token_around_image>"),
    ("<|vision_start|>", "<|vision_end|>"),
    ("<img>", "</img>"),
    ("\n\n<start_of_image>", "<end_of_image>\n\n"),
)
"""Tokens before and after an image: of SmolVLM and Idefics 3, of Idefics 2, of Qwen, of InternVL, of Gemma 3."""
_FRAME_KEYS = (("vision_start_token_id", "vision_end_token_id"), ("image_start_token_id", "image_end_token_id"))
"""Configuration keys of the tokens around an image, for models with none of `_FRAMES`."""
_NAMED = {"paligemma": "paligemma", "kosmos-2": "kosmos2"}
"""Model types with a backbone of their own, because they take masks or images differently, and its name."""
_IMAGE_FORMAT_KEY = "calvinbench_pictures"


class HubBackbone(TransformersBackbone):
    """A VLM of the hub by `AutoModel`."""

    name = "hf"
    model_name = "any VLM of the hub that AutoModel knows"
    hub_name = None
    unchecked = "published weights: none was downloaded here; tried on random weights of four architectures"
    model_types = ()

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        settings: BackboneSettings,
        images: ImageFormat | None = None,
    ) -> None:
        """Takes the model.

        Args:
            model: A model made by `AutoModel`.
            tokenizer: The model's tokenizer.
            settings: How it is used.
            images: How images of its vision tower are prepared.

        Raises:
            BackboneSourceError: The model takes no images, or takes them in a way that is not supported here.
        """
        super().__init__(model, tokenizer, settings)
        self._image_format = images or ImageFormat()
        self.image_mean, self.image_std = self._image_format.image_mean, self._image_format.image_std  # type: ignore[assignment]
        self.resample = self._image_format.resample
        if not hasattr(model, "get_image_features"):
            raise BackboneSourceError(
                f"expected a vision-language model, got {type(model).__name__}, which has no get_image_features. "
                "Name a VLM, such as hf:HuggingFaceTB/SmolVLM-256M-Instruct."
            )
        what = f"'{model.config.model_type}' ({type(model).__name__})"
        try:
            self._read_model(model, tokenizer)
        except BackboneSourceError:
            raise
        except (AttributeError, LookupError, TypeError) as error:
            raise refused(what, f"its parts have other names: {in_words(error)}") from error
        except (RuntimeError, ArithmeticError, AssertionError) as error:
            raise refused(what, f"its vision tower failed: {in_words(error)}") from error
        self._require_whole(what)

    def _require_whole(self, what: str) -> None:
        """Raises an error if some weights belong to no known part."""
        parts = self.parts
        if not parts.vision or not parts.language:
            raise refused(what, f"its {'vision tower' if not parts.vision else 'language model'} has another name")
        known = {
            id(weight)
            for module in (*parts.vision, *parts.connector, *parts.language, parts.text_embedding)
            for weight in module.parameters()
        }
        unknown = sorted(
            {name.split(".")[0] for name, weight in self.model.named_parameters() if id(weight) not in known}
        )
        if unknown:
            raise refused(what, f"it has unknown parts: {', '.join(unknown)}")

    def _read_model(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        """Reads from the model what the file of a named family would define."""
        self._takes = frozenset(inspect.signature(model.forward).parameters)
        vision = model.config.vision_config
        self._grid = (
            PatchGrid(vision.patch_size, vision.spatial_merge_size, vision.temporal_patch_size)
            if "image_grid_thw" in self._takes
            else None
        )
        self.image_size = self._size_of(vision)
        self.width = int(model.config.get_text_config().hidden_size)
        self.image_token_id = int(model.config.image_token_id)
        self._frame = self._find_frame(model, tokenizer)
        pooled = self._black_image()
        if pooled is None:
            what = f"'{model.config.model_type}' ({type(model).__name__})"
            raise refused(what, "its get_image_features returns no pooler_output")
        self.takes_tensor = isinstance(pooled, Tensor)
        self.num_image_tokens = int(pooled[0].shape[0])

    def _find_frame(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> tuple[str, str]:
        """The tokens before and after an image; two empty strings if there are none."""
        vocabulary = tokenizer.get_vocab()
        for frame in _FRAMES:
            if all(mark in vocabulary for mark in re.findall("<[^>]+>", "".join(frame))):
                return frame
        if self._grid is not None:  # positions depend on the image: without marks, neighbours would count as one
            names: dict[Any, str] = {number: name for name, number in vocabulary.items()}
            for keys in _FRAME_KEYS:
                begin, end = (names.get(getattr(model.config, key, None)) for key in keys)
                if begin and end:
                    return begin, end
        return "", ""

    def _black_image(self) -> Any:
        """The features of one black image, to find the number of vision tokens and whether the inputs fit."""
        black = torch.zeros(1, 3, self.image_size, self.image_size, device=self.device, dtype=self.dtype) - 1
        try:
            with torch.no_grad():
                return self._encode(black).pooler_output
        except TypeError as error:
            raise refused(
                f"'{self.model.config.model_type}' ({type(self.model).__name__})",
                f"its get_image_features does not take images alone, or with their grid: {in_words(error)}",
            ) from error

    @classmethod
    @override
    def _require_type(cls, model_type: str | None, what: str) -> None:
        """Raises an error for model types that need a named backbone."""
        super()._require_type(model_type, what)
        if model_type in CONFIG_MAPPING_NAMES and model_type not in MODEL_MAPPING_NAMES:
            raise refused(f"'{model_type}'", "transformers' AutoModel has no class for it")
        if model_type in _NAMED:
            raise BackboneSourceError(
                f"expected a VLM without a backbone of its own, got {what} of '{model_type}'. Write "
                f"untrained:{_NAMED[model_type]},vlm=... for it."
            )

    def _size_of(self, vision: Any) -> int:
        """Image side in pixels: from the settings for towers that take any size, else the model's own."""
        size = self._image_format.image_size or getattr(vision, "image_size", None) or DEFAULT_IMAGE_SIZE
        own = int(size[0] if isinstance(size, list | tuple) else size)
        if self._grid is not None:
            return self.settings.image_size or DEFAULT_IMAGE_SIZE
        return self.only_image_size(own)

    @classmethod
    @override
    def tiny_config(cls, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
        """Raises an error: without a model, the architecture is unknown."""
        raise ValueError("expected a VLM for 'hf', got none. Name it: hf:ORG/NAME, or hf:FOLDER with a config.json.")

    @classmethod
    @override
    def full_config(cls) -> dict[str, Any]:
        """Raises an error, as `tiny_config` does."""
        return cls.tiny_config(tiny_tokenizer())

    @classmethod
    @override
    def from_config(
        cls, config: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase, settings: BackboneSettings
    ) -> "TransformersBackbone":
        numbers = dict(config)
        given: dict[str, Any] = numbers.pop(_IMAGE_FORMAT_KEY, {})
        images = ImageFormat(**given | {key: tuple(given[key]) for key in ("image_mean", "image_std") if key in given})
        return cls(super()._model_of(numbers), tokenizer, settings, images)

    @classmethod
    @override
    def pretrained(cls, source: str | Path, settings: BackboneSettings, dtype: torch.dtype) -> "TransformersBackbone":
        folder = local_folder(source, "HuggingFaceTB/SmolVLM-256M-Instruct")
        model, tokenizer = cls._load(folder, dtype)
        base = base_folder(folder) if is_adapter(folder) else folder
        tokenizer.chat_template = read_chat_template(base) or tokenizer.chat_template
        backbone = cls(model, tokenizer, settings, read_image_format(base))
        require_usable(backbone, backbone._own_inputs)
        return backbone

    def _own_inputs(self, tokens: TokenBatch, pixels: Tensor) -> dict[str, Any]:
        """Inputs of the model's own forward pass, for one row and its images."""
        types = self.decoder_inputs(tokens)
        types.pop("position_ids", None)
        return {"attention_mask": tokens.attended.long(), "use_cache": False} | types | self.image_inputs(pixels)

    @property
    @override
    def config(self) -> dict[str, Any]:
        """The configuration as `from_config` takes it."""
        return super().config | {_IMAGE_FORMAT_KEY: asdict(self._image_format)}

    @property
    @override
    def parts(self) -> Parts:
        """The modules of each part, by the usual attribute names."""

        def named(*names: str) -> tuple[nn.Module, ...]:
            return tuple(module for name in names if isinstance(module := getattr(self.model, name, None), nn.Module))

        vision = named("vision_tower", "vision_model", "visual", "image_encoder")
        connector = named("multi_modal_projector", "connector", "aligner", "mlp1")
        inner = tuple(module for part in vision if isinstance(module := getattr(part, "merger", None), nn.Module))
        deep = tuple(
            module for part in vision if isinstance(module := getattr(part, "deepstack_merger_list", None), nn.Module)
        )
        language = named("language_model", "text_model")
        return Parts(vision, connector + inner + deep, language, self.model.get_input_embeddings())

    @override
    def compose(self, instruction: str) -> Prompt:
        """Composes the sequence of each layout.

        - seed: the token that begins a sequence, if there is one, text, static, gripper, [LRN].
        - native: the chat template filled with both images and the text, then [LRN]; without a template, images
          and text.
        """
        begin = Prompt() if self.tokenizer.bos_token_id is None else self.words(self.tokenizer.bos_token, special=True)
        vision = sum((self._framed(camera) for camera in self.settings.cameras), Prompt())
        match self.settings.layout:
            case Layout.SEED if self._frame[0]:
                return begin + self.words(instruction) + vision + self.lrn_place()
            case Layout.SEED:
                return seed_prompt(self, instruction, begin)
            case Layout.NATIVE if self.tokenizer.chat_template:
                return self._filled_template(instruction) + self.lrn_place()
            case Layout.NATIVE:
                return begin + vision + self.words(instruction) + self.lrn_place()
            case Layout.ROBOVLMS:
                raise refuse_layout(self, "RoboVLMs has no such backbone. Take 'native' or 'seed'.")

    def _framed(self, camera: str) -> Prompt:
        begin, end = (self.words(mark, special=True) for mark in self._frame)
        return begin + self.image(camera) + end

    def _filled_template(self, instruction: str) -> Prompt:
        """The model's own chat template: images first, then the sentence, then the answer's beginning."""
        images = [{"type": "image"} for _ in self.settings.cameras]
        content = [*images, {"type": "text", "text": _SENTENCE}]
        chat: Any = [{"role": "user", "content": content}]
        try:
            text = str(self.tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True))
        except (TypeError, ValueError, TemplateError) as error:
            raise BackboneSourceError(
                f"expected a chat template of {type(self.model).__name__} that takes images beside text, but: "
                f"{error}. Put the processor's chat_template.json into the folder, or use the layout 'seed'."
            ) from error
        placeholder = str(self.tokenizer.convert_ids_to_tokens(self.image_token_id))
        whole = f"{self._frame[0]}{placeholder}{self._frame[1]}"
        for mark in (whole, placeholder, "<image>", self._frame[0].strip()):
            if mark and text.count(mark) == len(images):
                break
        else:
            raise BackboneSourceError(
                f"expected the chat template of {type(self.model).__name__} to name each image once, got {text!r}. "
                "Use the layout 'seed' for this model."
            )
        cut = re.escape(mark)
        if any(token in instruction for token in self.tokenizer.get_added_vocab()):
            cut += f"|{_SENTENCE}"  # tokenized separately: in a user's sentence they are plain letters
        cameras = iter(self.settings.cameras)
        prompt = Prompt()
        for piece in re.split(f"({cut})", text):
            if piece == mark:
                prompt += self._framed(next(cameras))
            elif piece == _SENTENCE:
                prompt += self.words(instruction)
            else:
                prompt += self.words(piece.replace(_SENTENCE, instruction), special=True)
        return prompt

    @override
    def image_inputs(self, pixels: Float[Tensor, "N 3 size size"]) -> dict[str, Tensor]:
        if self._grid is not None:
            grid = self._grid.thw(self.image_size, len(pixels), pixels.device)
            return {"pixel_values": self._grid.cut(pixels), "image_grid_thw": grid}
        if "pixel_attention_mask" in self._takes:
            return {"pixel_values": pixels[:, None]}  # SmolVLM and Idefics have an axis for the images of a row
        return {"pixel_values": pixels}

    def _encode(self, pixels: Tensor) -> Any:
        model: Any = self.model
        return model.get_image_features(**self.image_inputs(pixels), return_dict=True)

    @override
    def image_features(self, pixels: Float[Tensor, "N 3 size size"]) -> Float[Tensor, "N num_image_tokens vision_dim"]:
        """Vision tokens, with features for deeper layers (Qwen3-VL's deepstack) concatenated behind them."""
        output = self._encode(pixels)
        levels = [output.pooler_output, *(getattr(output, "deepstack_features", None) or [])]
        return torch.cat(
            [level if isinstance(level, Tensor) else torch.stack(tuple(level)) for level in levels], dim=-1
        )

    @override
    def vision_inputs(self, tokens: TokenBatch, vision_tokens: Float[Tensor, "B num_vision dim"]) -> dict[str, Any]:
        first, *deep = torch.split(vision_tokens, self.width, dim=-1)
        pooled: Any = first if self.takes_tensor else tuple(first)
        output = BaseModelOutputWithPooling(pooler_output=pooled)
        if deep:
            output["deepstack_features"] = [tuple(level) for level in deep]
        return {"mm_encoder_outputs": {"image": output}}

    @override
    def decoder_inputs(self, tokens: TokenBatch) -> dict[str, Any]:
        """The other inputs in the model's signature."""
        inputs: dict[str, Any] = {}
        if self._grid is not None:
            num_images = len(tokens.ids) * len(self.settings.cameras)
            inputs["image_grid_thw"] = self._grid.thw(self.image_size, num_images, torch.device("cpu"))
        else:
            inputs["position_ids"] = tokens.positions
        if "mm_token_type_ids" in self._takes:
            inputs["mm_token_type_ids"] = tokens.is_vision.int()
        if "token_type_ids" in self._takes:
            inputs["token_type_ids"] = (tokens.is_vision & (tokens.kinds != Kind.PADDING)).int()
        return inputs
