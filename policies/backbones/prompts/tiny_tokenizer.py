"""A tokenizer that needs no download: byte-level BPE, trained in a moment on the embedded instructions."""

from collections.abc import Iterable
from functools import cache

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from calvinbench.envs.instructions import embedded_instructions

SPECIAL_TOKENS = ("<s>", "<pad>", "</s>", "<unk>")
"""Ids 0 to 3, as in Kosmos-2's own vocabulary."""
MAX_VOCABULARY = 512


def train_tokenizer(sentences: Iterable[str], max_vocabulary: int = MAX_VOCABULARY) -> Tokenizer:
    """Trains byte-level BPE. Every byte is a token, so that a sentence in any language can be encoded and decoded.

    Names of special tokens are an exception: `<s>` in a sentence is read as the special token.

    Args:
        sentences: Sentences to learn merges from, in any order.
        max_vocabulary: Largest number of tokens: special ones, 256 bytes, then merges.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=max_vocabulary,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(sentences, trainer)
    return tokenizer


@cache
def embedded_tokenizer() -> Tokenizer:
    """The tokenizer of the embedded instructions, seen and held out."""
    instructions = embedded_instructions()
    by_task = [*instructions.seen.values(), *instructions.held_out.values()]
    return train_tokenizer({sentence for sentences in by_task for sentence in sentences})


def tiny_tokenizer(special_tokens: tuple[str, ...] = ()) -> PreTrainedTokenizerFast:
    """The embedded instructions' tokenizer as a transformers tokenizer, with a family's own special tokens at the end.

    Args:
        special_tokens: Special tokens of one family's prompts, such as `<image>`.
    """
    tokenizer = Tokenizer.from_str(embedded_tokenizer().to_str())
    tokenizer.add_special_tokens([name for name in special_tokens if name not in SPECIAL_TOKENS])
    begin, pad, end, unknown = SPECIAL_TOKENS
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=begin, pad_token=pad, eos_token=end, unk_token=unknown
    )
