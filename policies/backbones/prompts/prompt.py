"""One observation as a sequence of tokens. Each token is for text, for a camera's image, or for [LRN]."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor


class Layout(StrEnum):
    """Order of the tokens and the attention mask. It is part of the model and recorded with a checkpoint."""

    SEED = "seed"
    """[text] [vision] [LRN]."""
    NATIVE = "native"
    """The order in the pretrained model, with its special tokens and prompt, then [LRN]."""
    ROBOVLMS = "robovlms"
    """The order of released RoboVLMs checkpoints: images (gripper camera first), text, [LRN], and an end token."""


class Kind(IntEnum):
    """What a token is for."""

    TEXT = 0
    STATIC = 1
    GRIPPER = 2
    LRN = 3
    PADDING = 4
    """No token attends to it, but it has a position. Only upstream's batches have it inside a sequence."""


CAMERA_KINDS = {"static": Kind.STATIC, "gripper": Kind.GRIPPER}


@dataclass(frozen=True, slots=True)
class Prompt:
    """One sequence of tokens.

    Attributes:
        ids: Token ids. An image's tokens have the model's own placeholder; [LRN] has any id that can be embedded.
        kinds: What each token is for.
    """

    ids: tuple[int, ...] = ()
    kinds: tuple[Kind, ...] = ()

    def __add__(self, other: "Prompt") -> "Prompt":
        return Prompt(self.ids + other.ids, self.kinds + other.kinds)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def cameras(self) -> tuple[str, ...]:
        """The cameras whose images are in it, in their order."""
        places = {name: self.kinds.index(kind) for name, kind in CAMERA_KINDS.items() if kind in self.kinds}
        return tuple(sorted(places, key=places.__getitem__))


def words(ids: Sequence[int]) -> Prompt:
    """Tokens of text."""
    return Prompt(tuple(ids), (Kind.TEXT,) * len(ids))


def image(camera: str, placeholder_id: int, num_tokens: int) -> Prompt:
    """The tokens of one camera's image."""
    return Prompt((placeholder_id,) * num_tokens, (CAMERA_KINDS[camera],) * num_tokens)


def lrn_token(placeholder_id: int) -> Prompt:
    """The index of [LRN]."""
    return Prompt((placeholder_id,), (Kind.LRN,))


@dataclass(frozen=True, slots=True)
class TokenBatch:
    """Prompts of B rows, padded on the left to one length.

    Attributes:
        ids: Token ids.
        kinds: What each token is for, see `Kind`.
        positions: Index of each token in its own row, from 0; 0 for padding.
    """

    ids: Int[Tensor, "B L"]
    kinds: Int[Tensor, "B L"]
    positions: Int[Tensor, "B L"]

    @property
    def attended(self) -> Bool[Tensor, "B L"]:
        """Which tokens may be attended to."""
        return self.kinds != Kind.PADDING

    @property
    def is_vision(self) -> Bool[Tensor, "B L"]:
        """Which tokens belong to images."""
        return (self.kinds == Kind.STATIC) | (self.kinds == Kind.GRIPPER)

    @property
    def is_lrn(self) -> Bool[Tensor, "B L"]:
        """Which tokens are [LRN]."""
        return self.kinds == Kind.LRN


class DistinctRows(NamedTuple):
    """The first tokens of a batch's rows, each distinct row once, because frames of a window have the same sentence.

    Attributes:
        ids: Token ids; any id for padding.
        attended: Which tokens are not padding.
        positions: Index of each token in its row, from 0.
        row_of: For each row of the batch, its index among these rows.
    """

    ids: Int[Tensor, "D end"]
    attended: Bool[Tensor, "D end"]
    positions: Int[Tensor, "D end"]
    row_of: Int[Tensor, " B"]


def distinct_rows(tokens: TokenBatch, end: int, merge: bool = True) -> DistinctRows:
    """The distinct rows among the first tokens of a batch.

    Args:
        tokens: The batch.
        end: Number of tokens that count.
        merge: Whether equal rows become one. Otherwise every row stays, and the shape does not depend on their content.
    """
    if not merge:
        attended = tokens.attended[:, :end]
        places = (attended.long().cumsum(1) - 1).clamp(min=0)
        return DistinctRows(
            tokens.ids[:, :end], attended, places, torch.arange(len(attended), device=tokens.ids.device)
        )
    absent = -1
    ids = tokens.ids[:, :end].masked_fill(~tokens.attended[:, :end], absent)
    distinct, row_of = torch.unique(ids, dim=0, return_inverse=True)
    attended = distinct != absent
    return DistinctRows(distinct.clamp(min=0), attended, (attended.long().cumsum(1) - 1).clamp(min=0), row_of)


def collate(prompts: Sequence[Prompt], pad_id: int, device: torch.device, min_length: int = 0) -> TokenBatch:
    """Pads on the left.

    Args:
        prompts: One a row.
        pad_id: The id of padding.
        device: The device of the batch.
        min_length: Smallest length of the rows.
    """
    length = max(min_length, *(len(prompt) for prompt in prompts))
    gaps = [length - len(prompt) for prompt in prompts]
    ids = [[pad_id] * gap + list(prompt.ids) for gap, prompt in zip(gaps, prompts, strict=True)]
    kinds = [[Kind.PADDING] * gap + list(prompt.kinds) for gap, prompt in zip(gaps, prompts, strict=True)]
    positions = [[0] * gap + list(range(length - gap)) for gap in gaps]
    as_tensors = torch.tensor([ids, [[int(kind) for kind in row] for row in kinds], positions]).to(device)
    return TokenBatch(*as_tensors.unbind(0))
