"""The parts of `cnn`: a convolutional tower for each camera, the modulation by the sentence, and the read-out."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

SUBCELLS = 2
"""Heat maps are finer than the grid of tokens by this factor a side: a token says where in its cell something is."""

HEAT_GAIN = 4.0
"""Scale of the initial weights of heat maps. At 1, maps are so flat that each is hot in the middle: slow to learn."""


@dataclass(frozen=True, slots=True)
class TowerNumbers:
    """Sizes of one camera's tower.

    Attributes:
        image_size: Pixels a side of the images that it takes.
        layers: Kernel size, stride, padding and width of each convolution.
    """

    image_size: int
    layers: list[list[int]]

    @property
    def side(self) -> int:
        """Tokens on each side."""
        side = self.image_size
        for kernel_size, stride, padding, _ in self.layers:
            side = (side + 2 * padding - kernel_size) // stride + 1
        return side


@dataclass(frozen=True, slots=True)
class ReadoutNumbers:
    """Sizes of the parts that join sentence and images.

    Attributes:
        block_width: Inner width of the blocks that the sentence modulates.
        num_blocks: Number of such blocks for each camera.
        num_maps: Heat maps of each camera.
        grid_width: Features of each position that [LRN] gets, one position after the other.
        num_layers: Layers in which [LRN] attends to sentence and images.
        num_heads: Attention heads of a layer.
        intermediate_size: Inner width of the feed-forward part.
    """

    block_width: int
    num_blocks: int
    num_maps: int
    grid_width: int
    num_layers: int
    num_heads: int
    intermediate_size: int


@dataclass(frozen=True, slots=True)
class Seen:
    """The tokens to which [LRN] may attend.

    Attributes:
        text: Features of the text.
        attended: Which of them are not padding.
        sentence: Their mean.
        vision: The cameras' tokens, modulated by the sentence.
    """

    text: Float[Tensor, "B T width"]
    attended: Bool[Tensor, "B T"]
    sentence: Float[Tensor, "B width"]
    vision: Float[Tensor, "B num_vision width"]


class Tower(nn.Module):
    """Convolutions with ReLU. No batch statistics: a window's frames look alike, and eval should equal train."""

    def __init__(self, numbers: TowerNumbers) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        in_width = 3
        for kernel_size, stride, padding, width in numbers.layers:
            layer = nn.Conv2d(in_width, width, kernel_size, stride, padding)
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")  # no normalisation keeps the scale
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
            layers += [layer, nn.ReLU(inplace=True)]
            in_width = width
        self.layers = nn.Sequential(*layers)
        self.width = in_width

    def forward(self, pixels: Float[Tensor, "N 3 size size"]) -> Float[Tensor, "N tower_width side side"]:
        """Features of each position."""
        hidden = pixels.contiguous(memory_format=torch.channels_last)  # a fifth faster on a CPU
        features: Tensor = self.layers(hidden)
        return features


class ModulatedBlock(nn.Module):
    """A residual 3x3 convolution whose features the sentence scales and shifts (FiLM, arXiv 1709.07871)."""

    def __init__(self, width: int, block_width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.down = nn.Linear(width, block_width)
        self.conv = nn.Conv2d(block_width, block_width, 3, padding=1)
        self.modulation = nn.Linear(width, 2 * block_width)
        self.up = nn.Linear(block_width, width)

    def forward(
        self, tokens: Float[Tensor, "B places width"], sentence: Float[Tensor, "B width"]
    ) -> Float[Tensor, "B places width"]:
        """Tokens modulated by the sentence."""
        side = round(tokens.shape[1] ** 0.5)
        inner = functional.relu(self.down(self.norm(tokens)))  # (B, places, block_width)
        grid = self.conv(inner.transpose(1, 2).unflatten(2, (side, side)))  # (B, block_width, side, side)
        scale, shift = self.modulation(sentence)[:, None].chunk(2, dim=-1)  # (B, 1, block_width) each
        modulated = grid.flatten(2).transpose(1, 2) * (1 + scale) + shift
        aware: Tensor = tokens + self.up(functional.relu(modulated))
        return aware


class ExpectedPlaces(nn.Module):
    """The positions where heat maps of an image are hot: a soft argmax of each, in -1..1 (arXiv 1504.00702)."""

    def __init__(self, width: int, num_maps: int) -> None:
        super().__init__()
        self.num_maps = num_maps
        self.heat = nn.Linear(width, num_maps * SUBCELLS**2)
        with torch.no_grad():
            self.heat.weight.mul_(HEAT_GAIN)

    def forward(self, tokens: Float[Tensor, "B places width"]) -> Float[Tensor, "B coordinates"]:
        """Column and row of each map."""
        heat = self.heat(tokens).transpose(1, 2)  # (B, maps subcells, places)
        share = heat.reshape(len(heat), self.num_maps, -1).softmax(-1)  # (B, maps, subcells places)
        places: Tensor = share @ subcell_centres(tokens)  # (B, maps, 2)
        return places.flatten(1)


def subcell_centres(tokens: Float[Tensor, "B places width"]) -> Float[Tensor, "subcells_places 2"]:
    """Column and row of the middle of each subcell of each position, in -1..1, in the tokens' precision."""
    side = round(tokens.shape[1] ** 0.5)
    if torch.is_inference_mode_enabled():  # its tensors cannot be used in a backward pass
        return _centres_once(side, tokens.device, tokens.dtype)
    return _centres(side, tokens.device, tokens.dtype)


def _centres(side: int, device: torch.device, dtype: torch.dtype) -> Float[Tensor, "subcells_places 2"]:
    offsets = (torch.arange(SUBCELLS, device=device) + 0.5) / SUBCELLS
    ticks = (torch.arange(side, device=device) + offsets[:, None]) * 2 / side - 1  # (SUBCELLS, side)
    shape = (SUBCELLS, SUBCELLS, side, side)  # row and column of the subcell, then those of the position
    columns, rows = ticks[:, None].expand(shape), ticks[:, None, :, None].expand(shape)
    return torch.stack([columns.flatten(), rows.flatten()], dim=1).to(dtype)


_centres_once = lru_cache(maxsize=8)(_centres)


class ReadoutLayer(nn.Module):
    """One token attends to all others, which do not change.

    This is exact multi-head attention, but keys and values of the other tokens are never computed. Instead the query is
    mapped into their width, and the mean of the tokens out of it.
    """

    def __init__(self, width: int, num_heads: int, intermediate_size: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.attention_norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, intermediate_size), nn.GELU(), nn.Linear(intermediate_size, width)
        )

    def forward(
        self, one: Float[Tensor, "B width"], many: Float[Tensor, "B M width"], attended: Bool[Tensor, "B M"]
    ) -> Float[Tensor, "B width"]:
        """The one token after it attended to the others."""
        query = self.query(self.attention_norm(one)).unflatten(-1, (self.num_heads, -1))  # (B, heads, d)
        key, value = (each.weight.unflatten(0, (self.num_heads, -1)) for each in (self.key, self.value))
        asked = torch.einsum("bhd,hdw->bhw", query, key) * query.shape[-1] ** -0.5
        scores = (asked @ many.transpose(1, 2)).masked_fill(~attended[:, None], -torch.inf)  # (B, heads, M)
        seen = scores.softmax(-1) @ many  # (B, heads, width)
        one = one + self.out(torch.einsum("bhw,hdw->bhd", seen, value).flatten(1) + self.value.bias)
        fed: Tensor = one + self.feed_forward(one)
        return fed


class Readout(nn.Module):
    """The fused feature at [LRN], from the sentence and the cameras' tokens."""

    def __init__(self, numbers: ReadoutNumbers, width: int, num_cameras: int, num_places: int) -> None:
        super().__init__()
        cameras = range(num_cameras)
        self.blocks = nn.ModuleList(
            nn.ModuleList(ModulatedBlock(width, numbers.block_width) for _ in range(numbers.num_blocks))
            for _ in cameras
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in cameras)
        self.places = nn.ModuleList(ExpectedPlaces(width, numbers.num_maps) for _ in cameras)
        self.from_places = nn.Linear(num_cameras * 2 * numbers.num_maps, width)
        self.thin = nn.ModuleList(nn.Linear(width, numbers.grid_width) for _ in cameras)
        self.from_grid = nn.Linear(num_cameras * num_places * numbers.grid_width, width)
        self.from_sentence = nn.Linear(width, width)
        self.layers = nn.ModuleList(
            ReadoutLayer(width, numbers.num_heads, numbers.intermediate_size) for _ in range(numbers.num_layers)
        )
        self.norm = nn.LayerNorm(width)

    def modulate(
        self, vision_tokens: Float[Tensor, "B num_vision width"], sentence: Float[Tensor, "B width"]
    ) -> Float[Tensor, "B num_vision width"]:
        """The cameras' tokens after modulation by the sentence. Each camera has its own weights."""
        modulated = []
        for tokens, blocks, norm in zip(vision_tokens.chunk(len(self.norms), 1), self.blocks, self.norms, strict=True):
            aware = tokens
            for block in blocks:  # type: ignore[attr-defined]
                aware = block(aware, sentence)
            modulated.append(norm(aware))
        return torch.cat(modulated, dim=1)

    def forward(self, seen: Seen, lrn: Float[Tensor, " width"]) -> Float[Tensor, "B width"]:
        """The fused feature."""
        cameras = zip(self.places, seen.vision.chunk(len(self.places), 1), strict=True)
        places = torch.cat([expected(tokens) for expected, tokens in cameras], dim=1)
        thinned = zip(self.thin, seen.vision.chunk(len(self.thin), 1), strict=True)
        grid = torch.cat([functional.relu(thin(tokens)).flatten(1) for thin, tokens in thinned], dim=1)
        one = lrn.to(seen.text.dtype) + self.from_sentence(seen.sentence)
        one = one + self.from_places(places) + self.from_grid(grid)
        many = torch.cat([seen.text, seen.vision], dim=1)
        attended = functional.pad(seen.attended, (0, seen.vision.shape[1]), value=True)
        for layer in self.layers:
            one = layer(one, many, attended)
        fused: Tensor = self.norm(one)
        return fused
