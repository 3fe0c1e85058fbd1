"""The offline tokenizer: lossless, small, and the same everywhere."""

import hashlib
import subprocess
import sys

import pytest

from calvinbench.envs.instructions import embedded_instructions
from calvinbench.policies.backbones.prompts.tiny_tokenizer import (
    MAX_VOCABULARY,
    SPECIAL_TOKENS,
    embedded_tokenizer,
    train_tokenizer,
)

DIGEST = (
    "import hashlib; from calvinbench.policies.backbones.prompts.tiny_tokenizer import embedded_tokenizer;"
    "print(hashlib.sha256(embedded_tokenizer().to_str().encode()).hexdigest())"
)


def test_special_tokens_have_kosmos2s_ids_and_the_vocabulary_is_small():
    tokenizer = embedded_tokenizer()
    assert [tokenizer.token_to_id(token) for token in SPECIAL_TOKENS] == [0, 1, 2, 3]
    assert 256 + 4 < tokenizer.get_vocab_size() <= MAX_VOCABULARY


@pytest.mark.parametrize("sentence", ["open the drawer", "서랍을 열어라", "  two  spaces ", "naïve\tline\n", "🤖"])
def test_any_sentence_survives_the_round_trip(sentence):
    tokenizer = embedded_tokenizer()
    assert tokenizer.decode(tokenizer.encode(sentence).ids) == sentence


def test_our_own_sentences_take_about_a_token_a_word():
    sentences = [sentence for sentences in embedded_instructions().seen.values() for sentence in sentences]
    num_tokens = sum(len(embedded_tokenizer().encode(sentence).ids) for sentence in sentences)
    assert num_tokens / sum(len(sentence.split()) for sentence in sentences) < 1.6


def test_another_process_trains_the_same_tokenizer():
    here = hashlib.sha256(embedded_tokenizer().to_str().encode()).hexdigest()
    there = subprocess.run([sys.executable, "-c", DIGEST], capture_output=True, text=True, check=True).stdout.strip()
    assert here == there


def test_names_of_special_tokens_do_not_survive_the_round_trip():
    tokenizer = embedded_tokenizer()
    assert tokenizer.decode(tokenizer.encode("open <s> it").ids) == "open  it"


def test_the_order_of_sentences_does_not_matter():
    sentences = [sentence for sentences in embedded_instructions().seen.values() for sentence in sentences]
    assert train_tokenizer(sentences).to_str() == train_tokenizer(sentences[::-1]).to_str()
