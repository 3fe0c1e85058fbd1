"""OpenFlamingo 4B (openflamingo/OpenFlamingo-4B-vitl-rpj3b), arXiv:2308.01390: CLIP ViT-L/14, RedPajama-INCITE 3B.

An image is not in the sequence. One token `<image>` marks its place, and a resampler turns it into 64 latents. Before
every second layer of the language model (GPT-NeoX), tokens read latents through gated cross-attention. It is composed
here of transformers' `CLIPVisionModel` and `GPTNeoXModel` and the added parts in `modules`. A test compares it with
OpenFlamingo's own code (commit 655f693).

RoboVLMs' `flamingo` is OpenFlamingo 3B on MPT-1B, or this one. MPT raises an error: see `names.MPT_REASON`.

Details that are easy to get wrong. The number in brackets is the relative error of the mistake on the tiny model, as
measured by tests:

- Images have 224 pixels a side. Vision tokens are those of the last layer, without CLIP's class token and before the
  last norm, as open_clip gave them when the weights were trained (2.20). Later versions (2.24) apply the norm (.19).
- A token reads the image of its own `<image>` or of the last one before it. A token before every `<image>` reads none.
  Only [LRN], which is new, reads every image before it. If it read only the last, it would see the static camera only
  through other tokens (.41).
- Latents have no order and no position, so the model distinguishes cameras by the positions of `<image>`. RoboVLMs
  joins the latents of both cameras behind one `<image>`. Swapping the cameras then changes nothing, so that layout
  raises an error.
- Gates start at 0 in `full_config`, as the published ones did. With random weights, images then have no effect until
  training opens the gates. `tiny_config` opens them to tanh(0.5).
- RedPajama applies RoPE to all of a head (GPT-NeoX's default is a quarter: .23), and its attention and perceptron come
  one after the other (GPT-NeoX's default is side by side: .91).
- RedPajama's token embedding has 50432 rows, the published one 50280, which is the number of tokens.
- If the instruction comes after an image, its features depend on the image, so nothing can be reused between steps.

`pretrained` takes the name on the hub, and then downloads the language model and the vision tower too. It also takes a
folder with `checkpoint.pt`, `language_model/` and `vision_tower/`. The vision tower is read as transformers publishes
it (openai/clip-vit-large-patch14), whereas OpenFlamingo reads open_clip's file of OpenAI's weights.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModel,
    GPTNeoXConfig,
    GPTNeoXModel,
    PreTrainedTokenizerBase,
)
from typing_extensions import override

from calvinbench.policies.backbones.backbone import Backbone, Parts
from calvinbench.policies.backbones.flamingo.config import (
    FlamingoNumbers,
    full_numbers,
    known_config,
    numbers_of,
    tiny_numbers,
)
from calvinbench.policies.backbones.flamingo.modules import GatedCrossAttention, PerceiverResampler, causal_mask
from calvinbench.policies.backbones.flamingo.names import require_same_names
from calvinbench.policies.backbones.flamingo.weights import (
    END_OF_CHUNK,
    IMAGE,
    NEW_TOKENS,
    find_folders,
    load_part,
    load_tokenizer,
    read_checkpoint,
)
from calvinbench.policies.backbones.images.normalisation import CLIP_MEAN, CLIP_STD
from calvinbench.policies.backbones.prompts.prompt import Layout, Prompt, TokenBatch, image, words
from calvinbench.policies.backbones.prompts.prompt_composer import refuse_layout, seed_prompt
from calvinbench.policies.backbones.settings import BackboneSettings


class FlamingoBackbone(Backbone):
    """OpenFlamingo on GPT-NeoX, of any size."""

    name = "flamingo"
    model_name = "OpenFlamingo 4B on RedPajama-INCITE 3B; RoboVLMs' own is on MPT"
    hub_name = "openflamingo/OpenFlamingo-4B-vitl-rpj3b"
    unchecked = (
        "published weights, configurations and tokenizer: not downloaded here; the names in checkpoint.pt are those of "
        "the public code, and openai/clip-vit-large-patch14 is taken to hold the numbers of open_clip's 'openai'"
    )
    special_tokens = NEW_TOKENS
    image_mean, image_std = CLIP_MEAN, CLIP_STD

    def __init__(
        self,
        language_model: GPTNeoXModel,
        vision_tower: CLIPVisionModel,
        numbers: FlamingoNumbers,
        tokenizer: PreTrainedTokenizerBase,
        settings: BackboneSettings,
    ) -> None:
        """Takes the two models, and makes the parts between them with random weights.

        Args:
            language_model: The decoder. Its embedding has a row for each token.
            vision_tower: The vision tower.
            numbers: Numbers of the parts between them.
            tokenizer: The language model's tokenizer, with the new tokens.
            settings: How it is used.

        Raises:
            ValueError: No layer has cross-attention, or the settings ask for another image size.
        """
        super().__init__(tokenizer, settings)
        language, vision = language_model.config, cast("Any", vision_tower.config)
        if language.num_hidden_layers < numbers.layers_per_cross_attention:
            raise ValueError(
                f"expected layers_per_cross_attention of at most the language model's {language.num_hidden_layers} "
                f"layers, got {numbers.layers_per_cross_attention}: no layer would see images."
            )
        self.numbers = numbers
        self.width = int(language.hidden_size)
        self.image_size = self.only_image_size(int(vision.image_size))
        self.num_image_tokens = numbers.num_latents
        self.image_token_id = self.special_id(IMAGE)
        self.vision_tower = vision_tower
        self.language_model = language_model
        self.resampler = PerceiverResampler(vision.hidden_size, numbers)
        every = numbers.layers_per_cross_attention
        self.cross_attention = nn.ModuleDict(
            {
                str(layer): GatedCrossAttention(self.width, vision.hidden_size, numbers)
                for layer in range(every - 1, language.num_hidden_layers, every)
            }
        )
        for module in (*self.resampler.modules(), *self.cross_attention.modules()):
            if isinstance(module, nn.Linear):
                module.weight.data.mul_(numbers.initial_gain)

    # --- made in three ways -------------------------------------------------------------------------------------------

    @classmethod
    @override
    def tiny_config(cls, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
        return tiny_numbers(tokenizer)

    @classmethod
    @override
    def full_config(cls) -> dict[str, Any]:
        return full_numbers()

    @classmethod
    @override
    def from_config(
        cls, config: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase, settings: BackboneSettings
    ) -> "FlamingoBackbone":
        expected = {"language", "vision", *(field.name for field in fields(FlamingoNumbers))}
        if set(config) != expected:
            raise ValueError(
                f"expected a configuration of {cls.name} with {', '.join(sorted(expected))}, got "
                f"{', '.join(sorted(config)) or 'nothing'}."
            )
        language = known_config(config["language"], GPTNeoXConfig)
        vision = known_config(config["vision"], CLIPVisionConfig)
        numbers = FlamingoNumbers(**{key: config[key] for key in expected - {"language", "vision"}})
        return cls(GPTNeoXModel(language), CLIPVisionModel(vision), numbers, tokenizer, settings)

    @classmethod
    @override
    def pretrained(cls, source: str | Path, settings: BackboneSettings, dtype: torch.dtype) -> "FlamingoBackbone":
        """The published weights. The module's docstring says what a folder must have."""
        folders = find_folders(source, cls.hub_name)
        trained = read_checkpoint(folders.checkpoint)  # first, so that another OpenFlamingo raises an error
        language = load_part(GPTNeoXModel, folders.language, ("gpt_neox",), dtype)
        vision = load_part(CLIPVisionModel, folders.vision, ("clip", "clip_vision_model"), dtype)
        tokenizer = load_tokenizer(folders.language)
        language.resize_token_embeddings(len(tokenizer), mean_resizing=False)  # the rows come from the checkpoint
        with torch.device("meta"):
            backbone = cls(language, vision, FlamingoNumbers(), tokenizer, settings)
        joined = ("resampler.", "cross_attention.", "language_model.embed_in.")
        expected = {name: tensor for name, tensor in backbone.state_dict().items() if name.startswith(joined)}
        require_same_names(trained, expected)
        for name in expected:
            module_name, _, parameter_name = name.rpartition(".")
            parameter = nn.Parameter(trained[name].to(dtype))
            setattr(backbone.get_submodule(module_name), parameter_name, parameter)
        return backbone

    @property
    @override
    def config(self) -> dict[str, Any]:
        models = {"language": numbers_of(self.language_model), "vision": numbers_of(self.vision_tower)}
        return {**models, **asdict(self.numbers)}

    @property
    @override
    def parts(self) -> Parts:
        """Cross-attention belongs to the connector, because it is trained with the resampler."""
        return Parts(
            vision=(self.vision_tower,),
            connector=(self.resampler, self.cross_attention),
            language=(self.language_model,),
            text_embedding=self.language_model.embed_in,
        )

    # --- what is particular to Flamingo -------------------------------------------------------------------------------

    def image(self, camera: str) -> Prompt:
        """One token `<image>`: the latents are not in the sequence."""
        return image(camera, self.image_token_id, 1) if camera in self.settings.cameras else Prompt()

    @override
    def compose(self, instruction: str) -> Prompt:
        """Composes the sequence of each layout. The tokenizer has no token that begins a sequence.

        - seed: text, `<image>` static, `<image>` gripper, [LRN].
        - native: `<image>` static, text, `<|endofchunk|>`, `<image>` gripper, text, [LRN]: a text for each image, as in
          its training data.
        - robovlms, for the static camera alone: `<image>`, text, `<|endofchunk|>`, [LRN], end of sequence.
        """
        end_of_chunk = words((self.special_id(END_OF_CHUNK),))
        match self.settings.layout:
            case Layout.SEED:
                return seed_prompt(self, instruction, Prompt())
            case Layout.NATIVE:
                first, *others = (self.image(camera) + self.words(instruction) for camera in self.settings.cameras)
                return sum((end_of_chunk + other for other in others), first) + self.lrn_place()
            case Layout.ROBOVLMS:
                if self.settings.cameras != ("static",):
                    raise refuse_layout(
                        self,
                        "RoboVLMs joins both cameras' latents behind one <image>, so that swapping the cameras changes "
                        "nothing. Take 'native' or 'seed', or cameras=static.",
                    )
                text = self.image("static") + self.words(instruction.strip()) + end_of_chunk
                return text + self.lrn_place() + words((self.eos_id,))

    @override
    def image_features(self, pixels: Float[Tensor, "N 3 size size"]) -> Float[Tensor, "N num_image_tokens vision_dim"]:
        """The resampler's latents."""
        hidden: Tensor = self.vision_tower(pixel_values=pixels).last_hidden_state  # (N, 1 + patches, vision_dim)
        latents: Tensor = self.resampler(hidden[:, 1:])
        return latents

    def visible(self, tokens: TokenBatch, num_vision: int) -> Bool[Tensor, "B L num_vision"]:
        """Which latents a token reads: of its own or the last image; for [LRN], of every image before it."""
        image_of_token = tokens.is_vision.cumsum(dim=1)[..., None]  # (B, L, 1); 0 before the first
        image_of_latent = torch.arange(num_vision, device=tokens.ids.device) // self.num_image_tokens + 1
        is_last, is_before = image_of_token == image_of_latent, image_of_token >= image_of_latent
        return torch.where(tokens.is_lrn[..., None], is_before, is_last)

    @override
    def decode(
        self,
        tokens: TokenBatch,
        vision_tokens: Float[Tensor, "B num_vision vision_dim"],
        lrn: Float[Tensor, " width"],
    ) -> Float[Tensor, "B L width"]:
        model = self.language_model
        with self.lrn_embedded(tokens, lrn):
            hidden: Tensor = model.emb_dropout(model.embed_in(tokens.ids))
        visible = self.visible(tokens, vision_tokens.shape[1])
        mask = causal_mask(tokens.attended, hidden.dtype)
        turns = model.rotary_emb(hidden, tokens.positions)
        for index, layer in enumerate(model.layers):
            if str(index) in self.cross_attention:
                hidden = self.cross_attention[str(index)](hidden, vision_tokens, visible)
            hidden = layer(hidden, attention_mask=mask, position_embeddings=turns)
        normalised: Tensor = model.final_layer_norm(hidden)
        return normalised

    @override
    def compile_parts(self) -> None:
        """Compiles each layer of the decoder, because `decode` calls them one by one."""
        blocks = (*self.language_model.layers, *self.cross_attention.values())
        for module in (*self.parts.vision, self.resampler, *blocks):
            module.compile()

    @override
    def recomputable_layers(self) -> Iterator[nn.Module]:
        """The layers, with the blocks of cross-attention."""
        yield from super().recomputable_layers()
        yield from self.cross_attention.values()
